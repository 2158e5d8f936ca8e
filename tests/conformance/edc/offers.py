"""Offers as each side finds them, and when a process has ended."""

from typing import Any

from tests.conformance.edc.exchange import TABLE, Exchange

# Of negotiations and of transfers; EDC puts some away afterwards.
ENDED = {"FINALIZED", "COMPLETED", "TERMINATED", "DEPROVISIONED"}


def ended(process: dict[str, Any]) -> bool:
    return process["state"] in ENDED


def offered(parties: Exchange, asset: str = TABLE) -> dict[str, Any]:
    """EDC's offer of an asset, as our people find it."""
    found = parties.ours.client.peer_catalogue(parties.provider.participant)
    dataset = next(item for item in found.datasets if item.id == asset)
    assert "HttpData-PUSH" in dataset.formats
    (offer,) = dataset.offers
    return dict(offer)


def our_offer(parties: Exchange) -> dict[str, Any]:
    """The offer of our tables, as EDC's people find it."""
    return offer_of_ours(parties, parties.ours.product)


def offer_of_ours(parties: Exchange, product: str) -> dict[str, Any]:
    """Our offer of a product, as EDC's people find it."""
    catalogue = parties.consumer.management.catalogue(parties.ours.did, parties.ours.dsp_url)
    datasets = catalogue["dataset"] if isinstance(catalogue["dataset"], list) else [catalogue["dataset"]]
    (dataset,) = [item for item in datasets if item["@id"] == product]
    (offer,) = dataset["hasPolicy"] if isinstance(dataset["hasPolicy"], list) else [dataset["hasPolicy"]]
    return dict(offer) | {"target": product}
