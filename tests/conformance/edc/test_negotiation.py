"""Catalogue and negotiation, with EDC as the provider and as the consumer."""

from typing import Any

import pytest

from tests.conformance.edc.exchange import PATIENCE_SECONDS, Exchange, eventually
from tests.conformance.edc.offers import ended, offered, our_offer
from tests.conformance.edc.transfers import ATTEMPTS

pytestmark = pytest.mark.edc


def test_we_negotiate_an_offer_of_edcs_catalogue(parties: Exchange) -> None:
    ours, edc = parties.ours.client, parties.provider

    seen = _concluded(parties)

    theirs = eventually("EDC's", lambda: edc.management.negotiation(str(seen.peer_id)), ended)
    assert theirs["state"] == "FINALIZED"
    assert edc.management.agreement_id(theirs) == seen.agreement
    assert ours.agreement(str(seen.agreement)).state == "CONCLUDED"


def test_edc_negotiates_an_offer_of_our_catalogue(parties: Exchange) -> None:
    ours, edc = parties.ours, parties.consumer

    seen = _concluded_by_edc(parties)

    process = ours.client.wait_negotiation(seen["correlationId"])
    assert (process.state, process.role, process.counterparty) == ("FINALIZED", "provider", edc.participant)
    assert ours.client.agreement(str(process.agreement)).state == "CONCLUDED"
    assert edc.management.agreement_id(seen) == process.agreement


def _concluded(parties: Exchange) -> Any:
    """Our negotiation, FINALIZED. One that EDC ended in a race with itself says why, and another is asked for."""
    ours, ends = parties.ours.client, []
    for _ in range(ATTEMPTS):
        asked = ours.negotiate_offer(parties.provider.participant, offered(parties))
        seen = ours.wait_negotiation(asked.id, PATIENCE_SECONDS)
        if seen.state == "FINALIZED":
            assert seen.reason == ()
            return seen
        assert (seen.state, bool(seen.reason)) == ("TERMINATED", True), seen
        print(f"EDC ended a negotiation: {seen.reason}")
        ends.append(seen.reason)
    raise AssertionError(ends)


def _concluded_by_edc(parties: Exchange) -> dict[str, Any]:
    """The same the other way round: EDC's negotiation, as EDC shows it."""
    ours, edc, ends = parties.ours, parties.consumer.management, []
    for _ in range(ATTEMPTS):
        theirs = edc.negotiate(ours.did, ours.dsp_url, our_offer(parties))
        seen = eventually("EDC's negotiation", lambda theirs=theirs: edc.negotiation(theirs), ended)
        if seen["state"] == "FINALIZED":
            return dict(seen)
        ends.append(seen)
    raise AssertionError(ends)
