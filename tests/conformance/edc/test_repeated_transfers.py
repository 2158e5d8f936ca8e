"""Messages of transfers that come twice, and ends that meet on the way: every transfer ends once, or says why.

As for negotiations (`test_repeated`): EDC's own messages and ours to it, repeated by the relays between us.
"""

from pathlib import Path

import pytest

from tests.conformance.edc.exchange import DELIVERED, LARGE, PATIENCE_SECONDS, TABLE, Exchange, eventually
from tests.conformance.edc.offers import ENDED
from tests.conformance.edc.relay import Way, held, once
from tests.conformance.edc.repeating import check_repeated
from tests.conformance.edc.transfers import (
    PUSH,
    REASON,
    STOPPED,
    agreed_with_edc,
    agreed_with_us,
    arrived,
    is_over,
    of_edc,
    of_ours,
)

pytestmark = [pytest.mark.edc, pytest.mark.usefixtures("relays")]


def test_what_edc_as_provider_sends_is_taken_once(parties: Exchange, way: Way, tmp_path: Path) -> None:
    ours, target = parties.ours, tmp_path / "arrived.csv"
    agreement = agreed_with_edc(parties, TABLE)
    ours.relay.way = way

    pid = ours.client.transfer(agreement, PUSH, to=str(target)).id

    seen = ours.client.wait_transfer(pid, PATIENCE_SECONDS, to_the_end=True)
    if arrived(seen):
        assert target.read_bytes() == parties.web.files[TABLE]
        check_repeated(ours.relay, "TransferStartMessage", "TransferCompletionMessage")


def test_what_edc_as_consumer_sends_is_taken_once(parties: Exchange, way: Way) -> None:
    ours, edc = parties.ours, parties.consumer.management
    agreement, before = agreed_with_us(parties, ours.file), {one.id for one in ours.client.transfers()}
    ours.relay.way = way

    theirs = edc.transfer(ours.did, ours.dsp_url, agreement, parties.web.url("sink/repeated"))

    (made,) = eventually("the request", lambda: [o for o in ours.client.transfers() if o.id not in before], bool)
    if arrived(ours.client.wait_transfer(made.id, PATIENCE_SECONDS, to_the_end=True)):
        assert parties.web.received["sink/repeated"] == DELIVERED
        print("EDC's end may stay where an older state was written over it:", edc.transfer_status(theirs)["state"])
    assert [one.id for one in ours.client.transfers() if one.id not in before] == [made.id]
    check_repeated(ours.relay, "TransferRequestMessage")


def test_what_we_send_twice_to_edc_as_consumer_ends_once(parties: Exchange, way: Way) -> None:
    ours, edc = parties.ours, parties.consumer
    agreement = agreed_with_us(parties, ours.file)
    edc.relay.way = way

    theirs = edc.management.transfer(ours.did, ours.dsp_url, agreement, parties.web.url("sink/twice"))

    seen = eventually("ours", lambda: of_ours(parties, theirs), lambda one: one is not None and one.state in ENDED)
    if arrived(seen):
        assert parties.web.received["sink/twice"] == DELIVERED


def test_what_we_send_twice_to_edc_as_provider_ends_once(
    parties: Exchange,
    way: Way,
    tmp_path: Path,
) -> None:
    """EDC may make two transfers of a request that comes twice; ours stays one."""
    ours, target = parties.ours.client, tmp_path / "arrived.csv"
    agreement = agreed_with_edc(parties, TABLE)
    parties.provider.relay.way = way

    pid = ours.transfer(agreement, PUSH, to=str(target)).id

    seen = ours.wait_transfer(pid, PATIENCE_SECONDS, to_the_end=True)
    if arrived(seen):
        assert target.read_bytes() == parties.web.files[TABLE]


def test_ends_that_meet_on_the_way_end_it_at_both(parties: Exchange) -> None:
    """EDC as the provider, to a slow reader; either end gives up before it hears of the other."""
    ours, edc = parties.ours, parties.provider
    place = {"type": "HttpData", "baseUrl": parties.web.url("slow/met")}
    pid = ours.client.transfer(agreed_with_edc(parties, LARGE), PUSH, destination=place).id
    eventually("the push", lambda: parties.web.posting, bool)
    theirs = eventually("EDC's end", lambda: of_edc(parties, pid), lambda one: one["state"] == "STARTED")["@id"]
    ours.client.wait_transfer(pid, PATIENCE_SECONDS)
    ours.relay.way = edc.relay.way = held("termination")

    edc.management.end_transfer(theirs, REASON)
    ours.client.end_transfer(pid, REASON)
    eventually("EDC's wish", lambda: edc.management.transfer_status(theirs), lambda one: one["state"] != "STARTED")
    ours.relay.way = edc.relay.way = once

    seen = ours.client.wait_transfer(pid, PATIENCE_SECONDS, to_the_end=True)
    assert (seen.state, REASON in " ".join(seen.reason)) == ("TERMINATED", True)
    assert eventually("EDC's", lambda: edc.management.transfer_status(theirs), is_over)["state"] in STOPPED
    eventually("the end of the push", lambda: parties.web.posting, lambda count: count == 0)
    assert "slow/met" not in parties.web.received
