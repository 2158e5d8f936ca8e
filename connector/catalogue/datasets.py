"""What a dataset of the Dataspace Protocol says, ours or a peer's. Pure."""

from typing import Any

from hexi.canonical import Json

# In DCAT's words. The protocol's context has no short name for it.
CONFORMS_TO = "http://purl.org/dc/terms/conformsTo"


def formats_of(dataset: dict[str, Any]) -> tuple[str, ...]:
    """The formats a dataset is delivered in, each once."""
    names = (_name(item.get("format")) for item in objects(dataset.get("distribution")))
    return tuple(dict.fromkeys(name for name in names if name))


def lanes_of(dataset: dict[str, Any]) -> dict[str, str]:
    """What each format's distribution conforms to, where it says: of our make, a sandbox's lane and whom it answers."""
    said = ((_name(item.get("format")), _name(item.get(CONFORMS_TO))) for item in objects(dataset.get("distribution")))
    return {format_: lane for format_, lane in said if format_ and lane}


def offers_of(dataset: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Its offers, each complete: it names its dataset as `target`, as a request must."""
    offers = ({"@type": "Offer", **policy, "target": dataset["@id"]} for policy in objects(dataset.get("hasPolicy")))
    return tuple(offer for offer in offers if isinstance(offer.get("@id"), str))


def objects(value: Json) -> list[dict[str, Any]]:
    """The objects in `value`: JSON-LD lets one stand without its brackets."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def _name(value: Json) -> str | None:
    named = value.get("@id") if isinstance(value, dict) else value
    return named if isinstance(named, str) else None
