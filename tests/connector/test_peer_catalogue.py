"""A peer's own catalogue and what is negotiated from it, over the simulator and against peers that write otherwise."""

import time
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from connector.management.peer_catalogue import PeerCatalogues
from connector.management.peer_messages import AskCatalogue, PeerDatasetAnswer
from connector.protocol.peers import Peers
from hexi.client import Unreachable
from hexi.errors import RemoteProblem
from tests.connector.crawler.peers import serving
from tests.simulator import PLANNER, Dataspace

STRANGE = "127.0.0.1:9999"


def answering(dataspace: Dataspace, body: Any, status: int = 200) -> str:
    """A peer at an address of its own that answers every catalogue request with `body`."""
    app = FastAPI()

    @app.post("/catalog/request")
    def catalogue() -> JSONResponse:
        return JSONResponse(body, status_code=status)

    dataspace.network.join(STRANGE, app)
    return f"http://{STRANGE}"


def test_an_offer_found_in_a_peers_catalogue_is_negotiated_once(dataspace: Dataspace) -> None:
    product = dataspace.publish().identifier
    client, provider = dataspace.consumer.client, dataspace.provider.did
    found = client.peer_catalogue(provider)
    (dataset,) = found.datasets
    assert (found.participant, dataset.id) == (provider, product)
    assert "HexiSandbox-SQL" in dataset.formats
    (offer,) = dataset.offers
    first = client.negotiate_offer(provider, offer, request_id="mine")
    assert client.negotiate_offer(provider, offer, request_id="mine").id == first.id
    with pytest.raises(RemoteProblem) as taken:
        client.negotiate_offer(provider, offer | {"@id": "another"}, request_id="mine")
    assert taken.value.code == "connector.request-id-taken"
    dataspace.settle()
    seen = client.negotiation(first.id)
    assert (seen.state, seen.product, len(list(client.negotiations()))) == ("FINALIZED", product, 1)


def test_single_objects_stand_for_lists_and_offers_get_their_target(dataspace: Dataspace) -> None:
    address = answering(
        dataspace,
        {
            "@context": ["https://w3id.org/dspace/2025/1/context.jsonld"],
            "@type": "Catalog",
            "participantId": dataspace.provider.did,
            "dataset": {
                "@id": "a1",
                "hasPolicy": {"@id": "o1", "permission": [{"action": "use"}]},
                "distribution": {"format": {"@id": "HttpData-PUSH"}},
            },
        },
    )
    found = dataspace.consumer.client.peer_catalogue(dataspace.provider.did, address=address)
    offer = {"@id": "o1", "@type": "Offer", "target": "a1", "permission": [{"action": "use"}]}
    assert found.datasets == (PeerDatasetAnswer(id="a1", formats=("HttpData-PUSH",), offers=(offer,), lanes={}),)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"@type": "CatalogError", "reason": ["come back later"]}, 503, "come back later"),
        (["not", "a", "catalogue"], 200, "no catalogue"),
        ({"@type": "Catalog", "participantId": "somebody-else"}, 200, "somebody-else"),
    ],
)
def test_what_is_no_catalogue_of_the_peer_is_refused(dataspace: Dataspace, body: Any, status: int, says: str) -> None:
    address = answering(dataspace, body, status)
    with pytest.raises(RemoteProblem, match=says) as refused:
        dataspace.consumer.client.peer_catalogue(dataspace.provider.did, address=address)
    assert (refused.value.status, refused.value.code) == (502, "connector.peer-refused")


def test_whoever_is_not_known_is_not_called(dataspace: Dataspace) -> None:
    client = dataspace.consumer.client
    with pytest.raises(RemoteProblem) as unknown:
        client.peer_catalogue("did:web:stranger.example", address=f"http://{STRANGE}")
    assert unknown.value.code == "registry.participant-unknown"
    with pytest.raises(RemoteProblem) as silent:
        client.peer_catalogue(dataspace.provider.did, address=f"http://{STRANGE}")
    assert silent.value.code == "hexi.unreachable"
    anonymous = httpx.Client(transport=dataspace.network, base_url=f"http://{PLANNER}")
    for path in ("catalogue", "negotiations"):
        assert anonymous.post(f"/management/peers/{path}", json={}).status_code == 401


def test_an_offer_that_could_not_be_sent_starts_nothing(dataspace: Dataspace) -> None:
    client = dataspace.consumer.client
    with pytest.raises(RemoteProblem) as malformed:
        client.negotiate_offer(dataspace.provider.did, {"@id": "o1", "@type": "Offer"})
    assert malformed.value.code == "connector.message-malformed"
    assert list(client.negotiations()) == []


def test_a_byte_now_and_then_holds_nobody(dataspace: Dataspace) -> None:
    def trickle(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(200):
            handler.wfile.write(b" ")
            time.sleep(0.05)

    state = dataspace.consumer.app.state
    with serving(trickle) as address:
        known = SimpleNamespace(participant=lambda _: SimpleNamespace(dsp_url=address))
        peers = cast("Peers", SimpleNamespace(trust=known, authorise=lambda _: "Bearer x"))
        asking = PeerCatalogues(state.database, state.engine, peers, unsafe_allow_loopback=True, seconds=0.3)
        with pytest.raises(Unreachable, match=r"did not answer to the end in 0\.3 s"):
            asking.catalogue(AskCatalogue(counterparty="did:web:slow.example"))
        asking.close()
