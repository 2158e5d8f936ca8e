"""Which lane of a sandbox answers a product, in each mode of use: a matter of its signed description alone.

| the product | sandbox-sql | encrypted-sum | sandbox-program |
|---|---|---|---|
| declares a lattice | lattice | none | none |
| declares a controlled policy | controlled | encrypted-sum; none if people look first | programs; none if levels bind |
| neither, with persons | none | none | programs |
| neither, without persons | tables | encrypted-sum | programs |

Where there is no lane there is no answer. Publication is refused for it (`check_lanes`), and a sandbox refuses the
question. Reading is not refused: a document that was published under earlier rules stays what its provider signed, so
catalogues, agreements and evidence about it go on, and only what it would disclose does not happen.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from registry.codes import Mode
from registry.controlled import Controlled, Level
from registry.errors import ProductInvalid


class LaneName(StrEnum):
    """What answers: a published noisy cube, tables under a policy, one table, an adder of ciphertexts, or a program."""

    LATTICE = "lattice"
    CONTROLLED = "controlled"
    TABLES = "tables"
    SUMS = "encrypted-sum"
    PROGRAMS = "programs"


@dataclass(frozen=True)
class NoLane:
    """Nothing may answer: why, and the ways out for the provider."""

    why: str


class Described(Protocol):
    """What of a product decides."""

    @property
    def has_personal_information(self) -> bool:
        """Whether its tables are about persons."""
        ...

    @property
    def lattice(self) -> object | None:
        """The lattice policy, if it declares one."""
        ...

    @property
    def controlled(self) -> Controlled | None:
        """The controlled policy, if it declares one."""
        ...


class Offered(Described, Protocol):
    """A product with the modes it is offered in."""

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes."""
        ...


# The modes that compute. A product delivered in the other modes leaves as it is: no lane answers, and none has to.
COMPUTED = (Mode.SANDBOX_SQL, Mode.ENCRYPTED_SUM, Mode.SANDBOX_PROGRAM)
# What a declared level would forbid in SQL, and cannot forbid in Python. `never` it can: the column is not laid out.
_BINDING = frozenset({Level.JOIN_ONLY, Level.GROUP_BY, Level.AGGREGATE_ONLY, Level.COMPARE_ONLY})


def lane_of(product: Described, mode: str) -> LaneName | NoLane:
    """What answers `product` in `mode`, or why nothing may."""
    if mode not in COMPUTED:
        return NoLane(f"{mode!r:.80} is no mode that a sandbox computes in")
    if product.lattice is not None:
        return _beside_a_cube(mode)
    if product.controlled is not None:
        return _under_a_policy(product.controlled, mode)
    if mode == Mode.SANDBOX_PROGRAM:
        # Held whatever it did, until people of the provider have looked at it.
        return LaneName.PROGRAMS
    if product.has_personal_information:
        return NoLane(
            f"with personal information {mode} needs a policy that says what may be learned: declare a lattice, whose "
            "noisy cube answers SQL for anybody (the default; `hexi sandbox explain` shows what it gives away), or a "
            "controlled policy, which names the analysts and caps what they ask"
        )
    return LaneName.TABLES if mode == Mode.SANDBOX_SQL else LaneName.SUMS


def lane_shown(product: Described, mode: str) -> str | None:
    """How a catalogue names what answers `product` in `mode`, and, where a policy says so, whom: an IRI. None where
    nothing computes.

    ``urn:hexi:lane:programs``, ``urn:hexi:lane:controlled:named-analysts``, ``...:anybody-under-contract``
    """
    lane, policy = lane_of(product, mode), product.controlled
    if isinstance(lane, NoLane):
        return None
    who = "" if policy is None else ":named-analysts" if policy.analysts else ":anybody-under-contract"
    return f"urn:hexi:lane:{lane}{who}"


def answers_named_only(lane: str) -> bool:
    """Whether a lane, as `lane_shown` names it, answers nobody but analysts whom the provider named."""
    return lane.endswith(":named-analysts")


def check_lanes(product: Offered) -> None:
    """Whether every mode that `product` is offered in has a lane. Raises `ProductInvalid`, saying the ways out."""
    lanes = {mode: lane_of(product, mode) for mode in product.modes if mode in COMPUTED}
    wrong = [{"where": "modes", "why": lane.why} for lane in lanes.values() if isinstance(lane, NoLane)]
    if wrong:
        raise ProductInvalid("; ".join(f"{one['where']}: {one['why']}" for one in wrong), errors=wrong)


def _beside_a_cube(mode: str) -> LaneName | NoLane:
    if mode == Mode.SANDBOX_SQL:
        return LaneName.LATTICE
    return NoLane(
        f"a product with a lattice answers SQL from its published cube and nothing else: {mode} would read the table "
        f"and pass by what the cube promises; offer {mode} as a product of its own, under a controlled policy"
    )


def _under_a_policy(policy: Controlled, mode: str) -> LaneName | NoLane:
    if mode == Mode.SANDBOX_SQL:
        return LaneName.CONTROLLED
    if mode == Mode.ENCRYPTED_SUM and policy.airlock:
        return NoLane(
            "under this controlled policy people look at every answer, and an encrypted sum leaves without: set its "
            "airlock to false, or leave encrypted-sum out"
        )
    if mode == Mode.ENCRYPTED_SUM:
        return LaneName.SUMS
    if bound := sorted(name for name, level in policy.levels.items() if level in _BINDING):
        return NoLane(
            f"the controlled policy binds {', '.join(bound)} to a level, and a program would pass by it: make it "
            "never, or leave sandbox-program out"
        )
    return LaneName.PROGRAMS
