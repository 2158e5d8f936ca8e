"""Entitlements: from a concluded agreement, and an order where use is paid for, to the permit the sandbox obeys.

`entitle` is pure: it gets everything that counts as values and gives back the permit, or the verdict that says why not.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connector.contracts.agreements import Agreement
from connector.contracts.errors import OrderInvalid
from connector.policies.errors import PolicyInvalid
from connector.policies.evaluation import (
    Party,
    Reason,
    Situation,
    Stage,
    Verdict,
    count_limit,
    ends,
    evaluate,
    needs_payment,
)
from connector.policies.policy import COMPENSATE, Policy, Rule, read_policy
from hexi.canonical import Json, instant, parse_instant
from hexi.errors import DataspaceError
from hexi.keys import KeyResolver, read_header, verify
from sandbox.permits import Permit

ORDER_TYPE = "hexi-order+jws"

# A permit is never without limits, even where terms and order set none: this many runs, for so long.
MAX_RUNS = 1_000
MAX_DAYS = 30


@dataclass(frozen=True)
class Order:
    """What an order confirmation says, once the operator's signature holds."""

    id: str
    runs: int
    expires: datetime


@dataclass(frozen=True)
class Used:
    """Runs granted so far and not given back, and uses made: under the agreement, and of the order shown."""

    of_agreement: int = 0
    of_order: int = 0


@dataclass(frozen=True)
class Ask:
    """What a transfer request asks for. `permit` is the id its permit will have."""

    permit: str
    mode: str
    minimum_isolation: int
    order: Order | None = None
    used: Used = Used()
    party: Party | None = None


def verify_order(
    jws: Json,
    agreement: Agreement,
    *,
    operator: str,
    resolve: KeyResolver,
    now: datetime,
    withdrawn: str | None = None,
) -> Order:
    """The order that `jws` confirms, of a product that was `withdrawn` at this instant or is on offer. Raises
    `OrderInvalid`.

    (1) It is signed by the operator, as an order. (2) It is for this agreement, product, consumer and provider.
    (3) It grants at least one run. (4) It has not expired. (5) It was placed before the product was withdrawn, if it
    was: the market may have heard of that later. The caller still owes: how much of it is used up.
    """
    payload = _opened(jws, operator, resolve)  # (1)
    expected = {
        "type": "order",
        "agreement": agreement.id,
        "product": agreement.product,
        "consumer": agreement.consumer,
        "provider": agreement.provider,
    }
    for name, value in expected.items():  # (2)
        if payload.get(name) != value:
            raise OrderInvalid(f"the order confirmation is for another {name} than {value}")
    runs = payload.get("runs")
    if not isinstance(runs, int) or isinstance(runs, bool) or runs < 1:  # (3)
        raise OrderInvalid("the order confirmation grants no runs")
    expires = _expiry(payload.get("expires"))
    if now >= expires:  # (4)
        raise OrderInvalid(f"the order confirmation expired at {instant(expires)}; place a new order")
    if withdrawn is not None and not str(payload.get("placedAt")) < withdrawn:  # (5)
        raise OrderInvalid(f"the product was withdrawn at {withdrawn}, before this order was placed; cancel the order")
    return Order(str(payload.get("id")), runs, expires)


def entitle(agreement: Agreement, ask: Ask, now: datetime) -> Permit | Verdict:
    """The permit `agreement` gives for `ask`, or why it gives none."""
    try:
        policy = read_policy(agreement.terms)
    except PolicyInvalid as error:
        return Verdict(False, (Reason("policy.unknown-constraint", error.detail),))
    agreed_at = parse_instant(agreement.concluded_at)
    # A permit is given out once and used later, where nobody evaluates these terms again: so every fact is needed now.
    verdict = evaluate(
        policy,
        Situation(
            Stage.USE,
            now,
            agreement.consumer,
            mode=ask.mode,
            purpose=agreement.purpose,
            used=ask.used.of_agreement,
            done=frozenset({COMPENSATE}) if ask.order else frozenset(),
            party=ask.party,
            declared=agreement.declared,
            isolation=ask.minimum_isolation,
            agreed_at=agreed_at,
        ),
    )
    if not verdict.allowed or verdict.permission is None:
        return verdict
    runs = _runs(ask, verdict.permission)
    if runs < 1:
        return Verdict(False, (Reason("policy.count", "all runs ordered are used; place a new order"),))
    return _permit(agreement, ask, runs, now, _until(ask, ends(policy, verdict.permission, agreed_at, now), now))


def payment_needed(agreement: Agreement) -> bool:
    """Whether any permission of `agreement` asks for an order. Raises `PolicyInvalid`."""
    policy: Policy = read_policy(agreement.terms)
    return any(needs_payment(policy, permission) for permission in policy.permissions)


def _permit(agreement: Agreement, ask: Ask, runs: int, now: datetime, expires: datetime) -> Permit:
    return Permit(
        id=ask.permit,
        issuer=agreement.provider,
        holder=agreement.consumer,
        product=agreement.product,
        version=agreement.version,
        product_digest=agreement.product_digest or "",
        agreement=agreement.id,
        order=ask.order.id if ask.order else None,
        operations=(ask.mode,),
        runs=runs,
        purpose=agreement.purpose,
        not_before=instant(now),
        expires=instant(expires),
        minimum_isolation=ask.minimum_isolation,
    )


def _runs(ask: Ask, permission: Rule) -> int:
    limits = [MAX_RUNS]
    if (limit := count_limit(permission)) is not None:
        limits.append(limit - ask.used.of_agreement)
    if ask.order:
        limits.append(ask.order.runs - ask.used.of_order)
    return min(limits)


def _until(ask: Ask, end: datetime | None, now: datetime) -> datetime:
    moments = [now + timedelta(days=MAX_DAYS), end, ask.order.expires if ask.order else None]
    return min(moment for moment in moments if moment is not None)


def _opened(jws: Json, operator: str, resolve: KeyResolver) -> dict[str, Any]:
    if not isinstance(jws, str):
        raise OrderInvalid("an order confirmation is the JWS the marketplace gave out")
    try:
        kid = read_header(jws).get("kid", "")
        if not isinstance(kid, str) or kid.partition("#")[0] != operator:
            raise OrderInvalid(f"the order confirmation is not signed by the operator {operator}")
        payload = verify(jws, typ=ORDER_TYPE, resolve=resolve)
    except DataspaceError as error:
        if error.status >= 500 or isinstance(error, OrderInvalid):
            raise
        raise OrderInvalid(f"the order confirmation does not hold: {error.detail}") from error
    if not isinstance(payload, dict):
        raise OrderInvalid("the order confirmation is not an object")
    return payload


def _expiry(value: Json) -> datetime:
    try:
        return parse_instant(str(value))
    except DataspaceError as error:
        raise OrderInvalid(f"the order confirmation does not say until when it holds: {error.detail}") from error
