"""Contract negotiations, in either role."""

from typing import Annotated

from fastapi import APIRouter, Query

from connector.api.management import views
from connector.api.management.access import PREFIX, Owner
from connector.api.management.listings import NegotiationsAsked
from connector.contracts.errors import NotOurTurn, ProductUnknown, RequestIdTaken, TermsRefuse
from connector.management import store as management_store
from connector.management.answers import History, Negotiation, Negotiations
from connector.management.desk import Desk
from connector.management.errors import CursorInvalid
from connector.management.messages import Counter, Negotiate, Terminate
from connector.policies.errors import PolicyInvalid
from connector.protocol.errors import IllegalTransition, MessageInFlight, ProcessUnknown
from connector.protocol.processes import Kind
from hexi.client import Unreachable
from hexi.web import Read, SessionRoute, Write, problems
from registry.errors import ParticipantRevoked, ParticipantUnknown


def create_router(desk: Desk) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(route_class=SessionRoute, prefix=PREFIX, tags=["negotiations"])

    @router.post(
        "/negotiations",
        status_code=201,
        responses=problems(ProductUnknown, ParticipantUnknown, ParticipantRevoked, RequestIdTaken, Unreachable),
    )
    def start_negotiation(_: Owner, body: Negotiate) -> Negotiation:
        """Ask a provider for its product on the terms published. 发起协商。

        With an `id` of yours, asking again starts nothing: the answer is the negotiation there is.
        """
        return views.negotiation(desk.dealings.negotiate(body))

    @router.get("/negotiations", responses=problems(CursorInvalid))
    def list_negotiations(_: Owner, session: Read, asked: Annotated[NegotiationsAsked, Query()]) -> Negotiations:
        """Negotiations, newest first, in either role. 协商列表。"""
        found = management_store.processes(session, Kind.NEGOTIATION, asked.wanted, asked.after, asked.limit)
        return Negotiations(**views.page(found, views.negotiation))

    @router.get("/negotiations/{pid}", responses=problems(ProcessUnknown))
    def read_negotiation(_: Owner, pid: str, session: Read) -> Negotiation:
        """One negotiation; when it was terminated, `reason` says why. 查看协商。"""
        return views.negotiation(desk.engine.negotiation(session, pid))

    @router.get("/negotiations/{pid}/history", responses=problems(ProcessUnknown))
    def read_negotiation_history(_: Owner, pid: str, session: Read) -> History:
        """Every message of a negotiation and the state it led to, oldest first. 协商历史。"""
        return views.history(session, desk.engine.negotiation(session, pid))

    @router.post(
        "/negotiations/{pid}/acceptance", responses=problems(ProcessUnknown, NotOurTurn, TermsRefuse, MessageInFlight)
    )
    def accept_negotiation(_: Owner, pid: str, session: Write) -> Negotiation:
        """Accept what the other end asks for or offers. Accepted already, it stays as it is. 接受。"""
        return views.negotiation(desk.bargaining.accept(session, pid))

    @router.post(
        "/negotiations/{pid}/counter", responses=problems(ProcessUnknown, NotOurTurn, PolicyInvalid, MessageInFlight)
    )
    def counter_negotiation(_: Owner, pid: str, body: Counter, session: Write) -> Negotiation:
        """Propose other terms for what is on the table. 还价。"""
        return views.negotiation(desk.bargaining.counter(session, pid, body.terms))

    @router.post(
        "/negotiations/{pid}/termination", responses=problems(ProcessUnknown, IllegalTransition, MessageInFlight)
    )
    def terminate_negotiation(_: Owner, pid: str, body: Terminate, session: Write) -> Negotiation:
        """Give up a negotiation, and tell the other end why. 终止协商。"""
        return views.negotiation(desk.dealings.end_negotiation(session, pid, body.reason))

    return router
