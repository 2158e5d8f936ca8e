"""Calls to the registry of a space.

registry = RegistryClient("https://space.example", authorise=lambda: present(identity, operator, credential, clock))
registry.search(q="医保 claims").total
"""

from collections.abc import Callable, Iterator
from urllib.parse import quote

import httpx

from hexi.canonical import Json
from hexi.client import ServiceClient
from ledger.documents import SignedDocument
from registry.codes import Mode
from registry.messages import (
    PREFIX,
    ApplicationDetail,
    ApplicationsAnswer,
    ApplicationState,
    IdentifierAnswer,
    OperatorAnswer,
    ParticipantMessage,
    ParticipantsAnswer,
    Publication,
    SearchAnswer,
)
from registry.participants import Participant
from registry.search import PAGE

# Participants fetched at once: some 300 kB, for each brings its DID document.
PARTICIPANTS_PAGE = 200


class RegistryClient:
    """The registry at the space's `base_url`. `authorise` gives an ``Authorization`` value per call (`present`).

    Every method raises `RemoteProblem` (with the registry's code) or `Unreachable`.
    """

    def __init__(
        self,
        base_url: str,
        authorise: Callable[[], str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = ServiceClient(
            base_url.rstrip("/") + PREFIX, "the registry", authorise=authorise, transport=transport
        )

    def apply(self, application: str) -> ApplicationState:
        """Send an application made by `seal_application`. The same one again changes nothing."""
        return self._http.read(ApplicationState, self._http.post("/applications", {"application": application}))

    def application(self, application_id: str) -> ApplicationState:
        """Where an application stands."""
        return self._http.read(ApplicationState, self._http.get(f"/applications/{_segment(application_id)}"))

    def applications(self) -> tuple[ApplicationDetail, ...]:
        """All applications (operator)."""
        return self._http.read(ApplicationsAnswer, self._http.get("/applications")).items

    def approve(self, application_id: str) -> ApplicationState:
        """Admit an applicant (operator)."""
        return self._http.read(ApplicationState, self._http.post(f"/applications/{_segment(application_id)}/approval"))

    def reject(self, application_id: str, reason: str) -> ApplicationState:
        """Turn an applicant away (operator)."""
        path = f"/applications/{_segment(application_id)}/rejection"
        return self._http.read(ApplicationState, self._http.post(path, {"reason": reason}))

    def participants(self) -> Iterator[Participant]:
        """Everybody who is or was a participant, fetched a page at a time."""
        params: dict[str, Json] = {"limit": PARTICIPANTS_PAGE}
        while True:
            found = self._http.read(ParticipantsAnswer, self._http.get("/participants", params, public=True)).items
            yield from (message.participant() for message in found)
            if len(found) < PARTICIPANTS_PAGE:
                return
            params["after"] = found[-1].did

    def participant(self, did: str) -> Participant:
        """One participant, active or revoked: look at its status, or ask through `RemoteTrust`."""
        return self._http.read(
            ParticipantMessage, self._http.get(f"/participants/{_segment(did)}", public=True)
        ).participant()

    def revoke(self, did: str, reason: str) -> Participant:
        """End a membership (operator)."""
        path = f"/participants/{_segment(did)}/revocation"
        return self._http.read(ParticipantMessage, self._http.post(path, {"reason": reason})).participant()

    def allocate(self, kind: str = "product") -> str:
        """A fresh identifier for a ``product`` or ``resource`` of the caller."""
        return self._http.read(IdentifierAnswer, self._http.post("/identifiers", {"kind": kind})).identifier

    def identifier(self, identifier: str) -> IdentifierAnswer:
        """To whom an identifier was given."""
        return self._http.read(IdentifierAnswer, self._http.get(f"/identifiers/{_segment(identifier)}"))

    def publish(self, signed: SignedDocument) -> Publication:
        """Publish a product version signed by the caller. The same one again gives the same answer."""
        identifier = _segment(str(signed.document.get("identifier")))
        return self._http.read(Publication, self._http.put(f"/products/{identifier}", signed.to_json()))

    def withdraw(self, identifier: str, version: int | None = None) -> Publication:
        """Take a product of the caller out of the catalogue and off the market, unless it has a newer version than
        `version` by now. The same again gives the same answer."""
        body = {} if version is None else {"version": version}
        return self._http.read(Publication, self._http.post(f"/products/{_segment(identifier)}/withdrawal", body))

    def product(self, identifier: str, version: int | None = None) -> SignedDocument:
        """A product as its provider signed it. Verify it: ``verify_document(..., of_type="data-product")``."""
        params = {} if version is None else {"version": version}
        return SignedDocument.from_json(self._http.get(f"/products/{_segment(identifier)}", params, public=True))

    def search(
        self,
        q: str = "",
        *,
        theme: str | None = None,
        region: str | None = None,
        provider: str | None = None,
        mode: Mode | str | None = None,
        personal: bool | None = None,
        offset: int = 0,
        limit: int = PAGE,
        facets: bool = True,
        after: int | None = None,
    ) -> SearchAnswer:
        """Search the catalogue; None means any. `after` is the `next` of the page before: as fast however far out."""
        asked = {
            "q": q,
            "theme": theme,
            "region": region,
            "provider": provider,
            "mode": str(mode) if mode else None,
            "personal": personal,
            "offset": offset,
            "limit": limit,
            "facets": facets,
            "after": after,
        }
        params = {name: value for name, value in asked.items() if value is not None}
        return self._http.read(SearchAnswer, self._http.get("/products", params))

    def operator(self) -> OperatorAnswer:
        """Who runs the space."""
        return self._http.read(OperatorAnswer, self._http.get("/operator"))

    def interface(self, version: str = "1.0") -> dict[str, Json]:
        """What a version of the unified interface consists of."""
        return dict(self._http.get(f"/interface/{_segment(version)}"))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _segment(text: str) -> str:
    return quote(text, safe="")
