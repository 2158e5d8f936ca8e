"""Transfers, in either role."""

from typing import Annotated

from fastapi import APIRouter, Query

from connector.api.management import views
from connector.api.management.access import PREFIX, Owner
from connector.api.management.listings import TransfersAsked
from connector.contracts.errors import AgreementNotConcluded, AgreementUnknown, RequestIdTaken
from connector.management import store as management_store
from connector.management.answers import History, Transfer, Transfers
from connector.management.desk import Desk
from connector.management.errors import CursorInvalid
from connector.management.messages import RequestTransfer, Suspend, Terminate
from connector.monitoring import ComputationEnded
from connector.protocol.errors import IllegalTransition, MessageInFlight, MessageMalformed, ProcessUnknown
from connector.protocol.processes import Kind
from hexi.web import Read, SessionRoute, Write, problems
from registry.errors import ParticipantRevoked, ParticipantUnknown


def create_router(desk: Desk) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(route_class=SessionRoute, prefix=PREFIX, tags=["transfers"])

    @router.post(
        "/transfers",
        status_code=201,
        responses=problems(
            AgreementUnknown,
            AgreementNotConcluded,
            ParticipantUnknown,
            ParticipantRevoked,
            RequestIdTaken,
            MessageMalformed,
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

    @router.get("/transfers/{pid}/history", responses=problems(ProcessUnknown))
    def read_transfer_history(_: Owner, pid: str, session: Read) -> History:
        """Every message of a transfer and the state it led to, oldest first. 传输历史。"""
        return views.history(session, desk.engine.transfer(session, pid))

    _add_steering(router, desk)
    return router


def _add_steering(router: APIRouter, desk: Desk) -> None:
    """What moves a transfer. Its state follows once the other end has taken our message."""
    refused = problems(ProcessUnknown, IllegalTransition, MessageInFlight)

    @router.post("/transfers/{pid}/suspension", responses=refused)
    def suspend_transfer(_: Owner, pid: str, body: Suspend, session: Write) -> Transfer:
        """Pause a transfer, and tell the other end why; as provider nothing is handed over meanwhile. 暂停传输。"""
        return views.transfer(desk.dealings.suspend_transfer(session, pid, body.reason))

    @router.post(
        "/transfers/{pid}/resumption",
        responses=problems(ProcessUnknown, IllegalTransition, MessageInFlight, ComputationEnded),
    )
    def resume_transfer(_: Owner, pid: str, session: Write) -> Transfer:
        """Take up a suspended transfer again; what the provider suspended, only the provider resumes. 恢复传输。"""
        return views.transfer(desk.dealings.resume_transfer(session, pid))

    @router.post("/transfers/{pid}/completion", responses=refused)
    def complete_transfer(_: Owner, pid: str, session: Write) -> Transfer:
        """End a transfer because all was delivered. 完成传输。"""
        return views.transfer(desk.dealings.complete_transfer(session, pid))

    @router.post("/transfers/{pid}/termination", responses=refused)
    def terminate_transfer(_: Owner, pid: str, body: Terminate, session: Write) -> Transfer:
        """End a transfer, and tell the other end why; its permit counts no longer. 终止传输。"""
        return views.transfer(desk.dealings.end_transfer(session, pid, body.reason))
