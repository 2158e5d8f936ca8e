"""A peer's own catalogue, asked for over the Dataspace Protocol, and a negotiation over an offer found in it.

The space's catalogue knows the products of its members. A peer of another make has only its own, in its own words:
what is offered there is read tolerantly, kept as it was written, and asked for byte for byte.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from connector.catalogue.datasets import formats_of, lanes_of, objects, offers_of
from connector.contracts import store
from connector.contracts.errors import PeerRefused
from connector.management.peer_messages import AskCatalogue, NegotiateOffer
from connector.protocol.callbacks import check_callback, peer_transport
from connector.protocol.deadlines import Deadline
from connector.protocol.engine import Engine
from connector.protocol.messages import CatalogRequestMessage
from connector.protocol.peers import Peers
from connector.protocol.processes import Kind, Process
from hexi.canonical import Json, digest, encode, parse
from hexi.client import Unreachable
from hexi.database import Database
from hexi.errors import DataspaceError

# How long a peer may take to connect, and to write its catalogue, in seconds. Large ones of other makes take half a
# second for every thousand datasets. Together they are a deadline, however slowly a peer sends: it must not hold a
# thread.
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
# The longest catalogue read, in bytes: some 20,000 datasets with an offer each.
MAX_CATALOGUE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class PeerDataset:
    """One dataset of a peer. Each of `offers` is complete: it names its dataset as `target`, as a request must."""

    id: str
    formats: tuple[str, ...]
    offers: tuple[dict[str, Json], ...]
    lanes: dict[str, str]


@dataclass(frozen=True)
class PeerCatalogue:
    """What a peer offers us. `participant` is who it says it is."""

    participant: str
    address: str
    datasets: tuple[PeerDataset, ...]


class PeerCatalogues:
    """Asks peers for their catalogues. `transport` replaces the network; a peer has `seconds` for all of its answer."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        peers: Peers,
        *,
        unsafe_allow_loopback: bool,
        transport: httpx.BaseTransport | None = None,
        seconds: float = CONNECT_SECONDS + ANSWER_SECONDS,
    ) -> None:
        self._database = database
        self._engine = engine
        self._peers = peers
        self._unsafe_allow_loopback = unsafe_allow_loopback
        self._seconds = seconds
        self._deadline = Deadline()
        guarded = peer_transport(unsafe_allow_loopback=unsafe_allow_loopback, through=self._deadline.over)
        self._http = httpx.Client(
            transport=transport or guarded,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def catalogue(self, asked: AskCatalogue) -> PeerCatalogue:
        """The peer's catalogue, as far as it shows it to us.

        Raises `ParticipantUnknown`, `ParticipantRevoked`, `CallbackRefused`, `Unreachable`, and `PeerRefused` with
        what the peer said.
        """
        address = self._address(asked.counterparty, asked.address)
        wanted: dict[str, Json] = CatalogRequestMessage().to_wire()
        if asked.filter is not None:
            wanted["filter"] = asked.filter if isinstance(asked.filter, list) else [asked.filter]
        catalogue = self._post(f"{address}/catalog/request", asked.counterparty, wanted)
        if not isinstance(catalogue, dict) or catalogue.get("@type") not in {"Catalog", "dcat:Catalog"}:
            raise PeerRefused(f"{address} answered something that is no catalogue")
        participant = catalogue.get("participantId")
        if participant != asked.counterparty:
            raise PeerRefused(f"{address} is the connector of {participant}, not of {asked.counterparty}")
        return PeerCatalogue(asked.counterparty, address, tuple(_datasets(catalogue)))

    def negotiate(self, asked: NegotiateOffer) -> Process:
        """Ask the peer for a contract on its offer. With an `id`, asking again starts nothing.

        Raises `ParticipantUnknown`, `ParticipantRevoked`, `CallbackRefused`, `MessageMalformed`, `RequestIdTaken`.
        """
        address = self._address(asked.counterparty, asked.address)
        wanted = digest(asked.model_dump(mode="json", exclude={"id"}))
        with self._database.transaction() as session:
            known = store.process_asked(session, Kind.NEGOTIATION, asked.id, wanted) if asked.id else None
            if known:
                return self._engine.negotiation(session, known)
            process = self._engine.request_negotiation(session, asked.counterparty, address, dict(asked.offer))
            if asked.id:
                store.set_process_asked(session, Kind.NEGOTIATION, asked.id, process.pid)
            return process

    def _address(self, counterparty: str, address: str | None) -> str:
        known = self._peers.trust.participant(counterparty)
        return check_callback(address or known.dsp_url, unsafe_allow_loopback=self._unsafe_allow_loopback)

    def _post(self, url: str, audience: str, body: Json) -> Json:
        headers = {"Content-Type": "application/json", "Authorization": self._peers.authorise(audience)}
        self._deadline.begin(self._seconds)
        try:
            with self._http.stream("POST", url, content=encode(body), headers=headers) as answer:
                content = b"".join(self._limited(answer))
        except httpx.HTTPError as error:
            if self._deadline.is_over:
                raise Unreachable(
                    f"{url} did not answer to the end in {self._seconds:g} s; ask with a filter"
                ) from error
            raise Unreachable(f"{url} does not answer ({type(error).__name__}); is the peer running?") from error
        try:
            said = parse(content)
        except DataspaceError:
            said = None
        if not answer.is_success:
            raise PeerRefused(f"{url} answered {answer.status_code}: {_reason(said)}")
        return said

    def _limited(self, answer: httpx.Response) -> Iterator[bytes]:
        read = 0
        for chunk in answer.iter_bytes():
            read += len(chunk)
            if read > MAX_CATALOGUE_BYTES:
                raise PeerRefused(f"the catalogue is longer than {MAX_CATALOGUE_BYTES} bytes; ask with a filter")
            self._deadline.check()
            yield chunk


def _reason(said: Json) -> str:
    if not isinstance(said, dict):
        return "no reason given"
    return encode(said.get("reason") or said.get("code") or "no reason given").decode()


def _datasets(catalogue: dict[str, Any]) -> Iterator[PeerDataset]:
    for dataset in objects(catalogue.get("dataset")):
        if isinstance(identifier := dataset.get("@id"), str):
            yield PeerDataset(identifier, formats_of(dataset), offers_of(dataset), lanes_of(dataset))
