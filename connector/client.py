"""Calls to a connector's management API, for the command line, programs and tests.

connector = ConnectorClient("http://127.0.0.1:8081", token)
negotiation = connector.wait_negotiation(connector.negotiate(product).id)
transfer = connector.wait_transfer(connector.transfer(negotiation.agreement, "HexiSandbox-SQL").id)
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, Unpack
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from connector.airlock_client import AirlockClient
from connector.algorithm_client import ManagedAlgorithms
from connector.crawler.client import FederatedCatalogueClient
from connector.data_client import DataClient
from connector.job_client import JobClient
from connector.management.answers import (
    Agreement,
    Agreements,
    EncryptedSum,
    Evidence,
    EvidencePage,
    History,
    Membership,
    Negotiation,
    Negotiations,
    Offer,
    Page,
    Product,
    Products,
    Publication,
    Resource,
    Run,
    Status,
    Transfer,
    Transfers,
)
from connector.management.delivery_answers import Delivery
from connector.management.errors import StillUnderWay
from connector.management.peer_messages import PeerCatalogueAnswer
from connector.management.stream_answers import AppendedEvents, Stream
from connector.protocol.negotiation import TERMINAL as NEGOTIATION_ENDED
from connector.protocol.transfer import TERMINAL as TRANSFER_ENDED
from connector.protocol.transfer import State as TransferState
from connector.webhooks.answers import EventDeliveries, EventDelivery, NewWebhook, Webhook
from hexi.canonical import Json
from hexi.client import ServiceClient
from registry.messages import SearchAnswer
from sandbox.messages import RunAnswer

# An encrypted sum waits for every provider's sandbox, in seconds.
RUN_SECONDS = 300.0
# How long `wait_...` waits unless told otherwise, in seconds.
WAIT_SECONDS = 30.0
# How soon it looks again, in seconds; a tenth later each time, up to the cap.
LOOK_SECONDS, LOOK_CAP_SECONDS = 0.1, 1.0

P = TypeVar("P", Negotiation, Transfer, Delivery)
M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class _OfAgreements(TypedDict, total=False):
    """What a listing of agreements is asked for."""

    state: str | None
    role: str | None
    counterparty: str | None
    product: str | None


class _OfProcesses(_OfAgreements, total=False):
    """What a listing of negotiations or transfers is asked for."""

    agreement: str | None


class ConnectorClient:
    """One participant's own connector. Every method raises `RemoteProblem` or `Unreachable`."""

    def __init__(self, base_url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self._service = ServiceClient(
            f"{base_url.rstrip('/')}/management",
            "the connector",
            authorise=lambda: f"Bearer {token}",
            transport=transport,
            timeout=RUN_SECONDS,
        )
        # Runs that wait at their provider; and reviewers of our own sandbox's held outputs, and what waits for them.
        self.jobs, self.airlock = JobClient(self._service), AirlockClient(self._service)
        # Streams and tables, read where their provider says.
        self.data = DataClient(self._service)
        self.algorithms = ManagedAlgorithms(self._service)

    # Membership

    def apply(self, about: Mapping[str, Json]) -> Membership:
        """Apply for membership: name, nameZh, ownerCode, region, roles, contact."""
        return self._post(Membership, "/application", dict(about))

    def status(self) -> Status:
        """Who this connector is and where it stands."""
        return self._get(Status, "/status")

    def evidence(
        self, *, kind: str | None = None, subject: str | None = None, waiting: bool | None = None
    ) -> Iterator[Evidence]:
        """The entries sealed here, newest first, with their receipts or None."""
        return self._pages(EvidencePage, "/evidence", kind=kind, subject=subject, waiting=waiting)

    # Products

    def add_resource(
        self, name: str, tables: Mapping[str, str] | None = None, *, source: Mapping[str, Json] | None = None
    ) -> Resource:
        """Name tables on the connector's machine by their absolute paths, a source to deliver from, or both."""
        asked = _given(name=name, tables=dict(tables or {}), source=None if source is None else dict(source))
        return self._post(Resource, "/resources", asked)

    def resources(self) -> list[Resource]:
        """All resources."""
        return [self._service.read(Resource, found) for found in self._service.get("/resources")]

    def publish(self, resource: str, description: Mapping[str, Json]) -> Publication:
        """Publish a product over a resource."""
        return self._post(Publication, "/products", {**description, "resource": resource})

    def products(self, *, resource: str | None = None) -> Iterator[Product]:
        """The newest version of every product published from here, newest first."""
        return self._pages(Products, "/products", resource=resource)

    def product(self, identifier: str) -> Product:
        """The newest published version of one product."""
        return self._get(Product, f"/products/{quote(identifier, safe='')}")

    def withdraw(self, identifier: str) -> Product:
        """Offer a product no more; agreements about it go on. Publishing it again makes its next version."""
        return self._post(Product, f"/products/{quote(identifier, safe='')}/withdrawal", None)

    def catalogue(self, q: str = "", *, offset: int = 0, limit: int = 20) -> SearchAnswer:
        """Search the space's catalogue."""
        return self._get(SearchAnswer, "/catalogue", {"q": q, "offset": offset, "limit": limit})

    # Streams

    def append_events(self, stream: str, events: Sequence[Mapping[str, Json]]) -> AppendedEvents:
        """Append events (``data``, and perhaps ``kind`` and ``key``) to a stream, all of them or none."""
        return self._post(AppendedEvents, _at("/streams", stream, "/events"), {"events": [dict(e) for e in events]})

    def stream(self, stream: str) -> Stream:
        """What a stream holds."""
        return self._get(Stream, _at("/streams", stream))

    # Negotiations

    def negotiate(
        self, product: str, *, provider: str | None = None, purpose: str | None = None, request_id: str | None = None
    ) -> Negotiation:
        """Start a negotiation with who publishes `product`; with a `request_id`, asking again starts nothing."""
        asked = _given(provider=provider, product=product, purpose=purpose, id=request_id)
        return self._post(Negotiation, "/negotiations", asked)

    def negotiations(self, **wanted: Unpack[_OfProcesses]) -> Iterator[Negotiation]:
        """Negotiations, newest first; None means any."""
        return self._pages(Negotiations, "/negotiations", **wanted)

    def negotiation(self, pid: str) -> Negotiation:
        """One negotiation: its state, its agreement, and why it ended if it did."""
        return self._get(Negotiation, _at("/negotiations", pid))

    def wait_negotiation(
        self, pid: str, timeout: float = WAIT_SECONDS, *, seen: Callable[[Negotiation], None] = lambda _: None
    ) -> Negotiation:
        """The negotiation once it has ended, FINALIZED or TERMINATED. `seen` gets it whenever it was looked at.

        Raises `StillUnderWay` after `timeout` seconds.
        """
        return _wait(pid, lambda: self.negotiation(pid), lambda found: found.state in NEGOTIATION_ENDED, timeout, seen)

    def negotiation_history(self, pid: str) -> History:
        """Every message of a negotiation and the state it led to, oldest first."""
        return self._get(History, _at("/negotiations", pid, "/history"))

    def accept_negotiation(self, pid: str) -> Negotiation:
        """Accept what the other end asks for or offers."""
        return self._post(Negotiation, _at("/negotiations", pid, "/acceptance"), None)

    def counter_negotiation(self, pid: str, terms: Mapping[str, Json]) -> Negotiation:
        """Propose other terms for what is on the table."""
        return self._post(Negotiation, _at("/negotiations", pid, "/counter"), {"terms": dict(terms)})

    def end_negotiation(self, pid: str, reason: str) -> Negotiation:
        """Give up a negotiation."""
        return self._post(Negotiation, _at("/negotiations", pid, "/termination"), {"reason": reason})

    # Offers

    def define_offer(self, name: str, offer: Mapping[str, Json]) -> Offer:
        """Put an offer definition in force, or change it: access, contract, selector, acceptance, rules."""
        return self._service.read(Offer, self._service.put(f"/offers/{quote(name, safe='')}", dict(offer)))

    def offers(self) -> list[Offer]:
        """The offer definitions in force, by name."""
        return [self._service.read(Offer, found) for found in self._service.get("/offers")]

    def offer(self, name: str) -> Offer:
        """One offer definition."""
        return self._get(Offer, f"/offers/{quote(name, safe='')}")

    def withdraw_offer(self, name: str) -> Offer:
        """Offer on it no more."""
        return self._service.read(Offer, self._service.call("DELETE", f"/offers/{quote(name, safe='')}"))

    def offer_product(self, consumer: str, product: str, terms: Mapping[str, Json] | None = None) -> Negotiation:
        """Offer a product to one consumer that has not asked, on `terms` for it alone or those it is published with."""
        asked = _given(consumer=consumer, product=product, terms=None if terms is None else dict(terms))
        return self._post(Negotiation, "/negotiations/offers", asked)

    # Agreements

    def agreements(self, **wanted: Unpack[_OfAgreements]) -> Iterator[Agreement]:
        """Agreements, newest first; None means any."""
        return self._pages(Agreements, "/agreements", **wanted)

    def agreement(self, agreement: str) -> Agreement:
        """One agreement, signed, with the ledger's receipt or None."""
        return self._get(Agreement, _at("/agreements", agreement))

    def end_agreement(self, agreement: str, reason: str) -> Agreement:
        """End an agreement, and everything that runs under it."""
        return self._post(Agreement, _at("/agreements", agreement, "/end"), {"reason": reason})

    def perform_duty(self, agreement: str, duty: str) -> Evidence:
        """Say, on the ledger, that what the terms ask for after the use (delete, anonymize) was done."""
        return self._post(Evidence, _at("/agreements", agreement, "/duties"), {"duty": duty})

    # Transfers

    def transfer(
        self,
        agreement: str,
        format_: str,
        *,
        order: str | None = None,
        request_id: str | None = None,
        to: str | None = None,
        destination: Mapping[str, Json] | None = None,
    ) -> Transfer:
        """Ask for a transfer under an agreement, showing the order confirmation where use is paid for.

        `to`: where the data shall lie at our connector. `destination`: a data address for a push to elsewhere.
        """
        address = None if destination is None else dict(destination)
        asked = _given(agreement=agreement, format=format_, order=order, id=request_id, to=to, destination=address)
        return self._post(Transfer, "/transfers", asked)

    def fetch(self, pid: str, to: str | None = None) -> Delivery:
        """Fetch the data of a transfer in the background, to an absolute path or below the connector's home."""
        return self._post(Delivery, _at("/transfers", pid, "/download"), _given(to=to))

    def delivery(self, pid: str) -> Delivery:
        """Where a delivery to us stands."""
        return self._get(Delivery, _at("/transfers", pid, "/delivery"))

    def wait_delivery(
        self, pid: str, timeout: float = WAIT_SECONDS, *, seen: Callable[[Delivery], None] = lambda _: None
    ) -> Delivery:
        """The delivery once it is here and checked, or has failed, or its transfer has ended without it. `seen` gets it
        whenever it was looked at.

        Raises `StillUnderWay` after `timeout` seconds.
        """
        return _wait(pid, lambda: self.delivery(pid), lambda found: found.is_over, timeout, seen)

    def deliveries(self) -> list[Delivery]:
        """The newest deliveries to us."""
        return [self._service.read(Delivery, found) for found in self._service.get("/deliveries")]

    def transfers(self, **wanted: Unpack[_OfProcesses]) -> Iterator[Transfer]:
        """Transfers, newest first; None means any."""
        return self._pages(Transfers, "/transfers", **wanted)

    def transfer_status(self, pid: str) -> Transfer:
        """One transfer: its state, and the provider's reasons where it refused."""
        return self._get(Transfer, _at("/transfers", pid))

    def wait_transfer(
        self,
        pid: str,
        timeout: float = WAIT_SECONDS,
        *,
        to_the_end: bool = False,
        state: TransferState | None = None,
        seen: Callable[[Transfer], None] = lambda _: None,
    ) -> Transfer:
        """The transfer once the provider has answered, or is in `state`, or `to_the_end`: COMPLETED or TERMINATED.

        `seen` gets it whenever it was looked at. Raises `StillUnderWay` after `timeout` seconds.
        """

        def done(found: Transfer) -> bool:
            answered = found.state is not TransferState.REQUESTED if state is None else found.state is state
            return found.state in TRANSFER_ENDED or (answered and not to_the_end)

        return _wait(pid, lambda: self.transfer_status(pid), done, timeout, seen)

    def transfer_history(self, pid: str) -> History:
        """Every message of a transfer and the state it led to, oldest first."""
        return self._get(History, _at("/transfers", pid, "/history"))

    def suspend_transfer(self, pid: str, reason: str) -> Transfer:
        """Pause a transfer. Its state follows once the other end knows: `wait_transfer(pid, state=...)`."""
        return self._post(Transfer, _at("/transfers", pid, "/suspension"), {"reason": reason})

    def resume_transfer(self, pid: str) -> Transfer:
        """Take up a suspended transfer again."""
        return self._post(Transfer, _at("/transfers", pid, "/resumption"), None)

    def complete_transfer(self, pid: str) -> Transfer:
        """End a transfer because all was delivered."""
        return self._post(Transfer, _at("/transfers", pid, "/completion"), None)

    def end_transfer(self, pid: str, reason: str) -> Transfer:
        """End a transfer; its permit counts no longer."""
        return self._post(Transfer, _at("/transfers", pid, "/termination"), {"reason": reason})

    # Peers

    def peer_catalogue(
        self, counterparty: str, *, address: str | None = None, filter_: Json = None
    ) -> PeerCatalogueAnswer:
        """A peer's own catalogue: participant, address, datasets with their formats and offers."""
        asked = _given(counterparty=counterparty, address=address, filter=filter_)
        return self._post(PeerCatalogueAnswer, "/peers/catalogue", asked)

    def negotiate_offer(
        self,
        counterparty: str,
        offer: Mapping[str, Json],
        *,
        address: str | None = None,
        request_id: str | None = None,
    ) -> Negotiation:
        """Start a negotiation over an offer of a peer's catalogue, as it stands there."""
        asked = _given(counterparty=counterparty, address=address, offer=dict(offer), id=request_id)
        return self._post(Negotiation, "/peers/negotiations", asked)

    @property
    def federated(self) -> FederatedCatalogueClient:
        """What all the other participants offer, as far as it was crawled."""
        return FederatedCatalogueClient(self._service)

    # Webhooks

    def subscribe(self, url: str, types: Sequence[str] = ()) -> NewWebhook:
        """Have events posted to `url`; the answer has the secret they are signed with. No `types`: all of them."""
        return self._post(NewWebhook, "/webhooks", {"url": url, "types": list(types)})

    def webhooks(self) -> list[Webhook]:
        """All webhooks, with what waits and what was given up."""
        return [self._service.read(Webhook, found) for found in self._service.get("/webhooks")]

    def webhook(self, webhook: str) -> Webhook:
        """One webhook."""
        return self._get(Webhook, _at("/webhooks", webhook))

    def unsubscribe(self, webhook: str) -> Webhook:
        """Send no more; what waits is cancelled."""
        return self._service.read(Webhook, self._service.call("DELETE", _at("/webhooks", webhook)))

    def ping_webhook(self, webhook: str) -> Webhook:
        """Send an event that says nothing, to see whether it arrives."""
        return self._post(Webhook, _at("/webhooks", webhook, "/ping"), None)

    def event_deliveries(self, webhook: str, *, outcome: str | None = None) -> Iterator[EventDelivery]:
        """What was queued for a webhook, newest first."""
        return self._pages(EventDeliveries, _at("/webhooks", webhook, "/deliveries"), outcome=outcome)

    def retry_event(self, webhook: str, event: str) -> EventDelivery:
        """Try an event anew that was given up, or at once one that waits."""
        return self._post(EventDelivery, _at(_at("/webhooks", webhook, "/deliveries"), event, "/retry"), None)

    # Computations

    def run(self, transfer: str, query: str, *, purpose: str | None = None, run: str | None = None) -> RunAnswer:
        """Ask a query, or run a program: verdict, what may leave or reasons, and the provider's signed receipt."""
        return self._post(RunAnswer, "/runs", _given(transfer=transfer, query=query, purpose=purpose, run=run))

    def answer(self, run: str) -> Run:
        """The stored answer of a run; its `answer` is None while there is none."""
        return self._get(Run, _at("/runs", run))

    def withdraw_run(self, transfer: str, run: str) -> RunAnswer:
        """Give up a run that its provider holds for review; its answer is a refusal."""
        return self._post(RunAnswer, _at("/runs", run, "/withdrawal"), {"transfer": transfer})

    def encrypted_sum(self, transfers: Sequence[str], query: str, *, job: str | None = None) -> EncryptedSum:
        """The rounded sum of several providers' numbers."""
        return self._post(EncryptedSum, "/encrypted-sums", _given(transfers=list(transfers), query=query, job=job))

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def _get(self, answer: type[M], path: str, params: Mapping[str, Any] | None = None) -> M:
        return self._service.read(answer, self._service.get(path, params))

    def _post(self, answer: type[M], path: str, body: Json) -> M:
        return self._service.read(answer, self._service.post(path, body))

    def _pages(self, page: type[Page[T]], path: str, **wanted: Json) -> Iterator[T]:
        """Every item there is, a page at a time, fetched when it is needed."""
        params = _given(**wanted)
        while True:
            found = self._get(page, path, params)
            yield from found.items
            if found.next is None:
                return
            params["cursor"] = found.next


def _wait(what: str, look: Callable[[], P], done: Callable[[P], bool], timeout: float, seen: Callable[[P], None]) -> P:
    until, pause = time.monotonic() + timeout, LOOK_SECONDS
    while True:
        found = look()
        seen(found)
        if done(found):
            return found
        if time.monotonic() >= until:
            raise StillUnderWay(f"{what} is {found.state} after {timeout:g} seconds; it goes on, look again later")
        time.sleep(pause)
        pause = min(pause * 1.1, LOOK_CAP_SECONDS)


def _at(collection: str, identifier: str, rest: str = "") -> str:
    return f"{collection}/{quote(identifier, safe='')}{rest}"


def _given(**members: Json) -> dict[str, Json]:
    return {name: value for name, value in members.items() if value is not None}
