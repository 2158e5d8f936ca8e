"""Unified identifiers: the vectors of the national draft hold, a slip of the pen does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import IdentifierCheckDigit, IdentifierMalformed, OwnerCodeInvalid
from registry.identifiers import (
    ALPHABET,
    Kind,
    allocate,
    check,
    check_character,
    check_owner_code,
    read,
)
from tests.registry.builders import OWNER

VECTORS = {
    "491620000000000000X6210A1B2C3D48": Kind.BUSINESS_NODE,
    "591620000000000000X6210A1B2C3D4N": Kind.CONNECTOR,
    "591620000000000000X621000000001G": Kind.CONNECTOR,
    "691620000000000000X6210A1B2C3D41": Kind.PRODUCT,
    "791620000000000000X6210A1B2C3D4G": Kind.RESOURCE,
}
PRODUCT = "691620000000000000X6210A1B2C3D41"


@pytest.mark.parametrize(("code", "kind"), VECTORS.items())
def test_the_vectors_hold_and_are_taken_apart(code: str, kind: Kind) -> None:
    found = check(code, kind)
    assert (found.kind, found.owner, found.place, found.text) == (kind, OWNER, "6210", code)


def test_the_check_character_of_a_contract_number_agrees_with_the_vector() -> None:
    assert check_character("C491620000000000000X621020261123120000A1B2C3D4") == "O"


@pytest.mark.parametrize("code", VECTORS)
@pytest.mark.parametrize("position", [0, 5, 18, 20, 30])
def test_every_single_slip_is_noticed(code: str, position: int) -> None:
    for other in ALPHABET:
        slipped = code[:position] + other + code[position + 1 :]
        if slipped != code and slipped[0] in "1234567":
            with pytest.raises(IdentifierCheckDigit):
                check(slipped)


@pytest.mark.parametrize("separator", ["•", "·", "."])
def test_an_extension_is_read_after_any_separator_and_kept_after_the_right_one(separator: str) -> None:
    found = check(f"{PRODUCT}{separator}旧编号-7")
    assert (found.core, found.extension) == (PRODUCT, "旧编号-7")
    assert found.text == f"{PRODUCT}•旧编号-7"


DEFECTS = {
    "too_short": PRODUCT[:-1],
    "too_long": PRODUCT + "0",
    "lower_case": PRODUCT.lower(),
    "kind_8": "8" + PRODUCT[1:],
    "kind_0": "0" + PRODUCT[1:],
    "star_inside": PRODUCT[:20] + "*" + PRODUCT[21:],
    "empty": "",
    "empty_extension": PRODUCT + "•",
    "extension_of_33": PRODUCT + "•" + "x" * 33,
    "extension_with_slash": PRODUCT + "•a/b",
    "connector_with_extension": "591620000000000000X621000000001G•x",
    "full_width_digit": PRODUCT[:19] + "６" + PRODUCT[20:],
}


@pytest.mark.parametrize("code", DEFECTS.values(), ids=DEFECTS.keys())
def test_what_is_no_identifier_is_refused(code: str) -> None:
    with pytest.raises(IdentifierMalformed):
        check(code)


def test_a_foreign_code_is_read_without_its_check_character() -> None:
    wrong = PRODUCT[:-1] + "2"
    assert read(wrong).text == wrong
    with pytest.raises(IdentifierCheckDigit, match="'1'") as refused:
        check(wrong)
    assert refused.value.code == "registry.identifier-check-digit"


def test_an_identifier_of_another_kind_is_refused() -> None:
    with pytest.raises(IdentifierMalformed, match="connector"):
        check(PRODUCT, Kind.CONNECTOR)


@pytest.mark.parametrize("kind", Kind)
def test_what_we_allocate_holds_and_differs(kind: Kind) -> None:
    fresh = {allocate(kind, OWNER, "6210").text for _ in range(50)}
    assert len(fresh) == 50
    assert all(check(text, kind).owner == OWNER for text in fresh)


@pytest.mark.parametrize("place", ["62", "62100", "62A0", ""])
def test_nothing_is_allocated_in_no_place(place: str) -> None:
    with pytest.raises(IdentifierMalformed):
        allocate(Kind.PRODUCT, OWNER, place)


@given(st.text(alphabet=ALPHABET, min_size=31, max_size=31))
def test_the_check_character_satisfies_the_weighted_sum_of_the_standard(body: str) -> None:
    code = body + check_character(body)
    values = [(ALPHABET + "*").index(character) for character in code]
    assert sum(value * pow(2, len(code) - 1 - i, 37) for i, value in enumerate(values)) % 37 == 1


@pytest.mark.parametrize("code", ["91110000802100433B", "914403001922038216", "9144030071526726XG"])
def test_real_owner_codes_hold_strictly(code: str) -> None:
    assert check_owner_code(code, strict=True) == code


OWNER_DEFECTS = {
    "made_up": OWNER,
    "slip": "91110000802100434B",
    "letter_o": "9111000080210O433B",
}


@pytest.mark.parametrize("code", OWNER_DEFECTS.values(), ids=OWNER_DEFECTS.keys())
def test_made_up_owner_codes_pass_only_where_they_are_meant_to(code: str) -> None:
    assert check_owner_code(code) == code
    with pytest.raises(OwnerCodeInvalid):
        check_owner_code(code, strict=True)


@pytest.mark.parametrize("code", ["", "9162", OWNER + "0", OWNER.lower(), "91620000000000000 "])
def test_what_cannot_be_an_owner_code_never_passes(code: str) -> None:
    with pytest.raises(OwnerCodeInvalid):
        check_owner_code(code)
