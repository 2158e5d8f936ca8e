"""Admission: may this be handed over now, and what that runs must end now? Pure; `usage.counting` does the counting.

Both answers are the agreement's own policy, evaluated on what was handed over so far: its limits are limits of the
agreement, over all its transfers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from connector.contracts.agreements import Agreement
from connector.formats import MODES
from connector.policies.evaluation import Reason, Situation, Stage, Verdict, evaluate_terms
from connector.policies.operands import COUNT, FIELD, NETWORK, RECORDS, TIME_WINDOW, VOLUME, known_at
from connector.policies.policy import COMPENSATE, READ
from connector.usage.grants import Grant, Paid, Totals, Use
from hexi.canonical import parse_instant

# A use of which no piece was handed over for so long is taken to be finished: the consumer of a file had time enough to
# come back for the rest, or to say that it has all of it.
QUIET_SECONDS = 300
_USED_UP = frozenset(f"policy.{operand}" for operand in (COUNT, VOLUME, RECORDS))
# Why a delivery is suspended when its hours are over; it goes on when they begin again.
WINDOW_CLOSED = "connector.window-closed"


@dataclass(frozen=True)
class Ending:
    """A running delivery must stop.

    `for_good`: it cannot go on later, as it can when a window opens again. `is_done`: nothing is wrong, but all that
    the terms allow has been handed over.
    """

    reasons: tuple[Reason, ...]
    for_good: bool = True
    is_done: bool = False

    @property
    def code(self) -> str:
        """The first reason's code, or that a window has closed."""
        return self.reasons[0].code if self.for_good else WINDOW_CLOSED

    @property
    def messages(self) -> list[str]:
        """The reasons, for people."""
        return [reason.message for reason in self.reasons]


def may_start(grant: Grant, agreement: Agreement, totals: Totals, now: datetime) -> Verdict:
    """Whether a delivery may begin at all: what is known only of the single use stays open."""
    paid = _paid_against(grant.paid, totals.of_order + 1, now)
    return _refused(paid) if paid else evaluate_terms(agreement.terms, _starting(grant, agreement, totals, now))


def may_use(grant: Grant, agreement: Agreement, use: Use, totals: Totals, now: datetime) -> Verdict:
    """Whether `use` may happen now. Every fact must be known that the terms speak of."""
    paid = _paid_against(grant.paid, totals.of_order + use.count, now)
    if paid:
        return _refused(paid)
    recent = {period: uses + use.count for period, uses in (totals.recent or {}).items()}
    situation = replace(
        _starting(grant, agreement, totals, now),
        stage=Stage.USE,
        beginning=use.count,
        volume=totals.volume + use.volume,
        records=None if use.records is None else totals.records + use.records,
        recent=recent,
        fields=use.fields,
        expression=use.expression,
        network=use.network,
    )
    return evaluate_terms(agreement.terms, situation)


def fields_allowed(
    grant: Grant, agreement: Agreement, fields: Iterable[str], network: str | None, now: datetime
) -> frozenset[str]:
    """Those of `fields` that the terms let be handed over, each looked at by itself; `may_use` has the last word."""
    starting = replace(
        _starting(grant, agreement, Totals(), now),
        network=network,
        known=known_at(Stage.TRANSFER) - {COUNT} | {FIELD, NETWORK},
    )
    alone = {name: replace(starting, fields=frozenset({name})) for name in fields}
    return frozenset(name for name, situation in alone.items() if evaluate_terms(agreement.terms, situation).allowed)


def ending(grant: Grant, agreement: Agreement, totals: Totals, now: datetime) -> Ending | None:
    """Why a delivery that runs must stop now, or None.

    A use that has begun may be finished when the last one is used up; after that nothing can begin any more, and the
    delivery is done.
    """
    more = 0 if _is_under_way(grant, now) else 1
    paid = _paid_against(grant.paid, totals.of_order + more, now)
    if paid:
        return Ending((paid,), is_done=_is_done(grant, (paid,)))
    situation = replace(
        _starting(grant, agreement, totals, now),
        beginning=more,
        volume=totals.volume + more,
        records=totals.records + more,
        known=known_at(Stage.TRANSFER) | {VOLUME, RECORDS},
    )
    verdict = evaluate_terms(agreement.terms, situation)
    if verdict.allowed:
        return None
    at_another_hour = replace(situation, known=situation.known_facts - {TIME_WINDOW})
    for_good = not evaluate_terms(agreement.terms, at_another_hour).allowed
    return Ending(verdict.reasons, for_good, is_done=for_good and _is_done(grant, verdict.reasons))


def _is_under_way(grant: Grant, now: datetime) -> bool:
    return grant.under_way > 0 and now < parse_instant(grant.updated) + timedelta(seconds=QUIET_SECONDS)


def _is_done(grant: Grant, reasons: tuple[Reason, ...]) -> bool:
    return grant.count > 0 and all(reason.code in _USED_UP for reason in reasons)


def _starting(grant: Grant, agreement: Agreement, totals: Totals, now: datetime) -> Situation:
    return Situation(
        Stage.TRANSFER,
        now,
        agreement.consumer,
        action=READ,
        mode=MODES.get(grant.format),
        purpose=agreement.purpose,
        used=totals.count,
        done=frozenset({COMPENSATE}) if grant.paid else frozenset(),
        party=grant.party,
        declared=agreement.declared,
        isolation=0,  # what is handed over is used where no isolation of ours holds
        agreed_at=parse_instant(agreement.concluded_at),
    )


def _paid_against(paid: Paid | None, uses: int, now: datetime) -> Reason | None:
    if paid is None:
        return None
    if now >= parse_instant(paid.expires):
        return Reason("connector.order-invalid", f"the order expired at {paid.expires}; place a new order")
    if uses > paid.uses:
        return Reason("policy.count", f"all {paid.uses} uses ordered are used; place a new order")
    return None


def _refused(reason: Reason) -> Verdict:
    return Verdict(False, (reason,))
