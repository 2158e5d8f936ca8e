"""From values to answers: what the owner may see of a process, an agreement, a product. Never the permit it carries."""

from collections.abc import Callable
from typing import TypeVar

from sqlmodel import Session

from connector.contracts import offer_store
from connector.contracts.bargaining import is_our_turn
from connector.contracts.offers import Definition
from connector.contracts.products import PublishedProduct
from connector.contracts.resources import Resource as LocalResource
from connector.contracts.store import HeldAgreement, RecordedEvidence
from connector.deliveries.ended import Ended
from connector.deliveries.store import JobState
from connector.management import store as management_store
from connector.management.answers import (
    Agreement,
    Answer,
    CatalogueProduct,
    Evidence,
    History,
    Negotiation,
    Offer,
    Product,
    Resource,
    Step,
    Transfer,
)
from connector.management.paging import Page
from connector.protocol.history import Entry, entries
from connector.protocol.negotiation import State as NegotiationState
from connector.protocol.processes import Kind, Process, Role
from connector.protocol.transfer import State as TransferState
from connector.webhooks.events import AGREEMENT_ENDED, DELIVERY_DONE, DELIVERY_FAILED, type_of
from connector.webhooks.subscriptions import Subscriptions
from hexi.canonical import Json
from ledger.documents import SignedDocument

A = TypeVar("A")
V = TypeVar("V")


def page(found: Page[V], answer: Callable[[V], A]) -> dict[str, Json]:
    """The members of a page's answer."""
    return {"items": tuple(map(answer, found.items)), "next": str(found.next) if found.next else None}


def negotiation(process: Process) -> Negotiation:
    """A negotiation."""
    return Negotiation(
        id=process.pid,
        role=process.role,
        state=NegotiationState(process.state),
        counterparty=process.counterparty,
        peer_id=process.peer_pid,
        product=product_of(process),
        agreement=process.agreement_id,
        offer=process.offer,
        our_turn=is_our_turn(process),
        reason=tuple(process.reason),
        created=process.created,
        updated=process.updated,
    )


def offer(definition: Definition) -> Offer:
    """An offer definition."""
    return Offer(name=definition.name, revision=definition.revision, **offer_store.said(definition))


def transfer(process: Process) -> Transfer:
    """A transfer."""
    return Transfer(
        id=process.pid,
        role=process.role,
        state=TransferState(process.state),
        counterparty=process.counterparty,
        peer_id=process.peer_pid,
        product=product_of(process),
        agreement=process.agreement_id,
        format=process.format,
        suspended_by=process.suspended_by,
        reason=tuple(process.reason),
        created=process.created,
        updated=process.updated,
    )


def announce_state(subscriptions: Subscriptions, session: Session, process: Process) -> None:
    """Tell subscribers that `process` has entered its state, with what the owner may see of it."""
    seen: Answer = negotiation(process) if process.kind is Kind.NEGOTIATION else transfer(process)
    subscriptions.announce(
        session, type_of(process.kind, process.state), process.pid, seen.to_json(), sequence=process.version
    )


def announce_product(subscriptions: Subscriptions, type_: str, session: Session, published: PublishedProduct) -> None:
    """Tell subscribers that a version of a product is out, or that the product is withdrawn."""
    identifier, version = published.product.identifier, published.product.version
    data: dict[str, Json] = {"identifier": identifier, "version": version, "digest": published.signed.digest}
    subscriptions.announce(session, type_, identifier, data, sequence=version)


def announce_end(
    subscriptions: Subscriptions, session: Session, held: HeldAgreement, reason: str, ended_by: str
) -> None:
    """Tell subscribers that an agreement was ended, by whom and why. The signed document stays where it is."""
    data: dict[str, Json] = {
        "agreement": held.agreement.id,
        "role": held.role,
        "counterparty": held.counterparty,
        "product": held.agreement.product,
        "negotiation": held.negotiation,
        "endedBy": ended_by,
        "reason": reason,
    }
    subscriptions.announce(session, AGREEMENT_ENDED, held.agreement.id, data)


def announce_delivery(subscriptions: Subscriptions, session: Session, ended: Ended) -> None:
    """Tell subscribers that a delivery is done or has failed."""
    type_ = DELIVERY_DONE if ended.state is JobState.DONE else DELIVERY_FAILED
    data: dict[str, Json] = {
        "transfer": ended.transfer,
        "way": ended.way.value,
        "incoming": ended.incoming,
        "state": ended.state.value,
        "size": ended.size,
        "digest": ended.digest,
        "path": ended.path,
        "error": ended.error,
    }
    subscriptions.announce(session, type_, ended.transfer, data)


def history(session: Session, process: Process) -> History:
    """The steps of a process."""
    steps = entries(process, *management_store.messages(session, process.pid))
    return History(items=tuple(map(_step, steps)))


def _step(entry: Entry) -> Step:
    return Step(
        at=entry.at,
        direction=entry.direction,
        message=entry.message,
        message_id=entry.message_id,
        outcome=entry.outcome,
        state=entry.state,
        attempts=entry.attempts,
        reason=entry.reason,
    )


def product_of(process: Process) -> str | None:
    """The product a process is about."""
    target = process.dataset_id or (process.offer or {}).get("target")
    return target if isinstance(target, str) else None


def agreement(held: HeldAgreement, receipt: Json = None) -> Agreement:
    """An agreement."""
    return Agreement(
        id=held.agreement.id,
        role=Role(held.role),
        counterparty=held.counterparty,
        state=held.state,
        product=held.agreement.product,
        negotiation=held.negotiation,
        agreement=held.signed.to_json(),
        created=held.created,
        receipt=receipt,
    )


def catalogue_product(signed: SignedDocument) -> CatalogueProduct:
    """A verified product document of the space."""
    document = signed.document
    return CatalogueProduct(
        identifier=document["identifier"], version=document["version"], digest=signed.digest, **signed.to_json()
    )


def product(published: PublishedProduct) -> Product:
    """A product."""
    return Product(
        identifier=published.product.identifier,
        version=published.product.version,
        resource=published.resource,
        digest=published.signed.digest,
        document=published.signed.document,
        signatures=dict(published.signed.signatures),
        receipt=published.receipt,
    )


def resource(kept: LocalResource) -> Resource:
    """A resource."""
    source = None if kept.source is None else dict(kept.source)
    return Resource(name=kept.name, tables={name: str(path) for name, path in kept.tables.items()}, source=source)


def evidence(entry: RecordedEvidence) -> Evidence:
    """A sealed entry."""
    return Evidence(
        kind=entry.kind,
        subject=entry.subject,
        digest=entry.digest,
        entry=entry.entry,
        receipt=entry.receipt,
        created=entry.created,
    )
