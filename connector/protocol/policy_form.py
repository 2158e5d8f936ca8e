"""The form of a policy on the wire: what the specification's schemas demand of an offer and an agreement we send.

Pure. Whether a policy makes sense, and whether we can judge it, is `connector.policies.policy`'s business; here a
policy of any profile passes as long as every reader of the protocol can read it. Source: Dataspace Protocol 2025-1, the
JSON Schema of contracts.
"""

import re
from collections.abc import Iterable

from connector.protocol.errors import MessageMalformed
from hexi.canonical import Json

# "term-lteq" is the schema's own spelling, whatever it was meant to be.
_OPERATORS = frozenset(
    "eq gt gteq hasPart isA isAllOf isAnyOf isNoneOf isPartOf lt lteq neq term-lteq".split()  # noqa: SIM905
)
_LOGICAL = ("and", "andSequence", "or", "xone")
_ATOMIC = ("leftOperand", "operator", "rightOperand")
# xsd:dateTime, without leap years.
_TIMESTAMP = re.compile(
    r"-?\d{4,}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]\d\d:[0-5]\d)?",
    re.ASCII,
)


def check_offer(policy: dict[str, Json]) -> None:
    """Raise `MessageMalformed` unless `policy` may be sent as an offer."""
    _check_policy(policy, "Offer", ("@id", "target"))


def check_agreement(policy: dict[str, Json]) -> None:
    """Raise `MessageMalformed` unless `policy` may be sent as an agreement."""
    _check_policy(policy, "Agreement", ("@id", "target", "assigner", "assignee"))
    timestamp = policy.get("timestamp", "2026-01-01T00:00:00Z")
    if not isinstance(timestamp, str) or not _TIMESTAMP.fullmatch(timestamp):
        raise MessageMalformed("the timestamp of an agreement looks like 2026-01-01T00:00:00Z")


def _check_policy(policy: dict[str, Json], type_: str, required: tuple[str, ...]) -> None:
    if policy.get("@type") != type_:
        raise MessageMalformed(f"the @type of this policy is {type_!r}")
    if missing := [key for key in required if not isinstance(policy.get(key), str)]:
        raise MessageMalformed(f"the policy lacks {', '.join(missing)}")
    if not policy.get("permission") and not policy.get("prohibition"):
        raise MessageMalformed("a policy permits or prohibits something")
    profile = policy.get("profile", "")
    if not all(isinstance(name, str) for name in (profile if isinstance(profile, list) else [profile])):
        raise MessageMalformed("a profile is a name or a list of names")
    for kind in ("permission", "prohibition", "obligation"):
        for rule in _items(policy, kind):
            _check_rule(rule)


def _check_rule(rule: dict[str, Json]) -> None:
    if not isinstance(rule.get("action"), str):
        raise MessageMalformed("a rule has an action, a plain string such as 'use'")
    for constraint in _items(rule, "constraint"):
        _check_constraint(constraint)
    for duty in _items(rule, "duty"):
        _check_rule(duty)


def _check_constraint(constraint: dict[str, Json]) -> None:
    logical = [key for key in _LOGICAL if key in constraint]
    atomic = [key for key in _ATOMIC if key in constraint]
    if logical:
        if atomic or len(logical) > 1:
            raise MessageMalformed("a constraint either compares or combines others, in one way")
        for part in _items(constraint, logical[0]):
            _check_constraint(part)
        return
    if len(atomic) < len(_ATOMIC):
        raise MessageMalformed(f"a constraint has {', '.join(_ATOMIC)}; what is empty does not count")
    if not isinstance(constraint["leftOperand"], str) or constraint["operator"] not in _OPERATORS:
        raise MessageMalformed("a left operand is a string, an operator one of ODRL's, such as 'eq'")
    if not isinstance(constraint["rightOperand"], str | dict | list):
        raise MessageMalformed("a right operand is a string, an object or a list, never a bare number")


def _items(value: dict[str, Json], key: str) -> Iterable[dict[str, Json]]:
    items = value.get(key, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise MessageMalformed(f"'{key}' is a list of objects")
    return items
