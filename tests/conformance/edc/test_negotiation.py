"""Catalogue and negotiation, with EDC as the provider and as the consumer."""

from typing import Any

import pytest

from tests.conformance.edc.exchange import Exchange, eventually

pytestmark = pytest.mark.edc

ENDED = {"FINALIZED", "TERMINATED"}


def ended(process: dict[str, Any]) -> bool:
    return process["state"] in ENDED


def offered(parties: Exchange, asset: str) -> dict[str, Any]:
    """EDC's offer of an asset, as our people find it."""
    parties.provider.management.offer_asset(asset, "http://127.0.0.1:9/nothing")
    found = parties.ours.client.peer_catalogue(parties.provider.participant)
    dataset = next(item for item in found["datasets"] if item["id"] == asset)
    assert "HttpData-PUSH" in dataset["formats"]
    (offer,) = dataset["offers"]
    return dict(offer)


def our_offer(parties: Exchange) -> dict[str, Any]:
    """Our offer, as EDC's people find it."""
    catalogue = parties.consumer.management.catalogue(parties.ours.did, parties.ours.dsp_url)
    dataset = next(item for item in catalogue["dataset"] if item["@id"] == parties.ours.product)
    (offer,) = dataset["hasPolicy"]
    return offer | {"target": parties.ours.product}


def test_we_negotiate_an_offer_of_edcs_catalogue(parties: Exchange) -> None:
    ours, edc = parties.ours.client, parties.provider

    pid = ours.negotiate_offer(edc.participant, offered(parties, "asset-1"))["id"]

    seen = eventually("our negotiation", lambda: ours.negotiation(pid), ended)
    assert (seen["state"], seen["reason"]) == ("FINALIZED", [])
    theirs = eventually("EDC's", lambda: edc.management.negotiation(seen["peerId"]), ended)
    assert theirs["state"] == "FINALIZED"
    assert edc.management.agreement_id(theirs) == seen["agreement"]
    assert ours.agreement(seen["agreement"])["state"] == "CONCLUDED"


def test_edc_negotiates_an_offer_of_our_catalogue(parties: Exchange) -> None:
    ours, edc = parties.ours, parties.consumer

    theirs = edc.management.negotiate(ours.did, ours.dsp_url, our_offer(parties))

    seen = eventually("EDC's negotiation", lambda: edc.management.negotiation(theirs), ended)
    assert seen["state"] == "FINALIZED"
    process = eventually("our end", lambda: ours.client.negotiation(seen["correlationId"]), ended)
    assert (process["state"], process["role"], process["counterparty"]) == ("FINALIZED", "provider", edc.participant)
    assert ours.client.agreement(process["agreement"])["state"] == "CONCLUDED"
    assert edc.management.agreement_id(seen) == process["agreement"]
