"""Either side gives up a negotiation, in either role, while something is under way."""

from collections.abc import Iterator

import pytest

from tests.conformance.edc.exchange import PATIENCE_SECONDS, Exchange, eventually
from tests.conformance.edc.offers import ended, offered, our_offer
from tests.conformance.edc.relay import held, once

pytestmark = pytest.mark.edc

REASON = "no longer wanted"


@pytest.fixture(autouse=True)
def relays(parties: Exchange) -> Iterator[None]:
    yield
    for relay in (parties.ours.relay, parties.provider.relay, parties.consumer.relay):
        relay.way = once


def consuming(parties: Exchange) -> tuple[str, str]:
    """A negotiation over EDC's offer that has come to AGREED and not further; our id and EDC's."""
    ours, edc = parties.ours.client, parties.provider
    edc.relay.way = held("verification")
    pid = ours.negotiate_offer(edc.participant, offered(parties)).id
    seen = eventually("the agreement", lambda: ours.negotiation(pid), lambda one: one.state == "AGREED")
    theirs = str(seen.peer_id)
    eventually("EDC's", lambda: edc.management.negotiation(theirs), lambda one: one["state"] == "AGREED")
    return pid, theirs


def providing(parties: Exchange) -> tuple[str, str]:
    """The same over our offer."""
    ours, edc = parties.ours, parties.consumer
    offer = our_offer(parties)
    ours.relay.way = held("verification")
    theirs = edc.management.negotiate(ours.did, ours.dsp_url, offer)

    def made() -> list[str]:
        return [one.id for one in ours.client.negotiations(state="AGREED") if one.peer_id == theirs]

    (pid,) = eventually("the agreement", made, bool)
    return pid, theirs


def test_edc_as_provider_gives_up(parties: Exchange) -> None:
    pid, theirs = consuming(parties)
    parties.provider.management.end_negotiation(theirs, REASON)
    seen = parties.ours.client.wait_negotiation(pid, PATIENCE_SECONDS)
    assert (seen.state, REASON in seen.reason) == ("TERMINATED", True)
    last = eventually("EDC's", lambda: parties.provider.management.negotiation(theirs), ended)
    assert last["state"] == "TERMINATED"


def test_we_as_consumer_give_up(parties: Exchange) -> None:
    pid, theirs = consuming(parties)
    parties.ours.client.end_negotiation(pid, REASON)
    seen = parties.ours.client.wait_negotiation(pid, PATIENCE_SECONDS)
    assert (seen.state, REASON in seen.reason) == ("TERMINATED", True)
    last = eventually("EDC's", lambda: parties.provider.management.negotiation(theirs), ended)
    assert last["state"] == "TERMINATED"


def test_edc_as_consumer_gives_up(parties: Exchange) -> None:
    pid, theirs = providing(parties)
    parties.consumer.management.end_negotiation(theirs, REASON)
    seen = parties.ours.client.wait_negotiation(pid, PATIENCE_SECONDS)
    assert (seen.state, REASON in seen.reason) == ("TERMINATED", True)
    last = eventually("EDC's", lambda: parties.consumer.management.negotiation(theirs), ended)
    assert last["state"] == "TERMINATED"


def test_we_as_provider_give_up(parties: Exchange) -> None:
    pid, theirs = providing(parties)
    parties.ours.client.end_negotiation(pid, REASON)
    seen = parties.ours.client.wait_negotiation(pid, PATIENCE_SECONDS)
    assert (seen.state, REASON in seen.reason) == ("TERMINATED", True)
    last = eventually("EDC's", lambda: parties.consumer.management.negotiation(theirs), ended)
    assert last["state"] == "TERMINATED"
