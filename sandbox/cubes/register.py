"""The register of families: what everything published of a provider's products has given away of one person.

A family is one ledger for all products about the same population, because what two of them say of a person adds up,
whoever asks. A person is in one cohort of a product, so of cohorts the most that one of them has counts. Being in a
table is a matter of that table: `membership` is a ledger of each product by itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from privacy.lattice.checks import MEMBERSHIP
from sandbox.errors import BudgetSpent, ProductUnusable

# Parts of a family's cap that rounding may add without its being a second publication.
TOLERANCE = Fraction(1, 10**9)


@dataclass(frozen=True)
class Charge:
    """What publishing a measure costs every person, in squares of mu; `cap` is a square too."""

    product: str
    cohort: str
    family: str
    spent: Fraction
    cap: Fraction | None
    columns: tuple[str, ...]
    # Whether it is for counts, whose columns are the attributes.
    is_count: bool = False


@dataclass(frozen=True)
class Ledger:
    """What a family's products have given away of anybody at most, as the mu of a theorem, and what they may."""

    population: str
    family: str
    products: tuple[str, ...]
    mu: float
    cap: float | None


def ledgers(population: str, charges: Sequence[Charge]) -> Iterator[Ledger]:
    """Every ledger of a population, by family; `membership` is one of each product."""
    keys = dict.fromkeys((one.family, one.product if one.family == MEMBERSHIP else "") for one in charges)
    for family, product in sorted(keys):
        same = [one for one in charges if one.family == family and product in ("", one.product)]
        caps = [one.cap for one in same if one.cap is not None]
        yield Ledger(
            population,
            family,
            tuple(sorted({one.product for one in same})),
            float(_most(same)) ** 0.5,
            float(min(caps)) ** 0.5 if caps else None,
        )


def check(charge: Charge, earlier: Sequence[Charge]) -> None:
    """Raise `BudgetSpent` or `ProductUnusable` unless `charge` may be added to those of its population."""
    for one in earlier:
        if one.family == charge.family or (one.is_count and charge.is_count):
            continue
        if shared := [column for column in charge.columns if any(_is_same(column, other) for other in one.columns)]:
            raise ProductUnusable(
                f"the column {min(shared)} is published by {one.product} under the family {one.family}, and here under "
                f"{charge.family}; it says the same of a person everywhere, so it belongs into one family"
            )
    same = [one for one in earlier if _shares_a_ledger(one, charge)]
    spent, cap = _spent(charge, same), min(one.cap for one in (charge, *same) if one.cap is not None)
    if spent + charge.spent > cap * (1 + TOLERANCE):
        products = ", ".join(sorted({one.product for one in same} | {charge.product}))
        raise BudgetSpent(
            f"the family {charge.family} has given away a mu of {float(spent) ** 0.5:.3f} already ({products}); with "
            f"this publication it would pass the smallest cap declared, {float(cap) ** 0.5:.3f}"
        )


def _is_same(column: str, other: str) -> bool:
    """Whether two names may be of one column: one without a table is of the entities' own, whatever that is called."""
    (table, _, name), (of, _, called) = column.lower().rpartition("."), other.lower().rpartition(".")
    return name == called and (table == of or not table or not of)


def _shares_a_ledger(one: Charge, charge: Charge) -> bool:
    return one.family == charge.family and (one.family != MEMBERSHIP or one.product == charge.product)


def _spent(charge: Charge, same: Sequence[Charge]) -> Fraction:
    """The most that anybody whom `charge` is about has paid before."""
    return _most(
        one for one in same if one.product != charge.product or charge.cohort in ("", one.cohort) or not one.cohort
    )


def _most(charges: Iterable[Charge]) -> Fraction:
    """What whoever paid most has paid: everything that is about all, and of every product the dearest cohort."""
    whole: Fraction = Fraction()
    of_cohorts: dict[str, dict[str, Fraction]] = {}
    for one in charges:
        if not one.cohort:
            whole += one.spent
        else:
            by_cohort = of_cohorts.setdefault(one.product, {})
            by_cohort[one.cohort] = by_cohort.get(one.cohort, Fraction()) + one.spent
    return whole + sum((max(by_cohort.values()) for by_cohort in of_cohorts.values()), Fraction())
