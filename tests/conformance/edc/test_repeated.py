"""Messages that come twice, and messages that meet each other on the way: every process ends once, or says why.

The messages are EDC's own, and ours to it; the relays between us repeat them. Sent again after a lost answer, a message
has the @id it had before; sent twice at once, the second is there while the first is still being processed.
"""

import pytest

from tests.conformance.edc.exchange import PATIENCE_SECONDS, Exchange, eventually
from tests.conformance.edc.offers import ended, offered, our_offer
from tests.conformance.edc.relay import Way
from tests.conformance.edc.repeating import check_repeated

pytestmark = [pytest.mark.edc, pytest.mark.usefixtures("relays")]


def test_what_edc_as_provider_sends_is_taken_once(parties: Exchange, way: Way) -> None:
    ours, edc = parties.ours, parties.provider
    offer = offered(parties)
    ours.relay.way = way

    pid = ours.client.negotiate_offer(edc.participant, offer).id

    seen = ours.client.wait_negotiation(pid, PATIENCE_SECONDS)
    assert (seen.state, seen.reason) == ("FINALIZED", ())
    theirs = eventually("EDC's", lambda: edc.management.negotiation(str(seen.peer_id)), ended)
    assert theirs["state"] == "FINALIZED"
    check_repeated(ours.relay, "ContractAgreementMessage", "ContractNegotiationEventMessage")


def test_what_edc_as_consumer_sends_is_taken_once(parties: Exchange, way: Way) -> None:
    ours, edc = parties.ours, parties.consumer
    offer = our_offer(parties)
    before = {one.id for one in ours.client.negotiations()}
    ours.relay.way = way

    theirs = edc.management.negotiate(ours.did, ours.dsp_url, offer)

    assert eventually("EDC's", lambda: edc.management.negotiation(theirs), ended)["state"] == "FINALIZED"
    (made,) = [one for one in ours.client.negotiations() if one.id not in before]
    assert ours.client.wait_negotiation(made.id, PATIENCE_SECONDS).state == "FINALIZED"
    check_repeated(ours.relay, "ContractRequestMessage", "ContractAgreementVerificationMessage")


def test_what_was_recorded_of_edc_changes_nothing_when_it_comes_again(parties: Exchange) -> None:
    ours, edc = parties.ours, parties.consumer
    theirs = edc.management.negotiate(ours.did, ours.dsp_url, our_offer(parties))
    eventually("EDC's", lambda: edc.management.negotiation(theirs), ended)
    (process,) = [one for one in ours.client.negotiations() if one.peer_id == theirs]
    before = ours.client.wait_negotiation(process.id, PATIENCE_SECONDS)
    passed = [sent for sent, _ in ours.relay.passed if sent.method == "POST" and "/negotiations/" in sent.path]
    recorded = list({sent.message["@id"]: sent for sent in passed}.values())

    answers = [ours.relay.pass_on(sent) for sent in recorded]

    assert {sent.type for sent in recorded} == {"ContractRequestMessage", "ContractAgreementVerificationMessage"}
    assert [answer.status for answer in answers] == [201, 200]
    assert ours.client.negotiation(process.id) == before
    assert len([one for one in ours.client.negotiations() if one.peer_id == theirs]) == 1


def test_what_we_send_twice_to_edc_as_consumer_ends_once(parties: Exchange, way: Way) -> None:
    ours, edc = parties.ours, parties.consumer
    offer = our_offer(parties)
    edc.relay.way = way

    theirs = edc.management.negotiate(ours.did, ours.dsp_url, offer)

    seen = eventually("EDC's", lambda: edc.management.negotiation(theirs), ended)
    (made,) = [one for one in ours.client.negotiations() if one.peer_id == theirs]
    process = ours.client.wait_negotiation(made.id, PATIENCE_SECONDS)
    print("ours", process.state, process.reason, "EDC's", seen["state"])
    assert (process.state, seen["state"]) == ("FINALIZED", "FINALIZED") or process.reason


def test_what_we_send_twice_to_edc_as_provider_ends_once(parties: Exchange, way: Way) -> None:
    """EDC makes two negotiations of a request that comes twice; ours stays one, with one of them."""
    ours, edc = parties.ours, parties.provider
    offer = offered(parties)
    edc.relay.way = way

    pid = ours.client.negotiate_offer(edc.participant, offer).id

    process = ours.client.wait_negotiation(pid, PATIENCE_SECONDS)
    theirs = [one for one in edc.management.negotiations() if one["correlationId"] == pid]
    states = {
        one["@id"]: eventually("EDC's", lambda one=one: edc.management.negotiation(one["@id"]), ended)["state"]
        for one in theirs
    }
    print("ours", process.state, process.reason, "EDC's", states)
    assert process.state == "FINALIZED" or process.reason
    if process.state == "FINALIZED":
        assert states[process.peer_id] == "FINALIZED"
