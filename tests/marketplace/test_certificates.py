"""Numbers, terms, grades, prices."""

from datetime import UTC, datetime

import pytest

from marketplace import certificates, pricing, quality
from marketplace.certificates import NUMBER, Registrar, number, term
from marketplace.errors import NumbersExhausted, PriceInvalid, TermInvalid
from tests.marketplace.builders import product

REGISTRAR = Registrar("did:web:space.example", "Space", "空间", "62", "1", accredited=False)


def test_a_number_has_its_fifteen_characters() -> None:
    assert number(REGISTRAR, certificates.month(datetime(2026, 11, 23, tzinfo=UTC)), 17) == "SJ6212026110017"
    assert NUMBER.match("SJ6212026110017")


@pytest.mark.parametrize(
    "wrong", ["SJ621202611001", "SJ62120261100170", "SJ6212026130017", "sj6212026110017", "SJ6211926110017"]
)
def test_what_is_no_number(wrong: str) -> None:
    assert not NUMBER.match(wrong)


@pytest.mark.parametrize("serial", [0, 10_000])
def test_a_month_has_9999_numbers(serial: int) -> None:
    with pytest.raises(NumbersExhausted):
        number(REGISTRAR, "202611", serial)


def test_a_term_is_whole_years() -> None:
    assert term(datetime(2026, 11, 23, tzinfo=UTC), 5) == ("2026-11-23T00:00:00.000Z", "2031-11-23T00:00:00.000Z")
    assert term(datetime(2028, 2, 29, tzinfo=UTC), 1)[1] == "2029-02-28T00:00:00.000Z"


@pytest.mark.parametrize("years", [0, 6])
def test_a_term_has_limits(years: int) -> None:
    with pytest.raises(TermInvalid):
        term(datetime(2026, 11, 23, tzinfo=UTC), years)


@pytest.mark.parametrize(
    ("rights", "dual"),
    [
        (["processing-use", "product-operation"], True),
        (["holding", "processing-use"], False),
        (["product-operation"], False),
    ],
)
def test_dual_rights(rights: list[str], dual: bool) -> None:
    document = certificates.document(
        number="SJ6212026110001",
        registrar=REGISTRAR,
        product=product(rights=rights),
        product_digest="sha256:0",
        holder={"did": "did:web:hospital.example"},
        valid=("a", "b"),
        compliance_report="sha256:1",
        quality_grade="A",
    )
    assert document["dualRights"] is dual
    assert document["simulated"] is True


@pytest.mark.parametrize(
    ("share", "letter"), [(1, "A"), (0.95, "A"), (0.9499, "B"), (0.8, "B"), (0.6, "C"), (0.5999, "D"), (0, "D")]
)
def test_grades(share: float, letter: str) -> None:
    assert quality.grade(dict.fromkeys(quality.DEFAULT_WEIGHTS, share)).letter == letter


def test_what_was_not_measured_counts_as_nothing_and_is_named() -> None:
    found = quality.grade({"accuracy": 1, "completeness": "1", "timeliness": True, "consistency": 2})
    assert found.score == 1800
    assert found.missing == ("normativity", "completeness", "consistency", "timeliness", "accessibility")
    assert sum(found.to_json()["weights"].values()) == 100


@pytest.mark.parametrize("fen", [-1, pricing.MAX_UNIT_PRICE_FEN + 1, True])
def test_what_is_no_price(fen: int) -> None:
    with pytest.raises(PriceInvalid):
        pricing.unit_price(fen)


def test_prices_for_people() -> None:
    assert [pricing.yuan(fen) for fen in (0, 5, 1250, -1250)] == ["0.00", "0.05", "12.50", "-12.50"]
    assert pricing.unit_price(0) == 0
