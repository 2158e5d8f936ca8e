"""Data addresses: endpoint, type, and properties by name (Dataspace Protocol 2025-1, section 9.2). Pure.

EDC writes property names as full IRIs or short, as pairs or as plain members; all are read alike.
"""

from collections.abc import Mapping

from hexi.canonical import Json

HTTP = "https://w3id.org/idsa/v4.1/HTTP"
EDC = "https://w3id.org/edc/v0.0.1/ns/"
# Members that say what an address is, not where.
_KINDS = frozenset({"@type", "type"})


def data_address(endpoint_type: str, endpoint: str, properties: Mapping[str, str]) -> dict[str, Json]:
    """A data address for the wire."""
    pairs: list[Json] = [{"@type": "EndpointProperty", "name": n, "value": v} for n, v in properties.items()]
    address: dict[str, Json] = {"@type": "DataAddress", "endpointType": endpoint_type, "endpoint": endpoint}
    return address | {"endpointProperties": pairs} if pairs else address


def destination_address(told: Mapping[str, Json]) -> dict[str, Json]:
    """A place to push to, in people's words (``{"type": "HttpData", "baseUrl": "https://..."}``), for the wire.

    Property names are written as full IRIs, the only way in which EDC finds them; what is a data address already stays.
    """
    if told.get("@type") == "DataAddress" and isinstance(told.get("endpointType"), str):
        return dict(told)
    properties = {name: value for name, value in told.items() if isinstance(value, str) and name not in _KINDS}
    endpoint = properties.get("baseUrl") or properties.get("endpoint") or ""
    return data_address(
        str(told.get("type") or "HttpData"), endpoint, {_full(name): value for name, value in properties.items()}
    )


def _full(name: str) -> str:
    return name if ":" in name else EDC + name


def properties_of(address: Mapping[str, Json] | None) -> dict[str, str]:
    """The properties of a data address by their short names, with its endpoint as ``endpoint``; other than text is
    passed over."""
    found: dict[str, str] = {}
    for name, value in (address or {}).items():
        if isinstance(value, str):
            found[name.removeprefix(EDC)] = value
    for pair in (address or {}).get("endpointProperties") or []:
        if isinstance(pair, dict) and isinstance(pair.get("name"), str) and isinstance(pair.get("value"), str):
            found[str(pair["name"]).removeprefix(EDC)] = str(pair["value"])
    return found
