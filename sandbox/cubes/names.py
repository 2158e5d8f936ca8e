"""What the columns of a query to a cube stand for: levels of attributes, sensitive columns, measures."""

from dataclasses import dataclass

from sqlglot import exp

from privacy.lattice.policy import Attribute, LatticePolicy, Measure, table_of
from sandbox.reasons import Reason, Refused


@dataclass(frozen=True)
class Divided:
    """A column that cells may be divided or restricted by: a level of an attribute, or a sensitive column.

    `of` says for every value of the finest domain which of the `labels` it falls under.
    """

    name: str
    labels: tuple[str, ...]
    of: tuple[int, ...]
    # The attribute and how deep the level is; or the measure, and no depth.
    owner: str
    depth: int | None
    # The table it is taken from, empty for the entities' own; and where in the domain whoever has no row there is put.
    table: str = ""
    home: int | None = None

    @property
    def is_sensitive(self) -> bool:
        """Whether it says something secret of people."""
        return self.depth is None

    @property
    def home_label(self) -> str:
        """The label that whoever has no row in its table is put under; empty if that is no label."""
        return "" if self.home is None else self.labels[self.of[self.home]]


class Names:
    """The names a query may use under a policy. Raises `Refused` for every other."""

    def __init__(self, policy: LatticePolicy) -> None:
        self.entity = policy.entity
        self.measures = {measure.name: measure for measure in policy.measures if not measure.labels}
        self._divided = {
            level.name: Divided(level.name, level.labels, level.of, attribute.name, depth, *_placed(attribute))
            for attribute in policy.attributes
            for depth, level in enumerate(attribute.levels, start=1)
        } | {
            measure.name: Divided(
                measure.name, measure.labels, tuple(range(len(measure.labels))), measure.name, None, *_placed(measure)
            )
            for measure in policy.measures
            if measure.labels
        }

    @property
    def known(self) -> str:
        """Every name, for a refusal."""
        return ", ".join([*self._divided, *self.measures])

    def find(self, name: str) -> Divided | Measure | None:
        """What `name` stands for, if anything."""
        return self._divided.get(name.lower()) or self.measures.get(name.lower())

    def of_table(self, table: str) -> list[Divided]:
        """The levels and sensitive columns taken from `table`, which is empty for the entities' own."""
        return [one for one in self._divided.values() if one.table == table]

    def singling_out(self, name: str) -> Reason:
        """Why an entity key is refused that is not counted."""
        return Reason(
            "sandbox.singling-out",
            f"{name} names single entities: it may only be counted, as count(DISTINCT {name})",
        )

    def divided(self, node: exp.Expr, use: str) -> Divided:
        """The level or sensitive column that `node` is; `use` says what it was to be."""
        name = node.name.lower() if isinstance(node, exp.Column) else ""
        if name in self._divided:
            return self._divided[name]
        if name == self.entity:
            raise Refused(self.singling_out(name))
        if name in self.measures:
            raise Refused(
                Reason(
                    "sandbox.query-column-role",
                    f"{name} is a measure and may not be {use}: it would choose entities by what is secret of them; "
                    f"ask avg({name}) or sum({name}), or the provider for a version with labels (bands)",
                )
            )
        if not isinstance(node, exp.Column):
            raise Refused(
                Reason(
                    "sandbox.query-expression",
                    f"{node.key.upper()} may not be {use}; only declared levels may: {', '.join(self._divided)}",
                )
            )
        raise Refused(self.unknown(name))

    def measure(self, node: exp.Expr, function: str) -> Measure:
        """The measure that `function` is of."""
        name = node.name.lower() if isinstance(node, exp.Column) else ""
        if name in self._divided and self._divided[name].is_sensitive:
            raise Refused(
                Reason(
                    "sandbox.query-column-role",
                    f"{name} has labels and no number of its own: count it, with GROUP BY {name} or WHERE {name} = ...",
                )
            )
        if name not in self.measures:
            raise Refused(
                Reason(
                    "sandbox.query-column-role",
                    f"{function} takes declared measures as they stand: {', '.join(self.measures) or 'there is none'}; "
                    "computed, they could choose whose value counts",
                )
            )
        return self.measures[name]

    def unknown(self, name: str) -> Reason:
        """Why a name is refused that stands for nothing."""
        return Reason("sandbox.query-column-unknown", f"there is no column {name!r:.80}; there are: {self.known}")


def _placed(one: Attribute | Measure) -> tuple[str, int | None]:
    """The table that an attribute or sensitive column is taken from, and where in its domain the others are put."""
    table = table_of(one.column or one.name)
    if isinstance(one, Attribute):
        return table, None if one.other is None else one.domain.index(one.other)
    if one.other is not None:
        return table, one.labels.index(one.other)
    return table, 0 if one.edges else None
