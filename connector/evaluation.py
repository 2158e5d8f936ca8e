"""Evaluation: may this be done under these terms, now, by this participant? A reasoned yes or no, with no I/O.

    >>> from datetime import UTC, datetime
    >>> situation = Situation(Stage.TRANSFER, datetime(2026, 11, 23, tzinfo=UTC), "did:web:a", mode="sandbox-sql")
    >>> evaluate_terms({"permission": [{"action": "use"}]}, situation).allowed
    True

How the answer comes about: no permission means no; whatever cannot be judged means no; a prohibition that matches wins
over every permission; of the permissions one must hold, with its duties done. Facts that do not exist yet at an early
stage (nobody knows the mode of a run while the contract is negotiated) are *open*: at that stage they refuse nothing,
and at the stage where they must be known an open fact refuses.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any

from connector.business_errors import PolicyInvalid
from connector.policy import (
    ACTIONS,
    COMPENSATE,
    COMPUTE,
    COUNT,
    DATE_TIME,
    DUTIES,
    INFORM,
    MODE,
    OPERATORS,
    PARTICIPANT,
    PURPOSE,
    Combination,
    Condition,
    Constraint,
    Logical,
    Operator,
    Policy,
    Rule,
    read_policy,
)
from hexi.canonical import Json, parse_instant


class Stage(StrEnum):
    """When the question is asked; it decides which facts must be known."""

    CATALOGUE = "catalogue"
    NEGOTIATION = "negotiation"
    TRANSFER = "transfer"


KNOWN: Mapping[Stage, frozenset[str]] = {
    Stage.CATALOGUE: frozenset({PARTICIPANT, DATE_TIME}),
    # The purpose is declared in the request and becomes part of the agreement.
    Stage.NEGOTIATION: frozenset({PARTICIPANT, DATE_TIME, PURPOSE}),
    Stage.TRANSFER: frozenset({PARTICIPANT, DATE_TIME, PURPOSE, MODE, COUNT}),
}


@dataclass(frozen=True)
class Situation:
    """The facts. `used` counts the runs already granted under the agreement; `done` names the duties fulfilled."""

    stage: Stage
    at: datetime
    participant: str
    action: str = COMPUTE
    mode: str | None = None
    purpose: str | None = None
    used: int = 0
    done: frozenset[str] = frozenset()


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
    OPEN = "open"


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


def ends(permission: Rule) -> datetime | None:
    """The moment until which `permission` holds, or None when it sets no end."""
    until = {Operator.LT, Operator.LTEQ, Operator.EQ}
    moments = [
        parse_instant(c.right[0]) for c in _all(permission.constraints) if c.left == DATE_TIME and c.operator in until
    ]
    return min(moments) if moments else None


def needs_payment(policy: Policy, permission: Rule) -> bool:
    """Whether an order must be shown before `permission` counts."""
    return any(duty.action == COMPENSATE for duty in (*permission.duties, *policy.obligations))


def _against(permission: Rule, obligations: tuple[Rule, ...], situation: Situation) -> list[Reason]:
    """Everything that speaks against `permission`; nothing means it carries."""
    if not _covers(permission.action, situation.action):
        return [Reason("policy.no-permission", f"{permission.action} does not permit {situation.action}")]
    reasons = [
        _refusal(condition, situation)
        for condition in permission.constraints
        if not _may_hold(_judge(condition, situation), situation.stage)
    ]
    if situation.stage is Stage.TRANSFER:
        owed = {duty.action for duty in (*permission.duties, *obligations)} - situation.done - {INFORM}
        reasons += [Reason("policy.duty-unfulfilled", _WAYS_OUT[duty]) for duty in sorted(owed)]
    return reasons


_WAYS_OUT = {
    COMPENSATE: "use has to be paid for: order the listing and show its confirmation with the transfer request",
}


def _prohibiting(policy: Policy, situation: Situation) -> Rule | None:
    for rule in policy.prohibitions:
        answers = [_judge(condition, situation) for condition in rule.constraints]
        applies = _conjunction(answers)
        # An open fact may still keep clear of the prohibition later; once all facts must be known, doubt prohibits.
        certain = applies is _Answer.YES or (applies is _Answer.OPEN and situation.stage is Stage.TRANSFER)
        if certain and _covers(rule.action, situation.action):
            return rule
    return None


def _may_hold(answer: _Answer, stage: Stage) -> bool:
    return answer is _Answer.YES or (answer is _Answer.OPEN and stage is not Stage.TRANSFER)


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
    if condition.left not in KNOWN[situation.stage]:
        return _Answer.OPEN
    return _Answer.YES if _holds(condition, situation) else _Answer.NO


def _holds(constraint: Constraint, situation: Situation) -> bool:
    if constraint.left == COUNT:
        return _ORDER[constraint.operator](situation.used + 1, int(constraint.right[0]))
    if constraint.left == DATE_TIME:
        return _ORDER[constraint.operator](situation.at, parse_instant(constraint.right[0]))
    fact = {PURPOSE: situation.purpose, MODE: situation.mode, PARTICIPANT: situation.participant}[constraint.left]
    # A fact that should be known and is not says no, also to "anything but".
    return fact is not None and _MEMBER[constraint.operator](fact, constraint.right)


_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    Operator.EQ: operator.eq,
    Operator.NEQ: operator.ne,
    Operator.LT: operator.lt,
    Operator.LTEQ: operator.le,
    Operator.GT: operator.gt,
    Operator.GTEQ: operator.ge,
}
_MEMBER: Mapping[str, Callable[[str, tuple[str, ...]], bool]] = {
    Operator.EQ: lambda fact, right: right == (fact,),
    Operator.NEQ: lambda fact, right: fact not in right,
    Operator.IS_A: lambda fact, right: fact in right,
    Operator.IS_ANY_OF: lambda fact, right: fact in right,
    Operator.IS_PART_OF: lambda fact, right: fact in right,
    Operator.IS_NONE_OF: lambda fact, right: fact not in right,
    Operator.IS_ALL_OF: lambda fact, right: set(right) == {fact},
    Operator.HAS_PART: lambda fact, right: set(right) == {fact},
}


def _conjunction(answers: Iterable[_Answer]) -> _Answer:
    found = set(answers)
    if _Answer.NO in found:
        return _Answer.NO
    return _Answer.OPEN if _Answer.OPEN in found else _Answer.YES


def _disjunction(answers: Iterable[_Answer]) -> _Answer:
    found = set(answers)
    if _Answer.YES in found:
        return _Answer.YES
    return _Answer.OPEN if _Answer.OPEN in found else _Answer.NO


def _exactly_one(answers: Iterable[_Answer]) -> _Answer:
    listed = list(answers)
    if listed.count(_Answer.YES) > 1:
        return _Answer.NO
    if _Answer.OPEN in listed:
        return _Answer.OPEN
    return _Answer.YES if listed.count(_Answer.YES) == 1 else _Answer.NO


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
            if constraint.operator not in OPERATORS.get(constraint.left, ()):
                return str(constraint)
    duties = [*policy.obligations, *(duty for rule in policy.permissions for duty in rule.duties)]
    return next((f"the duty {duty.action!r}" for duty in duties if duty.action not in DUTIES), None)


def _all(conditions: Iterable[Condition]) -> Iterable[Constraint]:
    for condition in conditions:
        if isinstance(condition, Constraint):
            yield condition
        else:
            yield from _all(condition.parts)


def _refusal(condition: Condition, situation: Situation) -> Reason:
    if isinstance(condition, Logical):
        return Reason("policy.constraint-unsatisfied", f"the terms demand {condition}")
    facts = {
        PURPOSE: f"the purpose declared is {situation.purpose or 'none'}",
        MODE: f"the mode asked for is {situation.mode or 'none'}",
        PARTICIPANT: f"the participant is {situation.participant}",
        COUNT: f"runs already granted under this agreement: {situation.used}",
        DATE_TIME: f"it is {situation.at.isoformat(timespec='seconds')}",
    }
    code = {PURPOSE: "purpose", MODE: "mode", PARTICIPANT: "participant", COUNT: "count", DATE_TIME: "date-time"}
    return Reason(f"policy.{code[condition.left]}", f"the terms demand {condition}; {facts[condition.left]}")


def _described(rule: Rule) -> str:
    if not rule.constraints:
        return rule.action
    return f"{rule.action} when " + " and ".join(map(str, rule.constraints))


def _no(*reasons: Reason) -> Verdict:
    return Verdict(False, reasons)
