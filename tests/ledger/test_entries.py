"""Entries: what they can say, who may say it, and that a signature is for one thing only."""

from typing import Any

import pytest

from hexi.errors import DataspaceError, NotFound
from hexi.keys import SignatureInvalid
from ledger.entries import MAX_ENTRY_BYTES, OPERATOR_KINDS, TYP, Kind, check_issuer, open_entry, read_entry, seal
from ledger.errors import EntryInvalid, EntryTooLarge, IssuerNotEntitled
from tests.ledger.builders import AT, DIGEST, Person, resolver

ALICE, BOB = Person("did:web:alice.example"), Person("did:web:bob.example")
GOOD: dict[str, Any] = {
    "type": "entry",
    "kind": "run-completed",
    "subject": "run-1",
    "digest": DIGEST,
    "issuer": ALICE.did,
    "at": AT,
    "facts": {"units": 1, "outcome": "released"},
}


def test_what_is_sealed_opens() -> None:
    jws = ALICE.seal(Kind.RUN_COMPLETED, "run-1", units=1, outcome="released")
    entry = open_entry(jws, resolver(ALICE))
    assert entry.payload() == GOOD
    assert read_entry(jws) == entry


def test_a_stranger_is_not_heard() -> None:
    with pytest.raises(NotFound):
        open_entry(ALICE.seal(Kind.RUN_COMPLETED, "run-1"), resolver(BOB))


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"facts": {}}, True),
        ({"subject": "肃-1"}, True),
        ({"digest": "sm3:" + "0" * 64}, True),
        ({"type": "permit"}, False),
        ({"kind": "gossip"}, False),
        ({"kind": None}, False),
        ({"subject": ""}, False),
        ({"subject": "a\nb"}, False),
        ({"subject": "x" * 513}, False),
        ({"subject": 7}, False),
        ({"digest": "0" * 64}, False),
        ({"digest": "sha256:" + "0" * 63}, False),
        ({"digest": "sha256:" + "A" * 64}, False),
        ({"issuer": BOB.did}, False),
        ({"at": "2026-11-23"}, False),
        ({"at": "2026-11-23T08:00:00Z"}, False),
        ({"at": "2026-11-23T16:00:00.000+08:00"}, False),
        ({"at": 7}, False),
        ({"facts": []}, False),
        ({"facts": {"nested": {}}}, False),
        ({"facts": {"half": 0.5}}, False),
        ({"facts": {"yes": True}}, False),
        ({"facts": {"nothing": None}}, False),
        ({"facts": {"": "x"}}, False),
        ({"facts": {"long": "x" * 1025}}, False),
        ({"facts": {str(n): n for n in range(17)}}, False),
        ({"more": 1}, False),
    ],
)
def test_what_an_entry_can_say(change: dict[str, Any], holds: bool) -> None:
    jws = ALICE.key.sign(GOOD | change, typ=TYP, kid=ALICE.kid)
    if holds:
        assert open_entry(jws, resolver(ALICE)).kind is Kind.RUN_COMPLETED
    else:
        with pytest.raises(EntryInvalid):
            open_entry(jws, resolver(ALICE))


@pytest.mark.parametrize("member", GOOD)
def test_nothing_can_be_left_out(member: str) -> None:
    less = {name: value for name, value in GOOD.items() if name != member}
    with pytest.raises(EntryInvalid):
        open_entry(ALICE.key.sign(less, typ=TYP, kid=ALICE.kid), resolver(ALICE))


def test_a_signature_for_another_purpose_does_not_count() -> None:
    with pytest.raises(SignatureInvalid):
        open_entry(ALICE.key.sign(GOOD, typ="hexi-permit+jws", kid=ALICE.kid), resolver(ALICE))


def test_a_long_entry_is_refused_on_both_sides() -> None:
    facts = {f"fact {n}": "x" * 1000 for n in range(16)}
    with pytest.raises(EntryTooLarge):
        ALICE.seal(Kind.RUN_COMPLETED, "run-1", **facts)
    with pytest.raises(EntryTooLarge):
        open_entry("x" * (MAX_ENTRY_BYTES + 1), resolver(ALICE))


@pytest.mark.parametrize("jws", ["", "a.b", "a.b.c", "é.b.c", "..", "e30.e30.e30"])
def test_what_is_no_jws(jws: str) -> None:
    with pytest.raises(DataspaceError):
        open_entry(jws, resolver(ALICE))


def test_sealing_refuses_what_opening_would() -> None:
    with pytest.raises(EntryInvalid):
        seal(Kind.RUN_COMPLETED, "", DIGEST, key=ALICE.key, kid=ALICE.kid, at=AT)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(("operator", "is_operator"), [(ALICE.did, True), (BOB.did, False), (None, False)])
def test_who_may_say_what(kind: Kind, operator: str | None, is_operator: bool) -> None:
    entry = open_entry(ALICE.seal(kind, "subject"), resolver(ALICE))
    if kind in OPERATOR_KINDS and not is_operator:
        with pytest.raises(IssuerNotEntitled):
            check_issuer(entry, operator)
    else:
        check_issuer(entry, operator)
