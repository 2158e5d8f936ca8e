"""Catalogue and negotiation, with EDC as the provider and as the consumer."""

import pytest

from tests.conformance.edc.exchange import Exchange, eventually
from tests.conformance.edc.offers import ended, offered, our_offer

pytestmark = pytest.mark.edc


def test_we_negotiate_an_offer_of_edcs_catalogue(parties: Exchange) -> None:
    ours, edc = parties.ours.client, parties.provider

    pid = ours.negotiate_offer(edc.participant, offered(parties)).id

    seen = ours.wait_negotiation(pid)
    assert (seen.state, seen.reason) == ("FINALIZED", ())
    theirs = eventually("EDC's", lambda: edc.management.negotiation(str(seen.peer_id)), ended)
    assert theirs["state"] == "FINALIZED"
    assert edc.management.agreement_id(theirs) == seen.agreement
    assert ours.agreement(str(seen.agreement)).state == "CONCLUDED"


def test_edc_negotiates_an_offer_of_our_catalogue(parties: Exchange) -> None:
    ours, edc = parties.ours, parties.consumer

    theirs = edc.management.negotiate(ours.did, ours.dsp_url, our_offer(parties))

    seen = eventually("EDC's negotiation", lambda: edc.management.negotiation(theirs), ended)
    assert seen["state"] == "FINALIZED"
    process = ours.client.wait_negotiation(seen["correlationId"])
    assert (process.state, process.role, process.counterparty) == ("FINALIZED", "provider", edc.participant)
    assert ours.client.agreement(str(process.agreement)).state == "CONCLUDED"
    assert edc.management.agreement_id(seen) == process.agreement
