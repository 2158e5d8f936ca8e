"""Transfers with EDC, pushed in both directions: whole, completed at both ends, and stopped by either side."""

from pathlib import Path

import pytest

from tests.conformance.edc.exchange import DELIVERED, LARGE, PATIENCE_SECONDS, TABLE, Exchange, eventually
from tests.conformance.edc.management import Management
from tests.conformance.edc.offers import ENDED
from tests.conformance.edc.transfers import (
    ARRIVED,
    PUSH,
    REASON,
    STOPPED,
    agreed_with_edc,
    agreed_with_us,
    delivered_by_edc,
    is_over,
    of_edc,
    of_ours,
    pushed_by_edc,
)

pytestmark = pytest.mark.edc


def test_edc_pushes_to_us(parties: Exchange, tmp_path: Path) -> None:
    target = tmp_path / "arrived.csv"

    pid = delivered_by_edc(parties, TABLE, to=str(target))

    assert target.read_bytes() == parties.web.files[TABLE]
    assert eventually("EDC's", lambda: of_edc(parties, pid), is_over)["state"] in ARRIVED


def test_edc_pushes_to_another_place_of_ours(parties: Exchange) -> None:

    delivered_by_edc(parties, TABLE, destination={"type": "HttpData", "baseUrl": parties.web.url("sink/of-ours")})

    assert parties.web.received["sink/of-ours"] == parties.web.files[TABLE]


def test_we_push_to_edc(parties: Exchange) -> None:
    ours, edc = parties.ours, parties.consumer.management
    agreement = agreed_with_us(parties, parties.ours.file)

    theirs = edc.transfer(ours.did, ours.dsp_url, agreement, parties.web.url("sink/of-edc"))

    assert eventually("EDC's", lambda: edc.transfer_status(theirs), is_over)["state"] in ARRIVED
    assert parties.web.received["sink/of-edc"] == DELIVERED
    seen = eventually("ours", lambda: of_ours(parties, theirs), lambda one: one.state in ENDED)
    assert (seen.state, seen.reason) == ("COMPLETED", ())


def test_we_as_provider_stop_a_push(parties: Exchange) -> None:
    ours, edc = parties.ours, parties.consumer.management
    agreement = agreed_with_us(parties, parties.ours.file)
    theirs = edc.transfer(ours.did, ours.dsp_url, agreement, parties.web.url("slow/of-edc"))
    eventually("the push", lambda: parties.web.posting, bool)
    pid = eventually("our end", lambda: of_ours(parties, theirs), bool).id

    ours.client.end_transfer(pid, REASON)

    assert eventually("EDC's", lambda: edc.transfer_status(theirs), is_over)["state"] in STOPPED
    seen = ours.client.wait_transfer(pid, PATIENCE_SECONDS, to_the_end=True)
    assert (seen.state, REASON in seen.reason) == ("TERMINATED", True)
    eventually("the end of the push", lambda: parties.web.posting, lambda count: count == 0)
    assert "slow/of-edc" not in parties.web.received


def test_edc_as_provider_stops_a_push(parties: Exchange) -> None:
    """To a slow reader: while EDC 0.15.1 waits for its source, it cannot end a push ("Unbalanced enter/exit")."""
    ours, edc = parties.ours.client, parties.provider.management
    place = {"type": "HttpData", "baseUrl": parties.web.url("slow/of-ours")}
    pid = ours.transfer(agreed_with_edc(parties, LARGE), PUSH, destination=place).id
    eventually("the push", lambda: parties.web.posting, bool)
    theirs = eventually("EDC's end", lambda: of_edc(parties, pid), lambda one: one["state"] != "none")["@id"]

    edc.end_transfer(theirs, REASON)

    seen = ours.wait_transfer(pid, PATIENCE_SECONDS, to_the_end=True)
    assert (seen.state, REASON in " ".join(seen.reason)) == ("TERMINATED", True)
    assert _last(edc, theirs) in STOPPED
    eventually("the end of the push", lambda: parties.web.posting, lambda count: count == 0)
    assert "slow/of-ours" not in parties.web.received


def test_we_as_consumer_end_a_push(parties: Exchange, tmp_path: Path) -> None:
    ours, edc = parties.ours.client, parties.provider.management
    pid = pushed_by_edc(parties, tmp_path / "never")
    eventually("the push", lambda: parties.web.reading, bool)
    theirs = eventually("EDC's end", lambda: of_edc(parties, pid), lambda one: one["state"] != "none")["@id"]

    ours.end_transfer(pid, REASON)

    seen = ours.wait_transfer(pid, PATIENCE_SECONDS, to_the_end=True)
    assert (seen.state, REASON in seen.reason) == ("TERMINATED", True)
    assert eventually("EDC's", lambda: edc.transfer_status(theirs), is_over)["state"] in STOPPED


def test_edc_as_consumer_ends_a_push(parties: Exchange) -> None:
    ours, edc = parties.ours, parties.consumer.management
    agreement = agreed_with_us(parties, parties.ours.file)
    theirs = edc.transfer(ours.did, ours.dsp_url, agreement, parties.web.url("slow/again"))
    eventually("the push", lambda: parties.web.posting, bool)
    pid = eventually("our end", lambda: of_ours(parties, theirs), bool).id

    edc.end_transfer(theirs, REASON)

    seen = ours.client.wait_transfer(pid, PATIENCE_SECONDS, to_the_end=True)
    assert seen.state == "TERMINATED"
    assert eventually("EDC's", lambda: edc.transfer_status(theirs), is_over)["state"] in STOPPED
    eventually("the end of the push", lambda: parties.web.posting, lambda count: count == 0)


def test_a_format_that_we_do_not_deliver_is_refused_with_its_reason(parties: Exchange) -> None:
    ours, edc = parties.ours, parties.consumer.management
    agreement = agreed_with_us(parties, ours.product)

    asked = edc.transfer(ours.did, ours.dsp_url, agreement, parties.web.url("sink/never"))

    # EDC's end follows, unless it takes our answer before it has written down its own request, and then overwrites it.
    refused = eventually("our end", lambda: of_ours(parties, asked), lambda one: one is not None and one.state in ENDED)
    assert (refused.state, refused.reason[0]) == ("TERMINATED", "connector.format-unknown")


def _last(edc: Management, identifier: str) -> str:
    """The state that a transfer of EDC's ends in."""
    return str(eventually("EDC's", lambda: edc.transfer_status(identifier), is_over)["state"])
