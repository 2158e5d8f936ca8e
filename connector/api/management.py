"""The management API: what the participant's own people and programs ask of their connector.

Every endpoint takes `Owner`: the bearer token in the connector's home folder, compared in constant time. Nothing here
is for other participants; they speak the Dataspace Protocol.
"""

import hmac
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from connector import business_store as store
from connector.business_errors import ManagementTokenInvalid
from connector.business_messages import (
    AddResource,
    Apply,
    AskEncryptedSum,
    AskRun,
    Negotiate,
    PublishProduct,
    RequestTransfer,
    Terminate,
)
from connector.business_store import HeldAgreement
from connector.desk import Desk
from connector.processes import Kind, Process
from connector.resources import Resource, check_resource
from hexi.canonical import Json, instant
from hexi.web import Read, Write

SCHEME = "Bearer "


def owner(request: Request) -> None:
    """Raise `ManagementTokenInvalid` unless the caller shows this connector's management token."""
    shown = request.headers.get("Authorization", "")
    expected: str = SCHEME + request.app.state.management_token
    if not hmac.compare_digest(shown.encode(), expected.encode()):
        raise ManagementTokenInvalid("show the token from the file management.token in the connector's home folder")


Owner = Annotated[None, Depends(owner)]


def create_router(desk: Desk) -> APIRouter:
    """The routes under ``/management``."""
    router = APIRouter(prefix="/management", tags=["management"])
    _add_membership(router, desk)
    _add_products(router, desk)
    _add_negotiations(router, desk)
    _add_transfers(router, desk)
    _add_computations(router, desk)
    return router


def _add_membership(router: APIRouter, desk: Desk) -> None:
    @router.post("/application", status_code=202)
    def apply(_: Owner, body: Apply) -> dict[str, Any]:
        """Apply for membership of the space. The same again is the same application."""
        return desk.membership.apply(body.model_dump(mode="json", by_alias=True))

    @router.get("/status")
    def status(_: Owner) -> dict[str, Any]:
        """Who this connector is, where it stands with the space, and what waits to be delivered."""
        return desk.status()

    @router.get("/evidence")
    def evidence(_: Owner, session: Read) -> list[dict[str, Any]]:
        """Every entry sealed here, with the ledger's receipt once it came."""
        return [
            {"kind": e.kind, "subject": e.subject, "digest": e.digest, "entry": e.entry, "receipt": e.receipt}
            for e in store.all_evidence(session)
        ]


def _add_products(router: APIRouter, desk: Desk) -> None:
    @router.post("/resources", status_code=201)
    def add_resource(_: Owner, body: AddResource, session: Write) -> dict[str, Any]:
        """Name tables on this machine, or a source to deliver from. The same again changes nothing."""
        resource = Resource(body.name, body.tables, body.source)
        check_resource(resource)
        if resource.source is not None:
            desk.publisher.sources.of(resource.name, resource.source)
        store.add_resource(session, resource, instant(desk.clock()))
        return _resource(resource)

    @router.get("/resources")
    def resources(_: Owner, session: Read) -> list[dict[str, Any]]:
        """All resources."""
        return [_resource(resource) for resource in store.resources(session)]

    @router.post("/products", status_code=201)
    def publish(_: Owner, body: PublishProduct) -> dict[str, Any]:
        """Publish a product, or its next version; an unchanged one is answered as it stands."""
        published = desk.publisher.publish(body.resource, body.description)
        return {
            "identifier": published.product.identifier,
            "version": published.product.version,
            "offer": published.product.offer_id,
            "digest": published.signed.digest,
            "receipt": published.receipt,
        }

    @router.get("/products")
    def products(_: Owner, session: Read) -> list[Json]:
        """The newest version of every product published from here, as signed."""
        return [{"resource": published.resource, **published.signed.to_json()} for published in store.products(session)]

    @router.get("/catalogue")
    def catalogue(
        _: Owner, q: str = "", offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=100)] = 20
    ) -> Json:
        """Search the space's catalogue."""
        return desk.search(q, offset, limit)


def _add_negotiations(router: APIRouter, desk: Desk) -> None:
    @router.post("/negotiations", status_code=201)
    def negotiate(_: Owner, body: Negotiate) -> dict[str, Any]:
        """Ask a provider for its product on the terms published. With an `id` of yours, asking again starts nothing."""
        return process_view(desk.dealings.negotiate(body))

    @router.get("/negotiations")
    def negotiations(_: Owner, session: Read) -> list[dict[str, Any]]:
        """The newest negotiations, in either role."""
        return [process_view(process) for process in desk.engine.processes(session, Kind.NEGOTIATION)]

    @router.get("/negotiations/{pid}")
    def negotiation(_: Owner, pid: str, session: Read) -> dict[str, Any]:
        """One negotiation; when it was terminated, `reason` says why."""
        return process_view(desk.engine.negotiation(session, pid))

    @router.post("/negotiations/{pid}/termination")
    def end_negotiation(_: Owner, pid: str, body: Terminate, session: Write) -> dict[str, Any]:
        """Give up a negotiation."""
        return process_view(desk.dealings.end_negotiation(session, pid, body.reason))

    @router.get("/agreements")
    def agreements(_: Owner, session: Read) -> list[dict[str, Any]]:
        """The newest agreements, in either role."""
        return [_agreement(held) for held in store.agreements(session)]

    @router.get("/agreements/{agreement}")
    def agreement(_: Owner, agreement: str) -> dict[str, Any]:
        """One agreement with its signatures, and the ledger's receipt once there is one."""
        held, receipt = desk.agreement(agreement)
        return _agreement(held) | {"receipt": receipt}


def _add_transfers(router: APIRouter, desk: Desk) -> None:
    @router.post("/transfers", status_code=201)
    def transfer(_: Owner, body: RequestTransfer) -> dict[str, Any]:
        """Ask for a transfer under a concluded agreement. With an `id` of yours, asking again starts nothing."""
        return process_view(desk.dealings.transfer(body))

    @router.get("/transfers")
    def transfers(_: Owner, session: Read) -> list[dict[str, Any]]:
        """The newest transfers, in either role."""
        return [process_view(process) for process in desk.engine.processes(session, Kind.TRANSFER)]

    @router.get("/transfers/{pid}")
    def one_transfer(_: Owner, pid: str, session: Read) -> dict[str, Any]:
        """One transfer; when the provider refused it, `reason` says why and what to do."""
        return process_view(desk.engine.transfer(session, pid))

    @router.post("/transfers/{pid}/termination")
    def end_transfer(_: Owner, pid: str, body: Terminate, session: Write) -> dict[str, Any]:
        """End a transfer; its permit counts no longer."""
        return process_view(desk.dealings.end_transfer(session, pid, body.reason))


def _add_computations(router: APIRouter, desk: Desk) -> None:
    @router.post("/runs")
    def run(_: Owner, body: AskRun) -> dict[str, Any]:
        """Ask a query of the provider's sandbox. The same `run` id again gives the stored answer."""
        return desk.computations.run(body.transfer, body.query, body.purpose, body.run)

    @router.get("/runs/{run}")
    def answer(_: Owner, run: str) -> dict[str, Any]:
        """The stored answer of a run; null while there is none."""
        return {"run": run, "answer": desk.computations.answer(run)}

    @router.post("/encrypted-sums")
    def encrypted_sum(_: Owner, body: AskEncryptedSum) -> dict[str, Any]:
        """Ask the same query of several providers and get the rounded sum, never a single number."""
        return desk.computations.encrypted_sum(body.transfers, body.query, body.job)


def process_view(process: Process) -> dict[str, Any]:
    """A process as its owner may see it: never the permit it carries."""
    return {
        "id": process.pid,
        "kind": process.kind,
        "role": process.role,
        "state": process.state,
        "counterparty": process.counterparty,
        "peerId": process.peer_pid,
        "product": process.dataset_id or (process.offer or {}).get("target"),
        "agreement": process.agreement_id,
        "format": process.format,
        "reason": list(process.reason),
        "created": process.created,
        "updated": process.updated,
    }


def _resource(resource: Resource) -> dict[str, Any]:
    source = {} if resource.source is None else {"source": dict(resource.source)}
    return {"name": resource.name, "tables": {name: str(path) for name, path in resource.tables.items()}, **source}


def _agreement(held: HeldAgreement) -> dict[str, Any]:
    return {
        "id": held.agreement.id,
        "role": held.role,
        "counterparty": held.counterparty,
        "state": held.state,
        "product": held.agreement.product,
        "negotiation": held.negotiation,
        "agreement": held.signed.to_json(),
    }
