"""What a provider declares before anybody looks at the data: attributes, measures, families and how finely to cut.

Everything here is public. Domains are declared and never "the values seen", clip ranges are declared and never
measured, and the size is declared to two significant digits: so nothing that is planned or refused by a policy can
depend on who is in the table.

    >>> sex = Attribute.flat("sex", ("f", "m"))
    >>> levels = Level("band", ("young", "old"), (0, 0, 1)), Level("age", ("0-19", "20-39", "40+"), (0, 1, 2))
    >>> cost = Measure("cost", "money", 0, 100)
    >>> policy = LatticePolicy("person", (sex, Attribute("age", levels)), (cost,), (Family("money", 0.35),), size=2_000)
    >>> policy.is_admissible({"sex": 1, "age": 2})
    True
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import floor, log10, prod

from hexi.canonical import Json, digest
from privacy.errors import PolicyUnusable
from privacy.lattice.checks import BINARY, MAX_ATTRIBUTES_TOGETHER, MEMBERSHIP, MINCELL_FLOOR, check

# The name of the measure that is 1 for everybody.
COUNT = "count"

# The mu of membership where a policy does not say: it is known or harmless there that somebody is in the table.
MEMBERSHIP_MU = 1.0


@dataclass(frozen=True)
class Level:
    """One level of an attribute's tree: its labels, and for each value of the finest level the label it falls under."""

    name: str
    labels: tuple[str, ...]
    of: tuple[int, ...]


@dataclass(frozen=True)
class Attribute:
    """A tree of levels, coarse to fine. The last level is the domain itself; what is in no domain is `other`.

    `column` is the table's column, or ``table.column`` of another table about the same entities; values are compared as
    text. `other` names the label of the finest level that takes whatever is outside the declared domain, so that
    everybody is in exactly one cell.
    """

    name: str
    levels: tuple[Level, ...]
    column: str = ""
    other: str | None = None

    @classmethod
    def flat(cls, name: str, domain: tuple[str, ...], *, column: str = "", other: str | None = None) -> "Attribute":
        """An attribute with one level only."""
        return cls(name, (Level(name, domain, tuple(range(len(domain)))),), column, other)

    @property
    def domain(self) -> tuple[str, ...]:
        """The values of the finest level."""
        return self.levels[-1].labels


@dataclass(frozen=True)
class Measure:
    """A number of each entity, clipped to [`low`, `high`]. `square` also publishes its square, for variances.

    With `labels` it is a sensitive column instead: how many have each label is published, one number a label (for two
    labels one number, since the count says the other). `edges` make the labels bands of a number: below the first edge,
    from there to the second, and so on. `family` names the ledger it is charged to: measures that say much the same of
    a person belong into one.
    """

    name: str
    family: str
    low: float
    high: float
    column: str = ""
    square: bool = False
    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    # The label of whoever has none of the declared ones, or no value.
    other: str | None = None
    # The two measures it is the product of, each as a place in its clip range from 0 to 1.
    factors: tuple[str, str] | None = None
    # The share of the family's budget (of its mu squared) that this measure gets, beside the others' weights.
    weight: float = 1.0

    @property
    def numbers(self) -> int:
        """How many numbers a cell of a table says of it."""
        return 1 if len(self.labels) <= BINARY else len(self.labels)

    @property
    def axis(self) -> tuple[int, ...]:
        """The last axis of its tables: one for the labels of a sensitive column, else none."""
        return (self.numbers,) if self.labels else ()

    @property
    def sensitivity(self) -> int:
        """The square of how far one person's value can move what is summed, at most."""
        return 1 if self.numbers == 1 else 2  # out of one label and into another


@dataclass(frozen=True)
class Family:
    """A ledger: everything that measures of this family may ever give away of one person, as the mu of a theorem."""

    name: str
    mu: float
    # What all versions of the product together may give away; without it, this version is the only one.
    cap: float | None = None


@dataclass(frozen=True)
class Cohorts:
    """Entities that came together, each a cube of its own that is published once and never again: by the text in
    `column`, which never changes for an entity. A later version appends labels; what was published stays as it is."""

    column: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class LatticePolicy:
    """The declaration for one product version. `size` is how many entities there are, to two significant digits; with
    cohorts, how many one cohort has.

    A table is admissible when it joins at most `together` attributes and has on average `mincell` entities to a cell
    (`count_mincell` for counts alone). `entity` is the column that says who a row is about.
    """

    entity: str
    attributes: tuple[Attribute, ...]
    measures: tuple[Measure, ...]
    families: tuple[Family, ...]
    size: int
    together: int = MAX_ATTRIBUTES_TOGETHER
    mincell: int = 100
    count_mincell: int = MINCELL_FLOOR
    # Where being in the table is itself the secret, counts belong to the secret's family.
    count_family: str = MEMBERSHIP
    # Pairs of measures whose product is published too, for correlations; both have their square published.
    correlations: tuple[tuple[str, str], ...] = ()
    # Whom the product is about. Products of one provider about the same population share every family's ledger.
    population: str = ""
    cohorts: Cohorts | None = None
    # Tables with at most one row an entity, by the product's names: what joins them multiplies nothing.
    one_row: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(self)

    @cached_property
    def declared_size(self) -> int:
        """`size` with two significant digits: the exact number would be a release of its own."""
        digits = floor(log10(self.size)) - 1
        return round(self.size / 10**digits) * 10**digits if digits > 0 else self.size

    @property
    def editions(self) -> int:
        """How many cubes are added up for an answer: one, or one for each cohort."""
        return 1 if self.cohorts is None else len(self.cohorts.labels)

    def attribute(self, name: str) -> Attribute:
        """The attribute called `name`. Raises `KeyError`."""
        return self._by_name[name]

    def measure(self, name: str) -> Measure:
        """The measure called `name`; the count is one. Raises `KeyError`."""
        return self._measures[name]

    def least(self, *measures: str) -> int:
        """How many entities a cell of a table with these measures, and the count, holds on average at least."""
        return max(self.count_mincell, *(self.mincell * self.measure(m).numbers for m in measures if m != COUNT), 0)

    def is_admissible(self, levels: Mapping[str, int], least: int | None = None) -> bool:
        """Whether a table over these levels (attribute -> how many levels deep, 1 is the coarsest) may be released.

        `least` is what `least` says of its measures; without it, of a table with one number.
        """
        if len(levels) > self.together:
            return False
        cells = prod(len(self.attribute(name).levels[depth - 1].labels) for name, depth in levels.items())
        return self.declared_size >= cells * (self.mincell if least is None else least)

    def all_measures(self) -> Iterator[Measure]:
        """The count, every measure, and the squares and products that are asked for, each with its clip range."""
        yield Measure(COUNT, self.count_family, 0, 1)
        for measure in self.measures:
            yield measure
            if measure.square:
                yield square_of(measure)
        named = {measure.name: measure for measure in self.measures}
        for first, second in self.correlations:
            if first in named and second in named:
                yield _product_of(named[first], named[second])

    def product(self, first: str, second: str) -> Measure | None:
        """The product of two measures, in whatever order; None where it is not published."""
        wanted = {(first, second), (second, first)}
        return next((measure for measure in self.all_measures() if measure.factors in wanted), None)

    def family(self, name: str) -> Family:
        """The family called `name`; membership has one even where the policy is silent. Raises `StopIteration`."""
        known = (*self.families, Family(MEMBERSHIP, MEMBERSHIP_MU))
        return next(family for family in known if family.name == name)

    def mu(self, name: str) -> float:
        """The part of its family's mu that measure `name` spends: squares of all parts add to the family's square."""
        measure = self.measure(name)
        whole = sum(m.weight for m in self.all_measures() if m.family == measure.family)
        return float(self.family(measure.family).mu * (measure.weight / whole) ** 0.5)

    def document(self) -> dict[str, Json]:
        """The policy as JSON, for signing and hashing; `read_policy` reads it back."""
        return {
            "type": "lattice-policy",
            "entity": self.entity,
            "size": self.declared_size,
            "together": self.together,
            "mincell": self.mincell,
            "countMincell": self.count_mincell,
            "countFamily": self.count_family,
            "attributes": [_attribute_document(attribute) for attribute in self.attributes],
            "measures": [_measure_document(measure) for measure in self.measures],
            "families": [{"name": f.name, "mu": f.mu, "cap": f.cap or f.mu} for f in self.families],
            **({"correlations": [list(pair) for pair in self.correlations]} if self.correlations else {}),
            **({"population": self.population} if self.population else {}),
            **({"cohorts": asdict(self.cohorts) | {"labels": list(self.cohorts.labels)}} if self.cohorts else {}),
            **({"oneRow": list(self.one_row)} if self.one_row else {}),
        }

    @cached_property
    def digest(self) -> str:
        """The digest of the document."""
        return digest(self.document())

    @cached_property
    def lasting_digest(self) -> str:
        """The digest of what is the same for every cohort: all but which cohorts there are."""
        cohorts = {"cohorts": {"column": self.cohorts.column}} if self.cohorts else {}
        return digest(self.document() | cohorts)

    @cached_property
    def other_tables(self) -> tuple[str, ...]:
        """The tables beside the entities' own that columns are taken from, written as ``table.column``."""
        columns = [attribute.column or attribute.name for attribute in self.attributes]
        columns += [measure.column or measure.name for measure in self.measures]
        return tuple(dict.fromkeys(table_of(column) for column in columns if table_of(column)))

    def columns_of(self, measure: Measure) -> tuple[str, ...]:
        """The table's columns that a measure says something of: of all attributes, for the count."""
        if measure.name == COUNT:
            return tuple(dict.fromkeys(attribute.column or attribute.name for attribute in self.attributes))
        sources = [self.measure(name) for name in measure.factors or (measure.name,)]
        return tuple(dict.fromkeys(one.column or one.name for one in sources))

    @cached_property
    def _by_name(self) -> dict[str, Attribute]:
        return {attribute.name: attribute for attribute in self.attributes}

    @cached_property
    def _measures(self) -> dict[str, Measure]:
        return {measure.name: measure for measure in self.all_measures()}


def table_of(column: str) -> str:
    """The table in ``table.column``; empty for a column of the entities' own table."""
    return column.rpartition(".")[0]


def square_of(measure: Measure) -> Measure:
    """The measure of the square of `measure`'s place in its clip range."""
    return replace(measure, name=f"{measure.name}_squared", square=False, factors=(measure.name, measure.name))


def _product_of(first: Measure, second: Measure) -> Measure:
    return replace(
        first, name=f"{first.name}_times_{second.name}", square=False, factors=(first.name, second.name), low=0, high=1
    )


def read_policy(document: Json) -> LatticePolicy:
    """The policy in `document`. Raises `PolicyUnusable`, and says where."""
    if not isinstance(document, dict) or document.get("type") != "lattice-policy":
        raise PolicyUnusable("a lattice policy is an object of type lattice-policy")
    try:
        return LatticePolicy(
            entity=str(document["entity"]),
            attributes=tuple(_read_attribute(one) for one in document["attributes"]),
            measures=tuple(_read_measure(one) for one in document["measures"]),
            families=tuple(
                Family(str(one["name"]), float(one["mu"]), float(one.get("cap", one["mu"])))
                for one in document["families"]
            ),
            size=int(document["size"]),
            together=int(document.get("together", MAX_ATTRIBUTES_TOGETHER)),
            mincell=int(document.get("mincell", 100)),
            count_mincell=int(document.get("countMincell", MINCELL_FLOOR)),
            count_family=str(document.get("countFamily", MEMBERSHIP)),
            correlations=tuple((str(first), str(second)) for first, second in document.get("correlations", [])),
            population=str(document.get("population", "")),
            cohorts=_read_cohorts(document.get("cohorts")),
            one_row=tuple(map(str, _listed(document.get("oneRow", [])))),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise PolicyUnusable(f"the lattice policy cannot be read: {type(error).__name__}: {error}") from error


def _read_attribute(document: Json) -> Attribute:
    levels = [Level(str(one["name"]), tuple(map(str, one["labels"])), ()) for one in document["levels"]]
    size = len(levels[-1].labels)
    placed = [
        Level(level.name, level.labels, tuple(int(i) for i in one.get("of", range(size))))
        for level, one in zip(levels, document["levels"], strict=True)
    ]
    other = document.get("other")
    column = str(document.get("column", document["name"]))
    return Attribute(str(document["name"]), tuple(placed), column, None if other is None else str(other))


def _listed(document: Json) -> list[Json]:
    if not isinstance(document, list):
        raise TypeError("oneRow is a list of tables")
    return document


def _read_cohorts(document: Json) -> Cohorts | None:
    if document is None:
        return None
    return Cohorts(str(document["column"]), tuple(map(str, document["labels"])))


def _read_measure(document: Json) -> Measure:
    low, high = document["range"] if "labels" not in document else (0, 1)
    return Measure(
        name=str(document["name"]),
        family=str(document["family"]),
        low=float(low),
        high=float(high),
        column=str(document.get("column", document["name"])),
        square=bool(document.get("square", False)),
        weight=float(document.get("weight", 1.0)),
        labels=tuple(map(str, document.get("labels", []))),
        edges=tuple(map(float, document.get("edges", []))),
        other=None if document.get("other") is None else str(document["other"]),
    )


def _measure_document(measure: Measure) -> dict[str, Json]:
    told: dict[str, Json] = {
        "name": measure.name,
        "column": measure.column or measure.name,
        "family": measure.family,
        "weight": measure.weight,
    }
    if not measure.labels:
        return told | {"range": [measure.low, measure.high], "square": measure.square}
    told["labels"] = list(measure.labels)
    if measure.edges:
        told["edges"] = list(measure.edges)
    return told if measure.other is None else told | {"other": measure.other}


def _attribute_document(attribute: Attribute) -> dict[str, Json]:
    return {
        "name": attribute.name,
        "column": attribute.column or attribute.name,
        "levels": [{"name": one.name, "labels": list(one.labels), "of": list(one.of)} for one in attribute.levels],
        **({"other": attribute.other} if attribute.other is not None else {}),
    }
