"""The register of families: what two products say of one person is paid from one ledger, and of cohorts only once."""

from fractions import Fraction

import pytest

from privacy.lattice.checks import MEMBERSHIP
from sandbox.cubes.register import Charge, check, ledgers
from sandbox.errors import BudgetSpent, ProductUnusable


def charge(product: str, spent: float, family: str = "health", cap: float | None = 1.0, **more: object) -> Charge:
    given: dict[str, object] = {"cohort": "", "columns": (), **more}
    capped = None if cap is None else Fraction(cap)
    return Charge(product=product, family=family, spent=Fraction(spent), cap=capped, **given)  # type: ignore[arg-type]


def test_products_about_the_same_people_share_a_family_s_ledger() -> None:
    earlier = [charge("a", 0.5), charge("b", 0.25), charge("b", 0.9, "money")]
    check(charge("c", 0.25), earlier)
    with pytest.raises(BudgetSpent, match=r"mu of 0.866 already \(a, b, c\)"):
        check(charge("c", 0.26), earlier)


def test_the_smallest_cap_that_any_of_them_declared_holds_for_all() -> None:
    # Otherwise a later product could lift what an earlier one promised.
    check(charge("b", 0.5, cap=2.0), [charge("a", 0.5)])
    with pytest.raises(BudgetSpent, match=r"smallest cap declared, 1.000"):
        check(charge("b", 0.6, cap=2.0), [charge("a", 0.5)])
    check(charge("b", 0.6, cap=2.0), [charge("a", 0.5, cap=None)])  # charged before caps were written down


def test_being_in_a_table_is_a_matter_of_that_table() -> None:
    check(charge("b", 1.0, MEMBERSHIP), [charge("a", 1.0, MEMBERSHIP)])
    with pytest.raises(BudgetSpent):
        check(charge("a", 0.1, MEMBERSHIP), [charge("a", 1.0, MEMBERSHIP)])


def test_a_column_belongs_into_one_family_whichever_product_publishes_it() -> None:
    earlier = [charge("a", 0.1, "money", columns=("cost", "days"))]
    check(charge("b", 0.1, "money", columns=("days",)), earlier)
    with pytest.raises(ProductUnusable, match="the column days is published by a under the family money"):
        check(charge("b", 0.1, "health", columns=("days",)), earlier)


def test_a_person_is_in_one_cohort_and_pays_once() -> None:
    earlier = [charge("a", 1.0, cohort="2024"), charge("a", 0.4, cohort="2025")]
    check(charge("a", 0.6, cohort="2025"), earlier)
    check(charge("a", 1.0, cohort="2026"), earlier)
    with pytest.raises(BudgetSpent):
        check(charge("a", 0.1, cohort="2024"), earlier)


def test_the_provider_is_told_what_every_ledger_has_left() -> None:
    charges = [
        *(charge("a", 0.25), charge("b", 0.24, cap=0.81), charge("a", 1.0, MEMBERSHIP), charge("b", 1.0, MEMBERSHIP)),
        *(charge("c", 0.09, "money", cohort="2024"), charge("c", 0.16, "money", cohort="2025", cap=None)),
    ]
    told = [(one.family, one.products, round(one.mu, 3), one.cap) for one in ledgers("", charges)]
    assert told == [
        ("health", ("a", "b"), 0.7, pytest.approx(0.9)),
        (MEMBERSHIP, ("a",), 1.0, 1.0),
        (MEMBERSHIP, ("b",), 1.0, 1.0),
        ("money", ("c",), 0.4, 1.0),
    ]


def test_elsewhere_anybody_may_have_been_in_any_cohort() -> None:
    earlier = [charge("a", 0.3, cohort="2024"), charge("a", 0.7, cohort="2025"), charge("c", 0.1)]
    check(charge("b", 0.2, cohort="2024"), earlier)
    for other in (charge("b", 0.21, cohort="2024"), charge("b", 0.21), charge("a", 0.21)):
        with pytest.raises(BudgetSpent):
            check(other, earlier)
