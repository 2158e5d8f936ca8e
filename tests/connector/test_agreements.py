"""Agreements: both ends derive one document, and nothing else than what was asked for is signed."""

from dataclasses import replace
from typing import Any

import pytest

from connector.contracts.agreements import (
    PRODUCT_DIGEST,
    PURPOSE,
    VERSION,
    Agreement,
    check_against_offer,
    check_signature,
    difference,
)
from connector.contracts.errors import AgreementInvalid
from hexi.canonical import encode
from ledger.documents import sign_document
from tests.connector.business import CONSUMER, OPERATOR, PRODUCT, PROVIDER, STRANGER, KnownParticipants, published

OFFER = published().offer | {PURPOSE: "research"}


def agreement(**changes: Any) -> Agreement:
    return replace(
        Agreement(
            id="urn:uuid:a",
            product=PRODUCT,
            version=1,
            provider=PROVIDER.did,
            consumer=CONSUMER.did,
            terms={"permission": [{"action": "use"}]},
            concluded_at="2026-11-23T08:00:00.000Z",
            product_digest=OFFER[PRODUCT_DIGEST],
            purpose="research",
        ),
        **changes,
    )


def test_both_ends_derive_the_same_bytes_from_what_travels() -> None:
    ours = agreement()

    odrl, beside = ours.to_message(OFFER, "header..signature")
    theirs = Agreement.from_message(odrl, beside)

    assert theirs == ours
    assert encode(theirs.document()) == encode(ours.document())


def test_an_agreement_has_no_members_of_ours_that_the_offer_lacks() -> None:
    """Other makes compare the two, so one more member would be another policy to them."""
    bare = {name: value for name, value in OFFER.items() if not name.startswith("urn:hexi:")}
    for offer in (OFFER, bare):
        odrl, beside = agreement().to_message(offer, "header..signature")
        named = {name for name in odrl if name.startswith("urn:hexi:")}
        assert named == {name for name in offer if name.startswith("urn:hexi:")}
        assert {PRODUCT_DIGEST, PURPOSE, VERSION} <= named | beside.keys()


def test_an_agreement_of_another_make_is_read_without_our_members() -> None:
    odrl = agreement().to_odrl()
    bare = {name: value for name, value in odrl.items() if not name.startswith("urn:hexi:")}

    read = Agreement.from_odrl(bare | {"permission": {"action": "use"}, "edc:more": 1})

    assert (read.version, read.product_digest, read.purpose) == (0, None, None)
    assert read.terms == {"permission": [{"action": "use"}]}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("@id", None),
        ("target", ""),
        ("assigner", 7),
        ("timestamp", "yesterday"),
        (VERSION, 1),
        (VERSION, "one"),
        (PURPOSE, ["research"]),
    ],
)
def test_agreements_that_cannot_be_read(member: str, value: Any) -> None:
    with pytest.raises(AgreementInvalid):
        Agreement.from_odrl(agreement().to_odrl() | {member: value})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"provider": STRANGER.did}, "between others"),
        ({"consumer": STRANGER.did}, "between others"),
        ({"product": "another"}, "another product"),
        ({"version": 2}, "another version"),
        ({"product_digest": "sha256:0"}, "another version"),
        ({"terms": {"permission": [{"action": "read"}]}}, "other terms"),
        ({"terms": {"permission": [{"action": "use"}], "prohibition": [{"action": "sell"}]}}, "other terms"),
        ({"purpose": "marketing"}, "another purpose"),
        ({"purpose": None}, "another purpose"),
    ],
)
def test_the_consumer_takes_only_what_it_asked_for(changes: dict[str, Any], why: str | None) -> None:
    if why is None:
        check_against_offer(agreement(**changes), OFFER, provider=PROVIDER.did, consumer=CONSUMER.did)
        return
    with pytest.raises(AgreementInvalid, match=why):
        check_against_offer(agreement(**changes), OFFER, provider=PROVIDER.did, consumer=CONSUMER.did)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (OFFER, None),
        ({n: v for n, v in OFFER.items() if not n.startswith("urn:hexi:")}, None),
        (OFFER | {"@id": f"{PRODUCT}#v0"}, "the offer in force"),
        (OFFER | {"target": "another"}, "is for"),
        (OFFER | {PRODUCT_DIGEST: "sha256:0"}, "another digest"),
        (OFFER | {"permission": [{"action": "read"}]}, "not the terms offered"),
        (OFFER | {"permission": []}, "not the terms offered"),
        (None, "the offer in force"),
    ],
)
def test_the_providers_own_offer_is_authoritative(asked: Any, why: str | None) -> None:
    found = difference(asked, published().offer)

    assert found is None if why is None else why in str(found)


def test_a_signature_counts_for_its_signer_document_and_type_only() -> None:
    trust, ours = KnownParticipants(), agreement()
    good = sign_document(ours.document(), PROVIDER.key, PROVIDER.kid)

    assert check_signature(ours, good, by=PROVIDER.did, resolve=trust.resolve) == good
    bad = {
        "missing": None,
        "by the other party": sign_document(ours.document(), CONSUMER.key, CONSUMER.kid),
        "over other terms": sign_document(agreement(purpose="x").document(), PROVIDER.key, PROVIDER.kid),
        "of another type": PROVIDER.key.sign_detached(ours.document(), typ="hexi-statement+jws", kid=PROVIDER.kid),
        "in another's name": OPERATOR.key.sign_detached(ours.document(), typ="hexi-agreement+jws", kid=PROVIDER.kid),
        "not a signature": "x",
    }
    for signature in bad.values():
        with pytest.raises(AgreementInvalid):
            check_signature(ours, signature, by=PROVIDER.did, resolve=trust.resolve)


def test_the_signature_of_a_revoked_participant_does_not_hold() -> None:
    ours = agreement()
    signature = sign_document(ours.document(), PROVIDER.key, PROVIDER.kid)

    with pytest.raises(AgreementInvalid, match="does not hold"):
        check_signature(ours, signature, by=PROVIDER.did, resolve=KnownParticipants(revoked={PROVIDER.did}).resolve)
