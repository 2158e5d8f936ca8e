"""EDC's management API, version 3: the bodies it wants, and a small client.

Its JSON-LD is written in the one compact form it is known to take; what it answers is read as far as we need it.
"""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.conformance.edc.runtime import PROTOCOL

VOCABULARY = {"@vocab": "https://w3id.org/edc/v0.0.1/ns/"}
ODRL = "http://www.w3.org/ns/odrl.jsonld"
USE = {"permission": [{"action": "use"}]}
ANSWER_SECONDS = 60.0


def asset(identifier: str, source: str) -> dict[str, Any]:
    """An asset that lies at the HTTP address `source`."""
    address = {"type": "HttpData", "baseUrl": source}
    return {"@context": VOCABULARY, "@id": identifier, "properties": {"name": identifier}, "dataAddress": address}


def policy(identifier: str) -> dict[str, Any]:
    """Everybody may use it."""
    return {"@context": VOCABULARY, "@id": identifier, "policy": {"@context": ODRL, "@type": "Set", **USE}}


def contract_definition(identifier: str, policy_id: str) -> dict[str, Any]:
    """All assets, on this policy."""
    ids = {"accessPolicyId": policy_id, "contractPolicyId": policy_id}
    return {"@context": VOCABULARY, "@id": identifier, **ids, "assetsSelector": []}


def catalogue_request(counterparty: str, address: str, limit: int = 50, offset: int = 0) -> dict[str, Any]:
    """A page of a peer's catalogue."""
    page = {"@type": "QuerySpec", "limit": limit, "offset": offset}
    return {"@context": VOCABULARY, **_peer(counterparty, address), "querySpec": page}


def contract_request(counterparty: str, address: str, offer: dict[str, Any]) -> dict[str, Any]:
    """A negotiation over `offer`, which names its target."""
    asked = {"@context": ODRL, "@type": "Offer", **offer, "assigner": counterparty}
    return {"@context": VOCABULARY, "@type": "ContractRequest", **_peer(counterparty, address), "policy": asked}


def transfer_request(counterparty: str, address: str, agreement: str, sink: str) -> dict[str, Any]:
    """A push of the asset under `agreement` to the HTTP address `sink`."""
    destination = {"type": "HttpData", "baseUrl": sink}
    asked = {"contractId": agreement, "transferType": "HttpData-PUSH", "dataDestination": destination}
    return {"@context": VOCABULARY, "@type": "TransferRequest", **_peer(counterparty, address), **asked}


def _peer(counterparty: str, address: str) -> dict[str, Any]:
    return {"counterPartyId": counterparty, "counterPartyAddress": address, "protocol": PROTOCOL}


@dataclass(frozen=True)
class Management:
    """The management API at `url`. A refusal is an `httpx.HTTPStatusError` with EDC's words."""

    url: str
    http: httpx.Client

    @classmethod
    def at(cls, url: str) -> "Management":
        """A client for it; close its `http` at the end."""
        return cls(f"{url}/v3", httpx.Client(trust_env=False, timeout=ANSWER_SECONDS))

    def offer_asset(self, identifier: str, source: str) -> None:
        """Make an asset that is offered to everybody."""
        self.post("/assets", asset(identifier, source))

    def open_to_everybody(self) -> None:
        """Make the one policy and contract definition all assets are offered by."""
        self.post("/policydefinitions", policy("use"))
        self.post("/contractdefinitions", contract_definition("everything", "use"))

    def catalogue(self, counterparty: str, address: str) -> Any:
        """A peer's catalogue, as EDC passes it on."""
        return self.post("/catalog/request", catalogue_request(counterparty, address))

    def negotiate(self, counterparty: str, address: str, offer: dict[str, Any]) -> str:
        """Start a negotiation; returns its id."""
        return str(self.post("/contractnegotiations", contract_request(counterparty, address, offer))["@id"])

    def negotiation(self, identifier: str) -> dict[str, Any]:
        """How it stands: ``state``, ``contractAgreementId``, ``errorDetail``."""
        return dict(self._call("GET", f"/contractnegotiations/{identifier}"))

    def agreement_id(self, negotiation: dict[str, Any]) -> str:
        """The agreement's id on the wire: EDC keeps it under another of its own."""
        return str(self._call("GET", f"/contractagreements/{negotiation['contractAgreementId']}")["agreementId"])

    def negotiations(self) -> list[dict[str, Any]]:
        """All of them, up to a thousand."""
        return list(self.post("/contractnegotiations/request", _everything()))

    def end_negotiation(self, identifier: str, reason: str) -> None:
        """Terminate it."""
        self.post(f"/contractnegotiations/{identifier}/terminate", {**_said(identifier, reason)})

    def transfer(self, counterparty: str, address: str, agreement: str, sink: str) -> str:
        """Ask for a push; returns the transfer's id."""
        return str(self.post("/transferprocesses", transfer_request(counterparty, address, agreement, sink))["@id"])

    def transfer_status(self, identifier: str) -> dict[str, Any]:
        """How it stands: ``state``, ``errorDetail``."""
        return dict(self._call("GET", f"/transferprocesses/{identifier}"))

    def transfers(self) -> list[dict[str, Any]]:
        """All of them, up to a thousand."""
        return list(self.post("/transferprocesses/request", _everything()))

    def end_transfer(self, identifier: str, reason: str) -> None:
        """Terminate it."""
        self.post(f"/transferprocesses/{identifier}/terminate", _said(identifier, reason))

    def suspend_transfer(self, identifier: str, reason: str) -> None:
        """Suspend it."""
        self.post(f"/transferprocesses/{identifier}/suspend", _said(identifier, reason))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Any other call."""
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self.http.request(method, self.url + path, json=body)
        if answer.is_error:
            raise httpx.HTTPStatusError(
                f"EDC answered {answer.status_code} to {method} {path}: {answer.text[:1000]}",
                request=answer.request,
                response=answer,
            )
        return answer.json() if answer.content else None


def _everything() -> dict[str, Any]:
    return {"@context": VOCABULARY, "@type": "QuerySpec", "limit": 1000}


def _said(identifier: str, reason: str) -> dict[str, Any]:
    return {"@context": VOCABULARY, "@id": identifier, "reason": reason}
