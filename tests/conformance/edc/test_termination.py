"""Either side gives up a negotiation, in either role, while something is under way."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.conformance.edc.exchange import PATIENCE_SECONDS, Exchange, eventually
from tests.conformance.edc.offers import ended, offered, our_offer
from tests.conformance.edc.relay import held, once
from tests.conformance.edc.transfers import ATTEMPTS

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
    ends = []
    for _ in range(ATTEMPTS):
        pid = ours.negotiate_offer(edc.participant, offered(parties)).id
        seen = within(partial(ours.negotiation, pid), lambda one: one.state in {"AGREED", "TERMINATED"})
        if seen.state == "AGREED":
            look = partial(edc.management.negotiation, str(seen.peer_id))
            eventually("EDC's", look, lambda one: one["state"] == "AGREED")
            return pid, str(seen.peer_id)
        lost_by_edc(parties, pid)
        ends.append(seen)
    raise AssertionError(ends)


def providing(parties: Exchange) -> tuple[str, str]:
    """The same over our offer."""
    ours, edc = parties.ours, parties.consumer
    offer = our_offer(parties)
    ours.relay.way = held("verification")
    for _ in range(ATTEMPTS):
        theirs = edc.management.negotiate(ours.did, ours.dsp_url, offer)

        def made(theirs: str = theirs) -> list[str]:
            return [one.id for one in ours.client.negotiations(state="AGREED") if one.peer_id == theirs]

        if found := within(made, bool):
            (pid,) = found
            return pid, theirs
        lost_by_edc(parties, theirs)
    raise AssertionError(edc.management.negotiation(theirs))


def within(look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """What `look` gives once it is `wanted`, or in the end."""
    deadline = time.monotonic() + PATIENCE_SECONDS / ATTEMPTS
    while not wanted(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen


def lost_by_edc(parties: Exchange, pid: str) -> None:
    """EDC now and then loses a state of its own, and another negotiation is asked for; but nothing that we refused."""
    about = [(sent, answer) for sent, answer in parties.ours.relay.passed if sent.message.get("consumerPid") == pid]
    print(f"EDC came to no agreement: {[(sent.type, answer.status) for sent, answer in about]}")
    assert [sent.message for sent, answer in about if 400 <= answer.status < 500] == []


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
