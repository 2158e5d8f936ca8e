"""Who may see an offer: worked out once, when it is published, as far as its terms allow.

Most terms show an offer to everybody, or to participants they name; only what hangs on the hour or on facts about the
caller must be judged anew for every caller. The verdict is always `evaluation`'s; here it is only asked in advance.

    >>> audience_of({"permission": [{"action": "use"}]})
    (<Audience.EVERYBODY: 'everybody'>, frozenset())
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from connector.policies.evaluation import Situation, Stage, evaluate_terms
from connector.policies.operands import PARTICIPANT, known_at
from connector.policies.policy import Condition, Constraint, Policy, Rule, read_policy
from hexi.canonical import Json
from hexi.errors import Malformed

# A participant that no terms name. A DID cannot contain a space, so nobody can be called so.
_ANYBODY_ELSE = "did: nobody in particular"
# Terms that speak of the time are judged when somebody asks, so here one hour is as good as another.
_ANY_HOUR = datetime(2026, 1, 1, tzinfo=UTC)


class Audience(StrEnum):
    """Whom terms show an offer to. JUDGED: the caller and the hour decide; NOBODY: they cannot let anybody in."""

    EVERYBODY = "everybody"
    LISTED = "listed"
    JUDGED = "judged"
    NOBODY = "nobody"


@dataclass(frozen=True)
class Terms:
    """What decides who may see one offer: its own terms and, where there is one, a policy of access beside them."""

    odrl: Json
    access: Json = None

    @property
    def policies(self) -> list[Json]:
        """What must all allow it to be seen."""
        return [self.odrl] if self.access is None else [self.access, self.odrl]

    def is_visible(self, situation: Situation) -> bool:
        """Whether it may be shown in `situation`, at the catalogue."""
        return all(evaluate_terms(policy, situation).allowed for policy in self.policies)


def audience_of_all(offers: Sequence[Sequence[Json]]) -> tuple[Audience, frozenset[str]]:
    """The audience of a product's offers, each given by its policies. Where they differ, every caller is judged."""
    found = [audience_of(*policies) for policies in offers]
    if len(found) == 1:
        return found[0]
    audiences = {audience for audience, _ in found}
    for alike in (Audience.EVERYBODY, Audience.NOBODY):
        if audiences <= {alike}:
            return alike, frozenset()
    return Audience.JUDGED, frozenset()


def audience_of(*policies: Json) -> tuple[Audience, frozenset[str]]:
    """The audience of an offer that all these policies must allow to be seen, and who is listed where it is LISTED.

    (1) Terms that cannot be read let nobody in. (2) Where a fact that is known of a caller decides, other than who it
    is, it must be judged. (3) Otherwise the verdict is the same for everybody whom the terms do not name; and if those
    are shown out, just the named ones are left to be asked about.
    """
    try:
        constraints = [one for terms in policies for one in _constraints(read_policy(terms))]
    except Malformed:  # (1)
        return Audience.NOBODY, frozenset()
    if {one.left for one in constraints} & (known_at(Stage.CATALOGUE) - {PARTICIPANT}):  # (2)
        return Audience.JUDGED, frozenset()
    named = {did for one in constraints if one.left == PARTICIPANT for did in one.right}
    welcome = frozenset(did for did in named if _may_see(policies, did))
    if _may_see(policies, _ANYBODY_ELSE):  # (3)
        return (Audience.EVERYBODY if welcome == named else Audience.JUDGED), frozenset()
    return (Audience.LISTED, welcome) if welcome else (Audience.NOBODY, frozenset())


def _may_see(policies: Iterable[Json], did: str) -> bool:
    situation = Situation(Stage.CATALOGUE, _ANY_HOUR, did)
    return all(evaluate_terms(terms, situation).allowed for terms in policies)


def _constraints(policy: Policy) -> Iterator[Constraint]:
    for rules in (policy.permissions, policy.prohibitions, policy.obligations):
        yield from _of_rules(rules)


def _of_rules(rules: Iterable[Rule]) -> Iterator[Constraint]:
    for rule in rules:
        yield from _of_conditions(rule.constraints)
        yield from _of_rules(rule.duties)


def _of_conditions(conditions: Iterable[Condition]) -> Iterator[Constraint]:
    for one in conditions:
        if isinstance(one, Constraint):
            yield one
        else:
            yield from _of_conditions(one.parts)
