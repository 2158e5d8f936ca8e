"""What the tests of transfers with EDC have in common: agreements to transfer under, and the processes at both ends."""

from pathlib import Path
from typing import Any

from connector.management.errors import StillUnderWay
from tests.conformance.edc.exchange import PATIENCE_SECONDS, SLOW, Exchange, eventually
from tests.conformance.edc.offers import ENDED, ended, offer_of_ours, offered

PUSH = "HttpData-PUSH"
REASON = "no longer wanted"
ATTEMPTS = 3
# How a transfer of EDC's that arrived, or was stopped, is shown there: it tidies up at once.
ARRIVED, STOPPED = {"COMPLETED", "DEPROVISIONED"}, {"TERMINATED", "DEPROVISIONED"}


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


def delivered_by_edc(parties: Exchange, asset: str, **where: Any) -> str:
    """Our transfer, as consumer, of what EDC pushed `where` we said, completed at our end; its id.

    Two pushes of one transfer that run in EDC at once (when its start was sent again) read from one stream, and the
    buffers they spoil are used again by later transfers: EDC ends such a one ("arraycopy: length -8183 is negative").
    Then it says why, and another is asked for.
    """
    ours, agreement, ends = parties.ours.client, agreed_with_edc(parties, asset), []
    for _ in range(ATTEMPTS):
        seen = ours.wait_transfer(ours.transfer(agreement, PUSH, **where).id, PATIENCE_SECONDS, to_the_end=True)
        if seen.state == "COMPLETED":
            assert seen.reason == ()
            return seen.id
        assert (seen.state, bool(seen.reason)) == ("TERMINATED", True)
        print(f"EDC ended a push of its own: {seen.reason}")
        ends.append(seen.reason)
    raise AssertionError(ends)


def of_edc(parties: Exchange, pid: str) -> dict[str, Any]:
    """EDC's end, as provider, of our transfer."""
    found = [one for one in parties.provider.management.transfers() if one["correlationId"] == pid]
    return found[0] if found else {"state": "none"}


def of_ours(parties: Exchange, theirs: str) -> Any:
    """Our end, as provider, of EDC's transfer."""
    return next((one for one in parties.ours.client.transfers() if one.peer_id == theirs), None)


def arrived(seen: Any) -> bool:
    """Whether our end of a transfer ended well; fails if it ended otherwise without saying why.

    EDC writes an older state over a newer one when two messages meet in it, and answers 409 to what comes next.
    """
    print(f"ours: {seen.state} {seen.reason}")
    assert seen.state == "COMPLETED" or (seen.state == "TERMINATED" and seen.reason), seen
    return bool(seen.state == "COMPLETED")


def is_over(process: dict[str, Any]) -> bool:
    """Whether it came to an end there."""
    return process["state"] in ENDED
