"""Transfers with EDC, pushed in both directions: whole, completed at both ends, and stopped by either side."""

from pathlib import Path
from typing import Any

import pytest

from connector.management.errors import StillUnderWay
from tests.conformance.edc.exchange import DELIVERED, LARGE, PATIENCE_SECONDS, SLOW, TABLE, Exchange, eventually
from tests.conformance.edc.management import Management
from tests.conformance.edc.offers import ENDED, ended, offer_of_ours, offered

pytestmark = pytest.mark.edc

PUSH = "HttpData-PUSH"
REASON = "no longer wanted"
ATTEMPTS = 3


def agreed_with_edc(parties: Exchange, asset: str) -> str:
    """An agreement over an asset of EDC's; its id. Where EDC loses one in a race with itself, another is asked for."""
    ours, offer, ends = parties.ours.client, offered(parties, asset), []
    for _ in range(ATTEMPTS):
        asked = ours.negotiate_offer(parties.provider.participant, offer)
        try:
            seen = ours.wait_negotiation(asked.id, PATIENCE_SECONDS / ATTEMPTS)
        except StillUnderWay as lost:
            ends.append(str(lost))
            continue
        if seen.state == "FINALIZED":
            return str(seen.agreement)
        ends.append(str(seen.reason))
    raise AssertionError(ends)


def agreed_with_us(parties: Exchange, product: str) -> str:
    """EDC's agreement over a product of ours; its id at EDC."""
    ours, edc, offer = parties.ours, parties.consumer.management, offer_of_ours(parties, product)
    for _ in range(ATTEMPTS):
        theirs = edc.negotiate(ours.did, ours.dsp_url, offer)
        done = eventually("EDC's agreement", lambda theirs=theirs: edc.negotiation(theirs), ended)
        if done["state"] == "FINALIZED":
            return str(done["contractAgreementId"])
    raise AssertionError(done)


def pushed_by_edc(parties: Exchange, to: Path) -> str:
    """Our transfer, as consumer, of what EDC pushes and never ends; its id. As with agreements, EDC may end one that it
    lost in a race with itself: then it says why, and another is asked for.
    """
    ours, agreement, ends = parties.ours.client, agreed_with_edc(parties, SLOW), []
    for _ in range(ATTEMPTS):
        seen = ours.wait_transfer(ours.transfer(agreement, PUSH, to=str(to)).id, PATIENCE_SECONDS)
        if seen.state == "STARTED":
            return seen.id
        assert seen.reason, seen
        ends.append((seen.state, seen.reason))
    raise AssertionError(ends)


def of_edc(parties: Exchange, pid: str) -> dict[str, Any]:
    """EDC's end, as provider, of our transfer."""
    found = [one for one in parties.provider.management.transfers() if one["correlationId"] == pid]
    return found[0] if found else {"state": "none"}


def of_ours(parties: Exchange, theirs: str) -> Any:
    """Our end, as provider, of EDC's transfer."""
    return next((one for one in parties.ours.client.transfers() if one.peer_id == theirs), None)


def test_edc_pushes_to_us(parties: Exchange, tmp_path: Path) -> None:
    target = tmp_path / "arrived.csv"
    ours = parties.ours.client
    pid = ours.transfer(agreed_with_edc(parties, TABLE), PUSH, to=str(target)).id

    seen = ours.wait_transfer(pid, PATIENCE_SECONDS, to_the_end=True)

    assert (seen.state, seen.reason) == ("COMPLETED", ())
    assert target.read_bytes() == parties.web.files[TABLE]
    assert eventually("EDC's", lambda: of_edc(parties, pid), _is_over)["state"] in {"COMPLETED", "DEPROVISIONED"}


def test_edc_pushes_to_another_place_of_ours(parties: Exchange) -> None:
    ours = parties.ours.client
    place = {"type": "HttpData", "baseUrl": parties.web.url("sink/of-ours")}
    pid = ours.transfer(agreed_with_edc(parties, TABLE), PUSH, destination=place).id

    seen = ours.wait_transfer(pid, PATIENCE_SECONDS, to_the_end=True)

    assert (seen.state, seen.reason) == ("COMPLETED", ())
    assert parties.web.received["sink/of-ours"] == parties.web.files[TABLE]


def test_we_push_to_edc(parties: Exchange) -> None:
    ours, edc = parties.ours, parties.consumer.management
    agreement = agreed_with_us(parties, parties.ours.file)

    theirs = edc.transfer(ours.did, ours.dsp_url, agreement, parties.web.url("sink/of-edc"))

    assert eventually("EDC's", lambda: edc.transfer_status(theirs), _is_over)["state"] in {"COMPLETED", "DEPROVISIONED"}
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

    assert eventually("EDC's", lambda: edc.transfer_status(theirs), _is_over)["state"] in {
        "TERMINATED",
        "DEPROVISIONED",
    }
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
    assert _last(edc, theirs) in {"TERMINATED", "DEPROVISIONED"}
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
    assert eventually("EDC's", lambda: edc.transfer_status(theirs), _is_over)["state"] in {
        "TERMINATED",
        "DEPROVISIONED",
    }


def test_edc_as_consumer_ends_a_push(parties: Exchange) -> None:
    ours, edc = parties.ours, parties.consumer.management
    agreement = agreed_with_us(parties, parties.ours.file)
    theirs = edc.transfer(ours.did, ours.dsp_url, agreement, parties.web.url("slow/again"))
    eventually("the push", lambda: parties.web.posting, bool)
    pid = eventually("our end", lambda: of_ours(parties, theirs), bool).id

    edc.end_transfer(theirs, REASON)

    seen = ours.client.wait_transfer(pid, PATIENCE_SECONDS, to_the_end=True)
    assert seen.state == "TERMINATED"
    assert eventually("EDC's", lambda: edc.transfer_status(theirs), _is_over)["state"] in {
        "TERMINATED",
        "DEPROVISIONED",
    }
    eventually("the end of the push", lambda: parties.web.posting, lambda count: count == 0)


def test_a_format_that_we_do_not_deliver_is_refused_with_its_reason(parties: Exchange) -> None:
    ours, edc = parties.ours, parties.consumer.management
    agreement = agreed_with_us(parties, ours.product)

    asked = edc.transfer(ours.did, ours.dsp_url, agreement, parties.web.url("sink/never"))

    # EDC's end follows, unless it takes our answer before it has written down its own request, and then overwrites it.
    refused = eventually("our end", lambda: of_ours(parties, asked), lambda one: one is not None and one.state in ENDED)
    assert (refused.state, refused.reason[0]) == ("TERMINATED", "connector.format-unknown")


def _is_over(process: dict[str, Any]) -> bool:
    return process["state"] in ENDED


def _last(edc: Management, identifier: str) -> str:
    """The state that a transfer of EDC's ends in."""
    return str(eventually("EDC's", lambda: edc.transfer_status(identifier), _is_over)["state"])
