"""Usage: what is handed over under an agreement, counted while it happens, and stopped the moment the terms say so.

A grant is a transfer's account. Whoever hands data over asks `admit` first; the answer is the agreement's own policy
evaluated on what has been used by now, so the same terms rule at the catalogue, at the negotiation, at the start and
while a transfer runs.
"""

from datetime import datetime

from sqlmodel import Session

from connector import usage_store as store
from connector.agreements import Agreement
from connector.evaluation import Reason, Situation, Stage, Verdict, evaluate_terms
from connector.grants import Grant, GrantState, Use
from hexi.canonical import instant

_NOT_ACTIVE = "connector.transfer-not-active"


def open_grant(session: Session, grant: Grant, agreement: Agreement, now: datetime) -> Verdict:
    """Open the transfer's account if the agreement's terms allow it to start at all."""
    verdict = _evaluate(agreement, now)
    if verdict.allowed and store.grant(session, grant.transfer) is None:
        store.add_grant(session, grant, instant(now))
    return verdict


def admit(session: Session, transfer: str, use: Use, agreement: Agreement, now: datetime) -> Verdict:
    """Whether `use` may happen now; if so it is counted, in the caller's transaction."""
    grant = store.grant(session, transfer, lock=True)
    if grant is None or grant.state is not GrantState.ACTIVE:
        return not_active(grant)
    verdict = _evaluate(agreement, now)
    if verdict.allowed:
        store.count_use(session, transfer, use.count, use.volume, instant(now))
    return verdict


def not_active(grant: Grant | None) -> Verdict:
    """Why a transfer is not served now, that of `grant` or one without."""
    said = grant.ended if grant else None
    return Verdict(False, (Reason(_NOT_ACTIVE, said or "this transfer is not under way"),))


def give_back(session: Session, transfer: str, volume: int, now: datetime) -> None:
    """Take back `volume` bytes that were admitted and then not handed over."""
    store.count_use(session, transfer, 0, -volume, instant(now))


def suspend_grant(session: Session, transfer: str, now: datetime) -> None:
    """Serve the transfer no longer, until it is resumed."""
    store.set_state(session, transfer, GrantState.SUSPENDED, None, instant(now))


def resume_grant(session: Session, transfer: str, now: datetime) -> None:
    """Serve the transfer again."""
    store.set_state(session, transfer, GrantState.ACTIVE, None, instant(now))


def end_grant(session: Session, transfer: str, reason: str, now: datetime) -> None:
    """Serve the transfer never again, and say why."""
    store.set_state(session, transfer, GrantState.ENDED, reason, instant(now))


def _evaluate(agreement: Agreement, now: datetime) -> Verdict:
    situation = Situation(Stage.TRANSFER, now, agreement.consumer, action="use", purpose=agreement.purpose)
    return evaluate_terms(agreement.terms, situation)
