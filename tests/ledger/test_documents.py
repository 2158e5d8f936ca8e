"""Signed documents: all parties, each once, nobody else, over exactly this."""

from typing import Any

import pytest

from hexi.errors import NotFound
from hexi.keys import SignatureInvalid
from ledger.documents import SignedDocument, sign_document, verify_document
from ledger.errors import DocumentInvalid
from tests.ledger.builders import Person, resolver, signed

ALICE, BOB, EVE = (Person(f"did:web:{name}.example") for name in ("alice", "bob", "eve"))
EVERYBODY = resolver(ALICE, BOB, EVE)
DOCUMENT: dict[str, Any] = {"type": "agreement", "parties": [ALICE.did, BOB.did], "terms": {"zh": "条款"}}


def by(person: Person, document: dict[str, Any] | None = None, typ: str = "hexi-agreement+jws") -> str:
    return person.key.sign_detached(document or DOCUMENT, typ=typ, kid=person.kid)


def test_all_parties_have_signed() -> None:
    document = signed(DOCUMENT, ALICE, BOB)
    assert verify_document(document, EVERYBODY, of_type="agreement") == DOCUMENT
    assert SignedDocument.from_json(document.to_json()) == document
    assert document.digest == SignedDocument(DOCUMENT, {}).digest


@pytest.mark.parametrize(
    ("signatures", "error"),
    [
        ({ALICE.did: by(ALICE), BOB.did: by(BOB)}, None),
        ({}, DocumentInvalid),
        ({ALICE.did: by(ALICE)}, DocumentInvalid),
        ({ALICE.did: by(ALICE), BOB.did: by(BOB), EVE.did: by(EVE)}, DocumentInvalid),
        ({ALICE.did: by(ALICE), EVE.did: by(EVE)}, DocumentInvalid),
        ({ALICE.did: by(ALICE), BOB.did: by(ALICE)}, DocumentInvalid),
        ({ALICE.did: by(BOB), BOB.did: by(ALICE)}, DocumentInvalid),
        ({ALICE.did: by(ALICE), BOB.did: by(BOB, {**DOCUMENT, "terms": {}})}, SignatureInvalid),
        ({ALICE.did: by(ALICE), BOB.did: by(BOB, typ="hexi-statement+jws")}, SignatureInvalid),
        ({ALICE.did: by(ALICE), BOB.did: by(BOB) + "="}, SignatureInvalid),
        ({ALICE.did: by(ALICE), BOB.did: ""}, SignatureInvalid),
        ({ALICE.did: by(ALICE), BOB.did: "x.y.z"}, SignatureInvalid),
        (
            {ALICE.did: by(ALICE), BOB.did: BOB.key.sign(DOCUMENT, typ="hexi-agreement+jws", kid=BOB.kid)},
            SignatureInvalid,
        ),
    ],
    ids=[
        "both",
        "nobody",
        "one missing",
        "a stranger too",
        "a stranger instead",
        "one for both",
        "swapped",
        "another document",
        "for another type",
        "another spelling",
        "empty",
        "no jws",
        "not detached",
    ],
)
def test_who_must_have_signed(signatures: dict[str, str], error: type[Exception] | None) -> None:
    document = SignedDocument(DOCUMENT, signatures)
    if error is None:
        verify_document(document, EVERYBODY, of_type="agreement")
    else:
        with pytest.raises(error):
            verify_document(document, EVERYBODY, of_type="agreement")


def test_an_unknown_party_is_refused() -> None:
    with pytest.raises(NotFound):
        verify_document(signed(DOCUMENT, ALICE, BOB), resolver(ALICE), of_type="agreement")


def test_the_type_is_the_one_expected() -> None:
    with pytest.raises(DocumentInvalid, match="statement"):
        verify_document(signed(DOCUMENT, ALICE, BOB), EVERYBODY, of_type="statement")


@pytest.mark.parametrize(
    "parties",
    [None, [], ALICE.did, [ALICE.did, ALICE.did], [1], [""], [f"did:web:{n}" for n in range(33)]],
)
def test_parties_are_named_each_once(parties: Any) -> None:
    document = {"type": "agreement", "parties": parties}
    with pytest.raises(DocumentInvalid):
        sign_document(document, ALICE.key, ALICE.kid)
    with pytest.raises(DocumentInvalid):
        verify_document(SignedDocument(document, {}), EVERYBODY, of_type="agreement")


@pytest.mark.parametrize("kind", [None, "", "Agreement", "agree ment", 7])
def test_a_document_says_its_type(kind: Any) -> None:
    with pytest.raises(DocumentInvalid):
        sign_document({"type": kind, "parties": [ALICE.did]}, ALICE.key, ALICE.kid)


def test_only_a_party_signs() -> None:
    with pytest.raises(DocumentInvalid):
        sign_document(DOCUMENT, EVE.key, EVE.kid)


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"document": {}}, {"document": [], "signatures": {}}, {"document": {}, "signatures": {"a": 1}}],
)
def test_what_is_no_signed_document(value: Any) -> None:
    with pytest.raises(DocumentInvalid):
        SignedDocument.from_json(value)
