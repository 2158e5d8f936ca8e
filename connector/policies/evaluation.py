"""Evaluation: may this be done under these terms, now, by this participant? A reasoned yes or no, with no I/O.

    >>> from datetime import UTC, datetime
    >>> situation = Situation(Stage.TRANSFER, datetime(2026, 11, 23, tzinfo=UTC), "did:web:a", mode="sandbox-sql")
    >>> evaluate_terms({"permission": [{"action": "use"}]}, situation).allowed
    True

How the answer comes about: no permission means no; whatever cannot be judged means no; a prohibition that matches wins
over every permission; of the permissions one must hold, with its duties done. Facts that do not exist yet at an early
stage (nobody knows the mode of a run while the contract is negotiated) are *open*: at that stage they refuse nothing.
From the stage at which a fact must be known (`connector.policies.operands`), not knowing it refuses.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from connector.policies import operands
from connector.policies.errors import PolicyInvalid
from connector.policies.operands import (
    COUNT,
    DATE_TIME,
    ELAPSED,
    FREQUENCY,
    OPERANDS,
    TIME_WINDOW,
    Operand,
    Operator,
    Shape,
    Stage,
    check_right,
    holds,
    known_at,
    read_duration,
    read_rate,
    read_window,
)
from connector.policies.policy import (
    ACTIONS,
    COMPENSATE,
    COMPUTE,
    DUTIES,
    INFORM,
    PROMISES,
    USE,
    Combination,
    Condition,
    Constraint,
    Logical,
    Policy,
    Rule,
    read_policy,
)
from hexi.canonical import Json, parse_instant
from hexi.errors import Malformed

__all__ = ["Party", "Reason", "Situation", "Stage", "Verdict", "evaluate", "evaluate_terms"]

# Where a use happens and in what form the data are there, by the mode asked for: whatever is not computed here is
# handed over in plain text and used at the consumer's.
AT_THE_CONSUMER, PLAINTEXT = "consumer", "plaintext"
ENVIRONMENTS: Mapping[str, str] = {"sandbox-sql": "sandbox", "encrypted-sum": "encrypted-computation"}
FORMS: Mapping[str, str] = {"encrypted-sum": "ciphertext"}


@dataclass(frozen=True)
class Party:
    """What the registry says about a participant. `connector` is the origin of its connector's address."""

    owner: str
    roles: frozenset[str]
    region: str
    connector: str


@dataclass(frozen=True)
class Situation:
    """The facts; None is a fact that nobody knows.

    `used` counts the uses granted under the agreement so far, `beginning` those that begin now; `volume`, `records` and
    `recent` (uses by period) have the present one in them. `done` names the duties fulfilled.
    """

    stage: Stage
    at: datetime
    participant: str
    # From the transfer on. Before it nobody knows what will be done.
    action: str = COMPUTE
    mode: str | None = None
    purpose: str | None = None
    used: int = 0
    done: frozenset[str] = frozenset()
    beginning: int = 1
    party: Party | None = None
    # The other facts that a consumer declares, by operand.
    declared: Mapping[str, str] = field(default_factory=dict)
    isolation: int | None = None
    agreed_at: datetime | None = None
    volume: int | None = None
    records: int | None = None
    recent: Mapping[timedelta, int] | None = None
    fields: frozenset[str] | None = None
    expression: str | None = None
    network: str | None = None
    # Which facts must be known, where that is not settled by the stage alone.
    known: frozenset[str] | None = None

    @property
    def known_facts(self) -> frozenset[str]:
        """The operands whose facts must be known; the others are open."""
        return known_at(self.stage) if self.known is None else self.known

    def fact(self, operand: str) -> Any:
        """What is known about `operand`, or None."""
        return _FACTS[operand](self)


_FACTS: Mapping[str, Callable[[Situation], Any]] = {
    operands.PARTICIPANT: lambda s: s.participant,
    operands.OWNER: lambda s: s.party and s.party.owner,
    operands.ROLE: lambda s: s.party and s.party.roles,
    operands.REGION: lambda s: s.party and s.party.region,
    operands.CONNECTOR: lambda s: s.party and s.party.connector,
    operands.DATE_TIME: lambda s: s.at,
    operands.PURPOSE: lambda s: s.purpose,
    operands.APPLICATION: lambda s: s.declared.get(operands.APPLICATION),
    operands.ALGORITHM: lambda s: s.declared.get(operands.ALGORITHM),
    operands.MODEL: lambda s: s.declared.get(operands.MODEL),
    operands.DEVICE: lambda s: s.declared.get(operands.DEVICE),
    operands.MODE: lambda s: s.mode,
    operands.ENVIRONMENT: lambda s: s.mode and ENVIRONMENTS.get(s.mode, AT_THE_CONSUMER),
    operands.ENCRYPTION: lambda s: s.mode and FORMS.get(s.mode, PLAINTEXT),
    operands.ISOLATION: lambda s: s.isolation,
    operands.TIME_WINDOW: lambda s: s.at,
    operands.ELAPSED: lambda s: s.agreed_at and s.at - s.agreed_at,
    operands.COUNT: lambda s: s.used + s.beginning,
    operands.FREQUENCY: lambda s: s.recent,
    operands.VOLUME: lambda s: s.volume,
    operands.RECORDS: lambda s: s.records,
    operands.FIELD: lambda s: s.fields,
    operands.EXPRESSION: lambda s: s.expression,
    operands.NETWORK: lambda s: s.network,
}


@dataclass(frozen=True)
class Reason:
    """Why: `code` for programs, `message` for people."""

    code: str
    message: str


@dataclass(frozen=True)
class Verdict:
    """The answer with its reasons; `permission` is the one that carries a yes."""

    allowed: bool
    reasons: tuple[Reason, ...]
    permission: Rule | None = None

    def messages(self) -> list[str]:
        """The reasons, for people."""
        return [reason.message for reason in self.reasons]


class _Answer(Enum):
    YES = "yes"
    NO = "no"
    # The fact does not exist yet at this stage.
    OPEN = "open"
    # The fact should be known and is not: no permission counts on it, and a prohibition that may apply does.
    UNKNOWN = "unknown"


def evaluate(policy: Policy, situation: Situation) -> Verdict:
    """Whether `policy` lets `situation` be, and why."""
    if not policy.permissions:  # empty means no
        return _no(Reason("policy.no-permission", "the terms permit nothing"))
    if unknown := _unknown(policy):
        return _no(Reason("policy.unknown-constraint", f"the terms cannot be judged here: {unknown}"))
    if (prohibition := _prohibiting(policy, situation)) is not None:
        return _no(Reason("policy.prohibited", f"the terms prohibit {_described(prohibition)}"))
    refusals: list[Reason] = []
    for permission in policy.permissions:
        against = _against(permission, policy.obligations, situation)
        if not against:
            return Verdict(True, (Reason("policy.permitted", f"permitted: {_described(permission)}"),), permission)
        refusals += against
    return _no(*dict.fromkeys(refusals))


def evaluate_terms(terms: Json, situation: Situation) -> Verdict:
    """`evaluate` for terms as they stand on the wire; terms that cannot be read say no."""
    try:
        policy = read_policy(terms)
    except PolicyInvalid as error:
        return _no(Reason("policy.unknown-constraint", f"the terms cannot be judged here: {error.detail}"))
    return evaluate(policy, situation)


def count_limit(permission: Rule) -> int | None:
    """The most runs `permission` allows in all, or None when it sets no limit.

    A limit bounds wherever it stands, also inside or / xone: which branch carries the yes is not known later.
    """
    limits = [
        int(c.right[0]) - (1 if c.operator == Operator.LT else 0)
        for c in _all(permission.constraints)
        if c.left == COUNT
    ]
    return max(0, min(limits)) if limits else None


def ends(policy: Policy, permission: Rule, agreed_at: datetime, now: datetime) -> datetime | None:
    """Until when an answer given `now` on `permission` stays the same, as far as it hangs on time; None: for ever.

    It is the next moment that the permission or a prohibition speaks of, whichever way, so nothing that is handed out
    until then outlives what it rests on.
    """
    rules = (permission, *policy.prohibitions)
    moments = [m for rule in rules for c in _all(rule.constraints) for m in _moments(c, agreed_at, now) if m >= now]
    return min(moments, default=None)


def _moments(constraint: Constraint, agreed_at: datetime, now: datetime) -> list[datetime]:
    if constraint.left == DATE_TIME:
        return [parse_instant(text) for text in constraint.right]
    if constraint.left == ELAPSED:
        return [agreed_at + read_duration(text) for text in constraint.right]
    if constraint.left == TIME_WINDOW:
        return [read_window(text).next_change(now) for text in constraint.right]
    return []


def periods(policy: Policy) -> frozenset[timedelta]:
    """The periods within which `policy` counts uses."""
    return frozenset(
        read_rate(constraint.right[0]).period
        for rule in (*policy.permissions, *policy.prohibitions)
        for constraint in _all(rule.constraints)
        if constraint.left == FREQUENCY
    )


def needs_payment(policy: Policy, permission: Rule) -> bool:
    """Whether an order must be shown before `permission` counts."""
    return any(duty.action == COMPENSATE for duty in (*permission.duties, *policy.obligations))


def _against(permission: Rule, obligations: tuple[Rule, ...], situation: Situation) -> list[Reason]:
    """Everything that speaks against `permission`; nothing means it carries."""
    if _is_started(situation) and not _covers(permission.action, situation.action):
        return [Reason("policy.no-permission", f"{permission.action} does not permit {situation.action}")]
    reasons = [
        _refusal(condition, situation)
        for condition in permission.constraints
        if _judge(condition, situation) not in {_Answer.YES, _Answer.OPEN}
    ]
    if _is_started(situation):
        owed = {duty.action for duty in (*permission.duties, *obligations)} - situation.done - {INFORM} - PROMISES
        reasons += [Reason("policy.duty-unfulfilled", _WAYS_OUT[duty]) for duty in sorted(owed)]
    return reasons


_WAYS_OUT = {
    COMPENSATE: "use has to be paid for: order the listing and show its confirmation with the transfer request",
}


def _prohibiting(policy: Policy, situation: Situation) -> Rule | None:
    for rule in policy.prohibitions:
        answers = [_judge(condition, situation) for condition in rule.constraints]
        applies = _conjunction(answers)
        # An open fact may still keep clear of the prohibition later; one that should be known and is not does not.
        # Before the transfer nobody knows what will be done, so only what forbids everything forbids.
        action = situation.action if _is_started(situation) else USE
        if applies in {_Answer.YES, _Answer.UNKNOWN} and _covers(rule.action, action):
            return rule
    return None


def _is_started(situation: Situation) -> bool:
    return situation.stage in {Stage.TRANSFER, Stage.USE}


def _covers(wider: str, action: str | None) -> bool:
    while action is not None:
        if action == wider:
            return True
        action = ACTIONS.get(action)
    return False


def _judge(condition: Condition, situation: Situation) -> _Answer:
    if isinstance(condition, Logical):
        answers = [_judge(part, situation) for part in condition.parts]
        return _COMBINE[condition.combination](answers)
    if condition.left not in situation.known_facts:
        return _Answer.OPEN
    fact = situation.fact(condition.left)
    if fact is None:
        return _Answer.UNKNOWN
    return _Answer.YES if holds(OPERANDS[condition.left], condition.operator, fact, condition.right) else _Answer.NO


def _conjunction(answers: Iterable[_Answer]) -> _Answer:
    found = set(answers)
    return next((a for a in (_Answer.NO, _Answer.UNKNOWN, _Answer.OPEN) if a in found), _Answer.YES)


def _disjunction(answers: Iterable[_Answer]) -> _Answer:
    found = set(answers)
    return next((a for a in (_Answer.YES, _Answer.OPEN, _Answer.UNKNOWN) if a in found), _Answer.NO)


def _exactly_one(answers: Iterable[_Answer]) -> _Answer:
    listed = list(answers)
    if listed.count(_Answer.YES) > 1:
        return _Answer.NO
    doubt = next((a for a in (_Answer.OPEN, _Answer.UNKNOWN) if a in listed), None)
    return doubt or (_Answer.YES if _Answer.YES in listed else _Answer.NO)


_COMBINE: Mapping[Combination, Callable[[Iterable[_Answer]], _Answer]] = {
    Combination.AND: _conjunction,
    Combination.OR: _disjunction,
    Combination.XONE: _exactly_one,
}


def _unknown(policy: Policy) -> str | None:
    """What in `policy` is not in the tables. `read_policy` never lets it in; a policy built by hand may carry it."""
    for rule in (*policy.permissions, *policy.prohibitions):
        if rule.action not in ACTIONS:
            return f"the action {rule.action!r}"
        for constraint in _all(rule.constraints):
            operand = OPERANDS.get(constraint.left)
            if operand is None or constraint.operator not in operand.operators or not _is_readable(operand, constraint):
                return str(constraint)
    duties = [*policy.obligations, *(duty for rule in policy.permissions for duty in rule.duties)]
    return next((f"the duty {duty.action!r}" for duty in duties if duty.action not in DUTIES), None)


def _is_readable(operand: Operand, constraint: Constraint) -> bool:
    try:
        for text in constraint.right:
            check_right(operand, text)
    except Malformed:
        return False
    return bool(constraint.right)


def _all(conditions: Iterable[Condition]) -> Iterable[Constraint]:
    for condition in conditions:
        if isinstance(condition, Constraint):
            yield condition
        else:
            yield from _all(condition.parts)


def _refusal(condition: Condition, situation: Situation) -> Reason:
    if isinstance(condition, Logical):
        return Reason("policy.constraint-unsatisfied", f"the terms demand {condition}")
    operand, fact = OPERANDS[condition.left], situation.fact(condition.left)
    shown = "not known" if fact is None else _shown(condition, fact)
    return Reason(f"policy.{operand.name}", f"the terms demand {condition}; {operand.en}: {shown}")


def _shown(constraint: Constraint, fact: Any) -> str:
    if isinstance(fact, datetime):
        return fact.isoformat(timespec="seconds")
    if OPERANDS[constraint.left].shape is Shape.RATE:
        fact = fact.get(read_rate(constraint.right[0]).period, "not counted")
    return ", ".join(sorted(fact)) if isinstance(fact, frozenset) else str(fact)


def _described(rule: Rule) -> str:
    if not rule.constraints:
        return rule.action
    return f"{rule.action} when " + " and ".join(map(str, rule.constraints))


def _no(*reasons: Reason) -> Verdict:
    return Verdict(False, reasons)
