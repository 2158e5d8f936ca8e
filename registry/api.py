"""The registry's routes. Without a caller in its signature an endpoint is public."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Request, Response

from hexi.canonical import Json
from hexi.web import Read, SessionRoute, Write
from ledger.documents import SignedDocument
from registry import identifiers, interface, store
from registry.access import Member, Operator
from registry.applications import VerifiedApplication
from registry.codes import Mode
from registry.identity import MAX_DID_CHARACTERS
from registry.messages import (
    PREFIX,
    ApplicationDetail,
    ApplicationRequest,
    ApplicationsAnswer,
    ApplicationState,
    IdentifierAnswer,
    IdentifierRequest,
    OperatorAnswer,
    ParticipantMessage,
    ParticipantsAnswer,
    Publication,
    ReasonRequest,
    SearchAnswer,
    WithdrawalRequest,
)
from registry.registrar import Registrar
from registry.search import MAX_OFFSET, MAX_PAGE, MAX_POSITION, PAGE, terms
from registry.search import Query as Search
from registry.tables import IdentifierRow, ParticipantRow

# A search of more characters than this is not typed by anybody.
MAX_QUERY_CHARACTERS = 200


def create_router(registrar: Registrar) -> APIRouter:
    """Everything under ``/registry``. The application keeps a `PresentationVerifier` in ``app.state.presentations``."""
    router = APIRouter(route_class=SessionRoute, prefix=PREFIX)
    _add_applications(router, registrar)
    _add_participants(router, registrar)
    _add_identifiers(router, registrar)
    _add_products(router, registrar)
    _add_interface(router)
    return router


def _add_applications(router: APIRouter, registrar: Registrar) -> None:
    def verified(body: ApplicationRequest) -> VerifiedApplication:
        # A dependency before the session: calling the applicant may take seconds, and must not hold a transaction.
        return registrar.verify_application(body.application)

    @router.post("/applications", status_code=202, tags=["applications"], response_model_exclude_none=True)
    def apply(application: Annotated[VerifiedApplication, Depends(verified)], session: Write) -> ApplicationState:
        """Public. Apply for membership. The DID document of the applicant is fetched and its signature verified."""
        return _state(registrar.apply(session, application))

    @router.get("/applications", tags=["applications"], response_model_exclude_none=True)
    def applications(_: Operator, session: Read) -> ApplicationsAnswer:
        """All applications, the undecided first."""
        return ApplicationsAnswer(items=tuple(_detail(row) for row in store.applications(session)))

    @router.get("/applications/{application_id}", tags=["applications"], response_model_exclude_none=True)
    def application(application_id: str, session: Read) -> ApplicationState:
        """Public to who knows the id. Where an application stands; once approved, identifier and credential.

        The credential is no secret: it is worth nothing without the holder's key.
        """
        return _state(store.application(session, application_id))

    @router.post("/applications/{application_id}/approval", tags=["applications"], response_model_exclude_none=True)
    def approve(application_id: str, _: Operator, session: Write) -> ApplicationState:
        """Admit the applicant: it gets an identifier and a membership credential, and the ledger an entry."""
        return _state(registrar.approve(session, application_id))

    @router.post("/applications/{application_id}/rejection", tags=["applications"], response_model_exclude_none=True)
    def reject(application_id: str, body: ReasonRequest, _: Operator, session: Write) -> ApplicationState:
        """Turn the applicant away, with a reason. It may apply anew."""
        return _state(registrar.reject(session, application_id, body.reason))


def _add_participants(router: APIRouter, registrar: Registrar) -> None:
    @router.get("/operator", tags=["participants"])
    def operator() -> OperatorAnswer:
        """Public. Who runs the space: its DID document, and the key its log signs checkpoints with."""
        return OperatorAnswer(
            did=registrar.identity.did, document=registrar.identity.did_document(), log_vkey=registrar.log.vkey
        )

    @router.get("/participants", tags=["participants"])
    def participants(
        session: Read,
        after: Annotated[str | None, Query(max_length=MAX_DID_CHARACTERS)] = None,
        limit: Annotated[int, Query(ge=1, le=store.MAX_LISTED)] = store.MAX_LISTED,
    ) -> ParticipantsAnswer:
        """Public. Who is or was a participant, in the order of application: `limit` at most, those `after` a DID."""
        found = store.participants(session, after, limit)
        return ParticipantsAnswer(items=tuple(map(ParticipantMessage.of, found)))

    @router.get("/participants/{did}", tags=["participants"])
    def participant(did: str, session: Read) -> ParticipantMessage:
        """Public. One participant, with its status: read it before you trust the rest."""
        return ParticipantMessage.of(store.participant(session, did))

    @router.post("/participants/{did}/revocation", tags=["participants"])
    def revoke(did: str, body: ReasonRequest, _: Operator, session: Write) -> ParticipantMessage:
        """End a membership for good. The participant's products leave the catalogue; the ledger gets an entry."""
        return ParticipantMessage.of(registrar.revoke(session, did, body.reason))


def _add_identifiers(router: APIRouter, registrar: Registrar) -> None:
    @router.post("/identifiers", status_code=201, tags=["identifiers"])
    def allocate(body: IdentifierRequest, caller: Member, session: Write) -> IdentifierAnswer:
        """A fresh unified identifier for a product or resource of the caller."""
        return _identifier(registrar.allocate(session, body.of, caller.participant))

    @router.get("/identifiers/{identifier}", tags=["identifiers"])
    def resolve(identifier: str, session: Read) -> IdentifierAnswer:
        """Public. To whom an identifier was given. An extension after the 32 characters is not looked at."""
        return _identifier(store.identifier(session, identifiers.check(identifier).core))


def _add_products(router: APIRouter, registrar: Registrar) -> None:
    @router.put("/products/{identifier}", tags=["products"])
    def publish(
        identifier: str, body: Annotated[dict[str, Json], Body()], caller: Member, session: Write
    ) -> Publication:
        """Publish the next version of a product: a document of type ``data-product``, signed by its provider."""
        row, receipt = registrar.publish(session, caller, identifier, SignedDocument.from_json(body))
        return Publication(identifier=row.identifier, version=row.version, digest=row.digest, receipt=receipt.to_json())

    @router.post("/products/{identifier}/withdrawal", tags=["products"])
    def withdraw(identifier: str, caller: Member, session: Write, body: WithdrawalRequest | None = None) -> Publication:
        """Take a product of the caller out of the catalogue and off the market; its next version shows it again."""
        row, receipt = registrar.withdraw(session, caller, identifier, body.version if body else None)
        return Publication(identifier=row.identifier, version=row.version, digest=row.digest, receipt=receipt.to_json())

    @router.get("/products", tags=["products"], response_model_exclude_none=True)
    def search(query: Annotated[Search, Depends(_search)], session: Read) -> SearchAnswer:
        """Public. Search the catalogue; every word of `q` must occur. Facets count what was found, or estimate it."""
        return SearchAnswer.of(registrar.search(session, query))

    @router.get("/products/{identifier}", tags=["products"], response_model=dict[str, Json])
    def product(identifier: str, session: Read, version: Annotated[int | None, Query(ge=1)] = None) -> Response:
        """Public. A product as its provider signed it: ``{document, signatures}``; the newest version by default."""
        return Response(registrar.signed_product(session, identifier, version), media_type="application/json")


def _add_interface(router: APIRouter) -> None:
    base = f"{PREFIX}/interface"

    @router.get("/interface", tags=["interface"])
    def versions() -> dict[str, Json]:
        """Public. The versions of the unified interface."""
        return interface.versions(base)

    @router.get("/interface/{version}", tags=["interface"])
    def contents(version: str) -> dict[str, Json]:
        """Public. What a version of the unified interface consists of."""
        return interface.contents(base, version)

    @router.get("/interface/{version}/openapi.json", tags=["interface"])
    def openapi(version: str, request: Request) -> dict[str, Json]:
        """Public. The OpenAPI description of everything this space serves."""
        interface.check_version(version)
        described: Callable[[], dict[str, Json]] = request.app.openapi
        return described()

    @router.get("/interface/{version}/code-lists.json", tags=["interface"])
    def code_lists(version: str) -> dict[str, Json]:
        """Public. The code lists of the catalogue, with Chinese and English labels."""
        return interface.code_lists(version)

    @router.get("/interface/{version}/schemas/{name}.json", tags=["interface"])
    def schema(version: str, name: str) -> dict[str, Json]:
        """Public. The JSON Schema of one message."""
        return interface.schema(base, version, name)


def _search(
    q: Annotated[str, Query(max_length=MAX_QUERY_CHARACTERS)] = "",
    theme: Annotated[str | None, Query(pattern=r"^[A-D][0-9]{4}$")] = None,
    region: Annotated[str | None, Query(pattern=r"^[0-9]{4}$")] = None,
    provider: str | None = None,
    mode: Annotated[Mode | None, Query()] = None,
    personal: Annotated[bool | None, Query()] = None,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = PAGE,
    facets: Annotated[bool, Query()] = True,
    after: Annotated[int | None, Query(ge=1, le=MAX_POSITION)] = None,
) -> Search:
    return Search(terms(q), theme, region, provider, mode, personal, offset, limit, facets, after)


def _state(row: ParticipantRow) -> ApplicationState:
    return ApplicationState.model_validate(_state_fields(row))


def _detail(row: ParticipantRow) -> ApplicationDetail:
    participant = store.as_participant(row)
    return ApplicationDetail.model_validate(
        {
            **_state_fields(row),
            "name": row.name,
            "name_zh": row.name_zh,
            "owner_code": row.owner_code,
            "region": row.region,
            "roles": sorted(participant.roles),
            "dsp_url": row.dsp_url,
            "contact": row.contact,
            "applied_at": row.applied,
        }
    )


def _state_fields(row: ParticipantRow) -> dict[str, str | None]:
    return {
        "id": row.id,
        "did": row.did,
        "state": row.status,
        "identifier": row.identifier or None,
        "credential": row.credential or None,
        "reason": row.reason or None,
    }


def _identifier(row: IdentifierRow) -> IdentifierAnswer:
    kind = identifiers.Kind(row.kind).name.lower().replace("_", "-")
    return IdentifierAnswer(identifier=row.identifier, kind=kind, holder=row.holder, allocated_at=row.allocated)
