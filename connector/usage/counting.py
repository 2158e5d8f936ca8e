"""Usage: what is handed over under an agreement, counted while it happens, and stopped the moment the terms say so.

A grant is a transfer's account. Whoever hands data over asks `admit` first; the answer is the agreement's own policy
evaluated on what has been used by now, so the same terms rule at the catalogue, at the negotiation, at the start and
while a transfer runs. Everything here is in the caller's transaction and holds the agreement, so that two transfers
never both take the last use.

    with database.transaction() as session:
        verdict = usage.admit(session, transfer, Use(count=1, volume=size, unfinished=True), agreement, clock())
    # hand it over if verdict.allowed, piece by piece, each admitted with count 0; at the end:
    with database.transaction() as session:
        usage.finish(session, transfer, clock(), digest=digest_of_the_whole)
"""

from datetime import datetime, timedelta

from sqlmodel import Session

from connector.contracts import store as business_store
from connector.contracts.agreements import Agreement, AgreementState
from connector.policies.errors import PolicyInvalid
from connector.policies.evaluation import Reason, Verdict, periods
from connector.policies.policy import read_policy
from connector.usage import store as usage_store
from connector.usage.admission import Ending, ending, may_start, may_use
from connector.usage.grants import Grant, GrantState, Totals, Use
from hexi.canonical import instant

_NOT_ACTIVE = "connector.transfer-not-active"
AGREEMENT_ENDED = "connector.agreement-ended"


def open_grant(session: Session, opened: Grant, agreement: Agreement, now: datetime) -> Verdict:
    """Open the transfer's account if the agreement's terms allow it to start at all."""
    if usage_store.hold_agreement(session, agreement.id) is not AgreementState.CONCLUDED:
        return _no(AGREEMENT_ENDED, "this agreement has ended; negotiate a new one")
    verdict = may_start(opened, agreement, _totals(session, opened, agreement, now), now)
    if verdict.allowed and usage_store.grant(session, opened.transfer) is None:
        usage_store.add_grant(session, opened, instant(now))
    return verdict


def admit(session: Session, transfer: str, use: Use, agreement: Agreement, now: datetime) -> Verdict:
    """Whether `use` may happen now; if so it is counted, in the caller's transaction. `agreement` is the transfer's."""
    state = usage_store.hold_agreement(session, agreement.id)
    account = usage_store.grant(session, transfer, lock=True)
    if account is None or account.state is not GrantState.ACTIVE:
        return not_active(account)
    if state is not AgreementState.CONCLUDED or account.agreement != agreement.id:
        return _no(AGREEMENT_ENDED, "this agreement has ended; negotiate a new one")
    verdict = may_use(account, agreement, use, _totals(session, account, agreement, now), now)
    if verdict.allowed:
        _count(session, account, agreement, use, now)
    return verdict


def not_active(account: Grant | None) -> Verdict:
    """Why a transfer is not served now, that of `account` or one without."""
    return _no(_NOT_ACTIVE, (account.ended if account else None) or "this transfer is not under way")


def give_back(session: Session, transfer: str, volume: int, now: datetime) -> None:
    """Take back `volume` bytes that were admitted and then not handed over."""
    usage_store.count_use(session, transfer, {"volume": -volume}, instant(now))


def grant(session: Session, transfer: str) -> Grant | None:
    """The transfer's account, if it has one."""
    return usage_store.grant(session, transfer)


def finish(session: Session, transfer: str, now: datetime, *, digest: str | None = None) -> None:
    """A use that was `unfinished` has been handed over, or was given up.

    `digest` is that of the whole thing, where it is known; the entry on the ledger carries it.
    """
    account = usage_store.grant(session, transfer, lock=True)
    if account is not None and account.under_way:
        usage_store.count_use(session, transfer, {"under_way": -1}, instant(now))
    if digest is not None:
        usage_store.set_digest(session, transfer, digest)


def must_end(session: Session, transfer: str, now: datetime) -> Ending | None:
    """Why the transfer must not go on, or None; also None where it is not served."""
    account = usage_store.grant(session, transfer)
    if account is None or account.state is GrantState.ENDED:
        return None
    held = business_store.agreement(session, account.agreement)
    if held.state is not AgreementState.CONCLUDED:
        return Ending((Reason(AGREEMENT_ENDED, "this agreement has ended"),))
    return ending(account, held.agreement, _totals(session, account, held.agreement, now), now)


def suspend_grant(session: Session, transfer: str, now: datetime) -> None:
    """Serve the transfer no longer, until it is resumed."""
    usage_store.set_state(session, transfer, GrantState.SUSPENDED, None, instant(now))


def resume_grant(session: Session, transfer: str, now: datetime) -> None:
    """Serve the transfer again."""
    usage_store.set_state(session, transfer, GrantState.ACTIVE, None, instant(now))


def end_grant(session: Session, transfer: str, reason: str, now: datetime) -> Grant | None:
    """Serve the transfer never again, and say why. Returns the grant if it was this that ended it."""
    account = usage_store.grant(session, transfer, lock=True)
    if account is None or account.state is GrantState.ENDED:
        return None
    usage_store.set_state(session, transfer, GrantState.ENDED, reason, instant(now))
    return account


def _count(session: Session, account: Grant, agreement: Agreement, use: Use, now: datetime) -> None:
    at = instant(now)
    amounts = {
        "count": use.count,
        "volume": use.volume,
        "records": use.records or 0,
        "under_way": use.count if use.unfinished else 0,
    }
    usage_store.count_use(session, account.transfer, amounts, at)
    counted = _periods(agreement)
    if counted and use.count:
        usage_store.add_use(session, agreement.id, use.count, at, forget=instant(now - max(counted)))


def _totals(session: Session, account: Grant, agreement: Agreement, now: datetime) -> Totals:
    used = usage_store.used(session, agreement.id, account.paid.order if account.paid else None)
    volume, records = usage_store.handed_over(session, agreement.id)
    recent = {
        period: usage_store.uses_since(session, agreement.id, instant(now - period)) for period in _periods(agreement)
    }
    return Totals(used.of_agreement, volume, records, used.of_order, recent)


def _periods(agreement: Agreement) -> frozenset[timedelta]:
    try:
        return periods(read_policy(agreement.terms))
    except PolicyInvalid:  # terms that cannot be read refuse every use by themselves
        return frozenset()


def _no(code: str, message: str) -> Verdict:
    return Verdict(False, (Reason(code, message),))
