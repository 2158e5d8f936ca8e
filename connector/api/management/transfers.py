"""Transfers, in either role."""

from typing import Annotated

from fastapi import APIRouter, Query

from connector import management_store
from connector.api.management import views
from connector.api.management.access import PREFIX, Owner
from connector.api.management.listings import TransfersAsked
from connector.business_answers import Transfer, Transfers
from connector.business_errors import AgreementNotConcluded, AgreementUnknown, RequestIdTaken
from connector.business_messages import RequestTransfer, Terminate
from connector.desk import Desk
from connector.errors import IllegalTransition, MessageInFlight, ProcessUnknown
from connector.management_errors import CursorInvalid
from connector.processes import Kind
from hexi.web import Read, Write, problems
from registry.errors import ParticipantRevoked, ParticipantUnknown


def create_router(desk: Desk) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(prefix=PREFIX, tags=["transfers"])

    @router.post(
        "/transfers",
        status_code=201,
        responses=problems(
            AgreementUnknown, AgreementNotConcluded, ParticipantUnknown, ParticipantRevoked, RequestIdTaken
        ),
    )
    def request_transfer(_: Owner, body: RequestTransfer) -> Transfer:
        """Ask for a transfer under a concluded agreement. 请求传输。

        With an `id` of yours, asking again starts nothing: the answer is the transfer there is.
        """
        return views.transfer(desk.dealings.transfer(body))

    @router.get("/transfers", responses=problems(CursorInvalid))
    def list_transfers(_: Owner, session: Read, asked: Annotated[TransfersAsked, Query()]) -> Transfers:
        """Transfers, newest first, in either role. 传输列表。"""
        found = management_store.processes(session, Kind.TRANSFER, asked.wanted, asked.after, asked.limit)
        return Transfers(**views.page(found, views.transfer))

    @router.get("/transfers/{pid}", responses=problems(ProcessUnknown))
    def read_transfer(_: Owner, pid: str, session: Read) -> Transfer:
        """One transfer; when the provider refused it, `reason` says why and what to do. 查看传输。"""
        return views.transfer(desk.engine.transfer(session, pid))

    @router.post("/transfers/{pid}/termination", responses=problems(ProcessUnknown, IllegalTransition, MessageInFlight))
    def terminate_transfer(_: Owner, pid: str, body: Terminate, session: Write) -> Transfer:
        """End a transfer, and tell the other end why; its permit counts no longer. 终止传输。"""
        return views.transfer(desk.dealings.end_transfer(session, pid, body.reason))

    return router
