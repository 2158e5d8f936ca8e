"""The whole road between two connectors, on both databases."""

from dataclasses import replace

import pytest

from connector.protocol import store
from connector.protocol.negotiation import Finalize, TerminateNegotiation
from connector.protocol.transfer import Complete, Start, Suspend
from tests.connector.pair import ADDRESS, PROVIDER_OFFERS, Pair


def test_a_negotiation_concludes(pair_on_both: Pair) -> None:
    pair = pair_on_both
    pid = pair.consumer.negotiate(pair.provider)
    pair.run()
    assert pair.states(pid) == ("FINALIZED", "FINALIZED")
    assert pair.network.types() == [
        "ContractRequestMessage",
        "ContractAgreementMessage",
        "ContractAgreementVerificationMessage",
        "ContractNegotiationEventMessage",
    ]
    ours, theirs = pair.consumer.process(pid), pair.other(pid)
    assert ours.agreement == theirs.agreement
    assert ours.agreement is not None
    assert ours.agreement["urn:hexi:signature"] == "header..signature"
    assert theirs.properties == {"urn:hexi:signature": "c..s"}
    assert (ours.peer_pid, theirs.peer_pid) == (theirs.pid, ours.pid)


def test_a_negotiation_with_an_offer_concludes(pair_on_both: Pair) -> None:
    pair = pair_on_both
    pair.provider.script.negotiations = dict(PROVIDER_OFFERS)
    pid = pair.consumer.negotiate(pair.provider)
    pair.run()
    assert pair.states(pid) == ("FINALIZED", "FINALIZED")
    states = ["REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED"]
    assert pair.consumer.script.states(pid) == states
    assert pair.provider.script.states(pair.other(pid).pid) == states


def test_a_provider_can_begin_with_an_offer(pair: Pair) -> None:
    pair.provider.script.negotiations = dict(PROVIDER_OFFERS)
    with pair.provider.database.transaction() as session:
        pid = pair.provider.engine.offer_negotiation(
            session,
            pair.consumer.did,
            f"{pair.consumer.url}/dsp/2025-1/",
            {"@id": "o", "@type": "Offer", "target": "d", "permission": [{"action": "use"}]},
        ).pid
    pair.run()
    assert pair.provider.process(pid).state == "FINALIZED"
    assert pair.consumer.processes()[0].state == "FINALIZED"


def test_a_transfer_starts_pauses_resumes_and_completes(pair_on_both: Pair) -> None:
    pair = pair_on_both
    _, agreement = pair.concluded()
    pid = pair.consumer.ask(pair.provider, agreement)
    pair.run()
    assert pair.states(pid) == ("STARTED", "STARTED")
    assert pair.consumer.process(pid).data_address == ADDRESS
    assert pair.consumer.process(pid).properties["urn:hexi:note"] == "hello"
    assert pair.other(pid).properties["urn:hexi:order"] == "order.jws.x"
    assert pair.other(pid).dataset_id == "dataset-1"
    for end, action, state in [
        (pair.consumer, Suspend("1", ["lunch"]), "SUSPENDED"),
        (pair.consumer, Start(), "STARTED"),
        (pair.provider, Complete(), "COMPLETED"),
    ]:
        end.act(pid if end is pair.consumer else pair.other(pid).pid, action)
        pair.run()
        assert pair.states(pid) == (state, state)
    assert pair.consumer.process(pid).data_address == ADDRESS


@pytest.mark.parametrize("terminating", ["consumer", "provider"])
def test_either_end_can_terminate_and_says_why(pair: Pair, terminating: str) -> None:
    pair.provider.script.negotiations = {}
    pid = pair.consumer.negotiate(pair.provider)
    pair.run()
    end = getattr(pair, terminating)
    end.act(pid if terminating == "consumer" else pair.other(pid).pid, TerminateNegotiation("changed", ["of mind"]))
    pair.run()
    assert pair.states(pid) == ("TERMINATED", "TERMINATED")
    assert pair.consumer.process(pid).reason == pair.other(pid).reason == ["changed", "of mind"]


def test_a_refusal_ends_our_side_with_their_reason(pair: Pair) -> None:
    pair.consumer.script.negotiations = {}
    pid = pair.consumer.negotiate(pair.provider)
    pair.run()
    with pair.provider.database.transaction() as session:  # the provider loses its mind, the consumer does not follow
        broken = replace(pair.other(pid), state="VERIFIED")
        store.save_process(session, broken, "2026-11-23T08:00:00.000Z")
        pair.provider.engine.act_negotiation(session, broken.pid, Finalize())
    pair.run()
    assert pair.states(pid) == ("TERMINATED", "TERMINATED")
    assert pair.other(pid).reason[0] == "connector.transition-illegal"
    assert pair.consumer.process(pid).reason[:2] == ["refused", "connector.transition-illegal"]
