"""The management API towards single peers: their own catalogues, and negotiations over what stands there."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from connector.api.management import Owner, process_view
from connector.peer_catalogue import PeerCatalogues
from connector.peer_messages import AskCatalogue, NegotiateOffer


def create_router(catalogues: PeerCatalogues) -> APIRouter:
    """The routes under ``/management/peers``."""
    router = APIRouter(prefix="/management/peers", tags=["management"])

    @router.post("/catalogue")
    def catalogue(_: Owner, body: AskCatalogue) -> dict[str, Any]:
        """A peer's own catalogue: its datasets, their formats, and offers ready to be negotiated."""
        return asdict(catalogues.catalogue(body))

    @router.post("/negotiations", status_code=201)
    def negotiate(_: Owner, body: NegotiateOffer) -> dict[str, Any]:
        """Ask a peer for a contract on an offer of its catalogue. With an `id`, asking again starts nothing."""
        return process_view(catalogues.negotiate(body))

    return router
