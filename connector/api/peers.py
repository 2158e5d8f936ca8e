"""The management API towards single peers: their own catalogues, and negotiations over what stands there."""

from dataclasses import asdict

from fastapi import APIRouter

from connector.api.management import views
from connector.api.management.access import PREFIX, Owner
from connector.contracts.errors import PeerRefused, RequestIdTaken
from connector.management.answers import Negotiation
from connector.management.peer_catalogue import PeerCatalogues
from connector.management.peer_messages import AskCatalogue, NegotiateOffer, PeerCatalogueAnswer
from connector.protocol.errors import CallbackRefused, MessageMalformed
from hexi.client import Unreachable
from hexi.web import problems
from registry.errors import ParticipantRevoked, ParticipantUnknown


def create_router(catalogues: PeerCatalogues) -> APIRouter:
    """The routes under ``/management/peers``."""
    router = APIRouter(prefix=f"{PREFIX}/peers", tags=["peers"])
    asking = (ParticipantUnknown, ParticipantRevoked, CallbackRefused)

    @router.post("/catalogue", responses=problems(*asking, PeerRefused, Unreachable))
    def read_peer_catalogue(_: Owner, body: AskCatalogue) -> PeerCatalogueAnswer:
        """A peer's own catalogue: its datasets, their formats, and offers ready to be negotiated. 对方目录。"""
        return PeerCatalogueAnswer.model_validate(asdict(catalogues.catalogue(body)))

    @router.post("/negotiations", status_code=201, responses=problems(*asking, MessageMalformed, RequestIdTaken))
    def negotiate_peer_offer(_: Owner, body: NegotiateOffer) -> Negotiation:
        """Ask a peer for a contract on an offer of its catalogue. 按对方要约协商。

        With an `id` of yours, asking again starts nothing.
        """
        return views.negotiation(catalogues.negotiate(body))

    return router
