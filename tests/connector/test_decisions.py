"""Decisions of both sides, state by state, over a real store; every refusal beside its permission."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connector.catalogue.question import Wanted
from connector.contracts import store
from connector.contracts.agreements import ORDER, PROVIDER_SIGNATURE, PURPOSE, SIGNATURE, AgreementState
from connector.fulfilment import permit_in
from connector.protocol.errors import DatasetUnknown
from connector.protocol.negotiation import Agree, Finalize, TerminateNegotiation, Verify
from connector.protocol.processes import Process, Role
from connector.protocol.transfer import Start, TerminateTransfer
from connector.usage import store as usage_store
from hexi.database import Database
from ledger.documents import verify_document
from registry.presentation import Caller
from sandbox.permits import verify_permit
from tests.builders import SettableClock
from tests.connector.business import (
    CONSUMER,
    OPERATOR,
    PAID,
    PROVIDER,
    STRANGER,
    USE,
    KnownParticipants,
    Party,
    agreed,
    conclude,
    negotiation,
    order,
    published,
    transfer,
)


@pytest.fixture
def trust() -> KnownParticipants:
    return KnownParticipants()


@pytest.fixture
def provider(sqlite: Database, clock: SettableClock, trust: KnownParticipants) -> Party:
    return Party(PROVIDER, sqlite, clock, trust)


@pytest.fixture
def consumer(tmp_path: Path, clock: SettableClock, trust: KnownParticipants) -> Iterator[Party]:
    other = Database(f"sqlite:///{tmp_path / 'consumer.sqlite'}")
    yield Party(CONSUMER, other, clock, trust)
    other.dispose()


def caller(trust: KnownParticipants, did: str = CONSUMER.did) -> Caller:
    return Caller(did, trust.participant(did), OPERATOR.did)


def limited(left: str, operator: str, right: Any, **members: Any) -> dict[str, Any]:
    constraint = {"leftOperand": left, "operator": operator, "rightOperand": right}
    return {"permission": [{"action": "use", "constraint": [constraint], **members}]}


def test_a_whole_negotiation_ends_in_a_document_both_signed_and_in_evidence(
    database: Database, consumer: Party, clock: SettableClock, trust: KnownParticipants
) -> None:
    provider = Party(PROVIDER, database, clock, trust)
    product = provider.publish(published())

    agreement = conclude(provider, consumer, product)

    for party in (provider, consumer):
        with party.database.reading() as session:
            held = store.agreement(session, agreement)
        assert held.state is AgreementState.CONCLUDED
        document = verify_document(held.signed, trust.resolve, of_type="agreement")
        assert document["parties"] == [PROVIDER.did, CONSUMER.did]
        assert document["productDigest"] == product.signed.digest
    (entry,) = provider.evidence()
    assert (entry.kind, entry.subject, entry.digest) == ("agreement-concluded", agreement, held.signed.digest)
    assert consumer.evidence() == []


def test_entering_a_state_twice_changes_nothing(provider: Party, consumer: Party) -> None:
    product = provider.publish(published())
    asked = negotiation(Role.PROVIDER, "REQUESTED", offer=product.offer)

    first, second = provider.negotiating(asked), provider.negotiating(asked)

    assert first == second


@pytest.mark.parametrize(
    ("policy", "asked", "code"),
    [
        (USE, {}, None),
        (USE, {"@id": "another"}, "connector.offer-changed"),
        (USE, {"permission": [{"action": "read"}]}, "connector.offer-changed"),
        (USE, {"target": "unknown"}, "connector.product-unknown"),
        (USE, {PURPOSE: 7}, "connector.policy-invalid"),
        (limited("participant", "eq", CONSUMER.did), {}, None),
        (limited("participant", "eq", STRANGER.did), {}, "policy.participant"),
        (limited("dateTime", "lteq", "2026-01-01T00:00:00Z"), {}, "policy.date-time"),
        (limited("purpose", "eq", "research"), {PURPOSE: "research"}, None),
        (limited("purpose", "eq", "research"), {}, "policy.purpose"),
        (limited("count", "lteq", "5"), {}, None),
        (PAID, {}, None),
    ],
)
def test_the_provider_answers_requests(provider: Party, policy: Any, asked: Any, code: str | None) -> None:
    product = provider.publish(published(policy))

    action = provider.negotiating(negotiation(Role.PROVIDER, "REQUESTED", offer=product.offer | asked))

    if code is None:
        assert isinstance(action, Agree)
        assert action.agreement["assignee"] == CONSUMER.did
    else:
        assert isinstance(action, TerminateNegotiation)
        assert action.code == code
        assert all(action.reasons)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda seen: replace(seen, agreement=seen.agreement | {"target": "another"}),
        lambda seen: replace(seen, agreement=seen.agreement | {"assignee": STRANGER.did}),
        lambda seen: replace(seen, agreement=seen.agreement | {"permission": [{"action": "read"}]}),
        lambda seen: replace(seen, agreement=seen.agreement | {PURPOSE: "marketing"}),
        lambda seen: replace(seen, properties=seen.properties | {PROVIDER_SIGNATURE: "a..b"}),
        lambda seen: replace(seen, properties=seen.properties | {PURPOSE: "marketing"}),
        lambda seen: replace(seen, properties={}),
        lambda seen: replace(seen, agreement={}),
    ],
    ids=["target", "assignee", "terms", "purpose", "forged", "beside", "unsigned", "empty"],
)
def test_the_consumer_signs_no_other_agreement(
    provider: Party, consumer: Party, spoil: Callable[[Process], Process]
) -> None:
    product = provider.publish(published())
    agree = provider.negotiating(negotiation(Role.PROVIDER, "REQUESTED", offer=product.offer))
    seen = agreed(product.offer, agree)

    refused = consumer.negotiating(spoil(seen))

    assert isinstance(refused, TerminateNegotiation)
    assert refused.code == "connector.agreement-invalid"
    assert consumer.agreements() == []
    assert isinstance(consumer.negotiating(seen), Verify)


def test_the_provider_finalises_only_what_the_consumer_signed(provider: Party, consumer: Party) -> None:
    product = provider.publish(published())
    asked = negotiation(Role.PROVIDER, "REQUESTED", offer=product.offer)
    agree = provider.negotiating(asked)
    own = agree.properties[PROVIDER_SIGNATURE]

    for signature in (None, own, "a..b"):
        shown = {SIGNATURE: signature} if signature else {}
        verified = replace(asked, state="VERIFIED", properties=dict(agree.properties) | shown)
        assert isinstance(provider.negotiating(verified), TerminateNegotiation)
    assert provider.evidence() == []
    with provider.database.reading() as session:
        assert store.agreement(session, str(agree.agreement["@id"])).state is AgreementState.AGREED


def test_unsigned_peers_are_taken_only_where_the_ugly_setting_says_so(
    sqlite: Database, clock: SettableClock, trust: KnownParticipants
) -> None:
    lenient = Party(PROVIDER, sqlite, clock, trust, unsigned=True)
    product = lenient.publish(published())
    asked = negotiation(Role.PROVIDER, "REQUESTED", offer=product.offer)
    lenient.negotiating(asked)

    assert isinstance(lenient.negotiating(replace(asked, state="VERIFIED")), Finalize)
    forged = negotiation(Role.PROVIDER, "REQUESTED", offer=product.offer)
    lenient.negotiating(forged)
    broken = replace(forged, state="VERIFIED", properties={SIGNATURE: "a..b"})
    assert isinstance(lenient.negotiating(broken), TerminateNegotiation)


def test_an_offer_waits_for_a_person_unless_it_is_for_something_else(consumer: Party) -> None:
    offer = {"@id": "x", "target": "p"}
    assert consumer.negotiating(negotiation(Role.CONSUMER, "OFFERED", offer=offer, dataset_id="p")) is None

    action = consumer.negotiating(negotiation(Role.CONSUMER, "OFFERED", offer=offer, dataset_id="another"))

    assert isinstance(action, TerminateNegotiation)


def test_datasets_are_shown_to_whom_they_may_concern(provider: Party, trust: KnownParticipants) -> None:
    product = provider.publish(published(limited("participant", "eq", CONSUMER.did)))
    identifier = product.product.identifier
    with provider.database.reading() as session:
        (dataset,) = provider.decisions.catalogue(session, caller(trust), Wanted()).datasets
        assert provider.decisions.catalogue(session, caller(trust, OPERATOR.did), Wanted()).datasets == ()
        assert provider.decisions.dataset(session, identifier, caller(trust)) == dataset
        with pytest.raises(DatasetUnknown):
            provider.decisions.dataset(session, identifier, caller(trust, OPERATOR.did))
        with pytest.raises(DatasetUnknown):
            provider.decisions.dataset(session, "another", caller(trust))
    assert dataset["hasPolicy"][0]["@id"] == product.product.offer_id
    assert "target" not in dataset["hasPolicy"][0]
    assert [d["format"] for d in dataset["distribution"]] == ["HexiSandbox-SQL"]


def test_an_agreement_becomes_a_permit(
    provider: Party, consumer: Party, trust: KnownParticipants, clock: SettableClock
) -> None:
    product = provider.publish(published(limited("count", "lteq", "5")))
    agreement = conclude(provider, consumer, product)

    start = provider.transferring(transfer(agreement))

    assert isinstance(start, Start)
    jws = permit_in(start.data_address)
    assert jws is not None
    permit = verify_permit(jws, issuer=PROVIDER.did, resolve=trust.resolve, clock=clock)
    assert (permit.holder, permit.agreement, permit.runs, permit.order) == (CONSUMER.did, agreement, 5, None)
    assert (permit.operations, permit.product_digest) == (("sandbox-sql",), product.signed.digest)
    kinds = {entry.kind: entry for entry in provider.evidence()}
    assert kinds["permit-issued"].subject == permit.id


def test_paid_use_needs_the_operators_word_for_this_very_agreement(
    provider: Party, consumer: Party, clock: SettableClock
) -> None:
    product = provider.publish(published(PAID))
    agreement, identifier = conclude(provider, consumer, product), product.product.identifier
    bad = {
        "none": None,
        "not signed": "x.y.z",
        "by the consumer": order(agreement, identifier, CONSUMER),
        "for another agreement": order("another", identifier),
        "for another product": order(agreement, "another"),
        "for another consumer": order(agreement, identifier, consumer=STRANGER.did),
        "for another provider": order(agreement, identifier, provider=STRANGER.did),
        "no runs": order(agreement, identifier, runs=0),
        "expired": order(agreement, identifier, expires="2026-11-23T08:00:00.000Z"),
        "without an end": order(agreement, identifier, expires=None),
        "another type": order(agreement, identifier, type="statement"),
    }
    for shown in bad.values():
        refused = provider.transferring(transfer(agreement, properties={ORDER: shown} if shown else {}))
        assert isinstance(refused, TerminateTransfer)
        assert refused.code in {"policy.duty-unfulfilled", "connector.order-invalid"}
        assert all(refused.reasons)

    start = provider.transferring(transfer(agreement, properties={ORDER: order(agreement, identifier)}))
    assert isinstance(start, Start)


def test_runs_are_granted_once_whatever_is_asked_for_them(
    database: Database, consumer: Party, clock: SettableClock, trust: KnownParticipants
) -> None:
    provider = Party(PROVIDER, database, clock, trust)
    product = provider.publish(published(PAID))
    agreement, identifier = conclude(provider, consumer, product), product.product.identifier
    shown = {ORDER: order(agreement, identifier, runs=3)}
    first = transfer(agreement, properties=shown)
    assert isinstance(provider.transferring(first), Start)

    refused = provider.transferring(transfer(agreement, properties=shown))
    assert isinstance(refused, TerminateTransfer)
    assert refused.code == "policy.count"

    # The first transfer ends after one run: the two others can be granted again, and no more.
    provider.used = 1
    assert provider.transferring(replace(first, state="COMPLETED")) is None
    again = provider.transferring(transfer(agreement, properties=shown))
    with provider.database.reading() as session:
        assert usage_store.used(session, agreement, "urn:uuid:order-1").of_order == 3
    assert isinstance(again, Start)
    assert len(provider.revoked) == 1


@pytest.mark.parametrize("state", ["TERMINATED", "COMPLETED", "SUSPENDED"])
def test_the_permit_ends_with_its_transfer(provider: Party, consumer: Party, state: str) -> None:
    agreement = conclude(provider, consumer, provider.publish(published()))
    asked = transfer(agreement)
    provider.transferring(asked)

    provider.transferring(replace(asked, state=state))
    provider.transferring(replace(asked, state=state))

    assert len(provider.revoked) == 1
    resumed = provider.transferring(replace(asked, state="STARTED"))
    assert isinstance(resumed, TerminateTransfer)
    assert resumed.code == "connector.permit-ended"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"format": "HttpData-PULL"}, "connector.format-unknown"),
        ({"format": None}, "connector.format-unknown"),
        ({"format": "HexiSandbox-EncryptedSum"}, "connector.format-unknown"),
        ({"counterparty": STRANGER.did}, "connector.agreement-unknown"),
        ({"agreement": "another"}, "connector.agreement-unknown"),
    ],
)
def test_transfers_that_are_refused(provider: Party, consumer: Party, asked: Any, code: str) -> None:
    agreement = conclude(provider, consumer, provider.publish(published()))

    refused = provider.transferring(transfer(**({"agreement": agreement} | asked)))

    assert isinstance(refused, TerminateTransfer)
    assert refused.code == code


def test_an_agreement_that_is_not_final_gives_nothing(provider: Party) -> None:
    product = provider.publish(published())
    agree = provider.negotiating(negotiation(Role.PROVIDER, "REQUESTED", offer=product.offer))

    refused = provider.transferring(transfer(str(agree.agreement["@id"])))

    assert isinstance(refused, TerminateTransfer)
    assert refused.code == "connector.agreement-unknown"


def test_time_runs_out(provider: Party, consumer: Party, clock: SettableClock) -> None:
    agreement = conclude(
        provider, consumer, provider.publish(published(limited("dateTime", "lt", "2026-11-24T00:00:00Z")))
    )
    assert isinstance(provider.transferring(transfer(agreement)), Start)

    clock.advance(days=1)
    refused = provider.transferring(transfer(agreement))
    assert isinstance(refused, TerminateTransfer)
    assert refused.code == "policy.date-time"
