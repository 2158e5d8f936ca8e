"""Policies: ODRL terms in the compact form the Dataspace Protocol writes, read into frozen values.

    >>> policy = read_policy({"permission": [{"action": "use", "constraint": [
    ...     {"leftOperand": "count", "operator": "lteq", "rightOperand": "100"}]}]})
    >>> policy.permissions[0].constraints[0].left
    'count'

Only what `evaluation` can judge is read. An action, left operand, operator or member that is not in the tables below is
`ConstraintUnknown`, so a provider learns of it when it publishes and not when somebody computes. Sources: ODRL
Information Model 2.2; Dataspace Protocol 2025-1, JSON schemas of offers and agreements (right operands are strings).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from connector.policies.errors import ConstraintUnknown, PolicyInvalid
from connector.policies.operands import OPERANDS, SPELLINGS, check_right
from hexi.canonical import Json, encode
from hexi.errors import Malformed

USE, READ, COMPUTE = "use", "read", "urn:hexi:compute"
COMPENSATE = "compensate"
# Every run and every delivery leaves a signed entry on the ledger, so the duty to inform is done by construction.
INFORM = "inform"
# What the consumer owes after the use. Nobody here can see it done: the consumer records that it was, over its
# signature, and an auditor finds who has not. So it never keeps a use from happening.
DELETE, ANONYMIZE = "delete", "anonymize"

# What can be permitted or prohibited, each with the wider action it belongs to (ODRL 2.2, section 3.1 includedIn).
# `compute` is ours: a run in the provider's sandbox, where data are used and never handed over.
# `read` is what a delivery does.
ACTIONS: Mapping[str, str | None] = {
    USE: None,
    COMPUTE: USE,
    READ: USE,
    "aggregate": USE,
    "derive": USE,
    "distribute": USE,
    "reproduce": USE,
    "sell": USE,
}
DUTIES = frozenset({COMPENSATE, INFORM, DELETE, ANONYMIZE})
PROMISES = frozenset({DELETE, ANONYMIZE})

# More rules or constraints than this in one policy are not terms but an attack on whoever evaluates them.
MAX_RULES = 64
MAX_NESTING = 4

_PREFIXES = ("odrl:", "http://www.w3.org/ns/odrl/2/")
# The members that are the terms; whatever else a policy has names it, its target and its parties.
TERMS = ("permission", "prohibition", "obligation")


@dataclass(frozen=True)
class Constraint:
    """`left` `operator` `right`; `right` is always a tuple, of one element for most operators."""

    left: str
    operator: str
    right: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {', '.join(self.right)}"


class Combination(StrEnum):
    """How the parts of a logical constraint count together (ODRL 2.2, section 2.5.3)."""

    AND = "and"
    OR = "or"
    XONE = "xone"


@dataclass(frozen=True)
class Logical:
    """A logical constraint over `parts`."""

    combination: Combination
    parts: tuple["Condition", ...]

    def __str__(self) -> str:
        return "(" + f" {self.combination} ".join(map(str, self.parts)) + ")"


Condition = Constraint | Logical


@dataclass(frozen=True)
class Rule:
    """A permission, prohibition or duty. All constraints must hold; a permission counts once its duties are done."""

    action: str
    constraints: tuple[Condition, ...] = ()
    duties: tuple["Rule", ...] = ()


@dataclass(frozen=True)
class Policy:
    """The terms of an offer or agreement. `obligations` are owed whichever permission is used."""

    permissions: tuple[Rule, ...] = ()
    prohibitions: tuple[Rule, ...] = ()
    obligations: tuple[Rule, ...] = ()


def read_policy(odrl: Json) -> Policy:
    """Read the terms in `odrl` (an offer, an agreement, or bare terms).

    Raises `PolicyInvalid` for another shape, or when nothing is permitted (nobody could ever use it), and
    `ConstraintUnknown` for what cannot be judged here. What else stands beside the terms (ids, target, parties) is not
    looked at: whoever holds the policy binds it to those.
    """
    terms = terms_of(odrl)
    if "permission" not in terms:
        raise PolicyInvalid("a policy needs at least one permission; without one nobody may do anything")
    if sum(len(terms.get(name, [])) for name in TERMS) > MAX_RULES:
        raise PolicyInvalid(f"a policy has at most {MAX_RULES} rules", limit=MAX_RULES)
    return Policy(
        permissions=tuple(_rule(r, f"permission[{i}]", frozenset(ACTIONS)) for i, r in _of(terms, "permission")),
        prohibitions=tuple(_rule(r, f"prohibition[{i}]", frozenset(ACTIONS)) for i, r in _of(terms, "prohibition")),
        obligations=tuple(_rule(r, f"obligation[{i}]", DUTIES) for i, r in _of(terms, "obligation")),
    )


def terms_of(odrl: Json) -> dict[str, list[Json]]:
    """Only the rules of `odrl`, as lists (JSON-LD may leave brackets away), none empty. Raises `PolicyInvalid`."""
    if not isinstance(odrl, dict):
        raise PolicyInvalid("a policy is an object with permission, prohibition and obligation")
    found = {name: _listed(odrl[name]) for name in TERMS if odrl.get(name)}
    return {name: rules for name, rules in found.items() if rules}


def same_terms(left: Json, right: Json) -> bool:
    """Whether two policies state the same rules, byte for byte in canonical form. Raises `PolicyInvalid`."""
    return encode(terms_of(left)) == encode(terms_of(right))


def _of(terms: dict[str, list[Json]], name: str) -> "enumerate[Json]":
    return enumerate(terms.get(name, []))


def _rule(value: Json, where: str, known: frozenset[str]) -> Rule:
    if not isinstance(value, dict) or not isinstance(value.get("action"), str):
        raise PolicyInvalid(f"{where} needs an action, as a string")
    # A member nobody reads could take back what the others grant (an assignee, a refinement): so it is not ignored.
    for name in value.keys() - {"@id", "@type", "action", "constraint", "duty"}:
        raise ConstraintUnknown(f"{where} has a member {name!r} that cannot be judged here", where=where)
    action = _name(value["action"])
    if action not in known:
        raise ConstraintUnknown(
            f"{where} speaks of the action {action!r}; known here: {', '.join(sorted(known))}", where=where
        )
    if "duty" in value and not where.startswith("permission["):
        raise ConstraintUnknown(f"{where} has a duty; only permissions may", where=where)
    constraints = [_condition(c, f"{where}.constraint", 0) for c in _listed(value.get("constraint", []))]
    duties = [_rule(d, f"duty of {where}", DUTIES) for d in _listed(value.get("duty", []))]
    if known is DUTIES and constraints:
        raise ConstraintUnknown(f"{where}: duties with constraints cannot be judged here", where=where)
    if len(constraints) + len(duties) > MAX_RULES:
        raise PolicyInvalid(f"{where} has more than {MAX_RULES} constraints and duties", limit=MAX_RULES)
    return Rule(action, tuple(constraints), tuple(duties))


def _condition(value: Json, where: str, depth: int) -> Condition:
    if not isinstance(value, dict):
        raise PolicyInvalid(f"{where} is not an object")
    if depth > MAX_NESTING:
        raise PolicyInvalid(f"{where} is nested more than {MAX_NESTING} deep", limit=MAX_NESTING)
    members = {_name(key): item for key, item in value.items() if key not in {"@id", "@type"}}
    for combination in Combination:
        if members.keys() == {combination}:
            parts = tuple(_condition(p, where, depth + 1) for p in _listed(members[combination]))
            if not parts or len(parts) > MAX_RULES:
                raise PolicyInvalid(f"{where}: {combination} needs between 1 and {MAX_RULES} parts")
            return Logical(combination, parts)
    if members.keys() != {"leftOperand", "operator", "rightOperand"}:
        raise ConstraintUnknown(
            f"{where} must have leftOperand, operator and rightOperand, or one of and, or, xone", where=where
        )
    return _constraint(members, where)


def _constraint(members: dict[str, Json], where: str) -> Constraint:
    left, operator = _name(members["leftOperand"]), _name(members["operator"])
    if left not in SPELLINGS:
        known = ", ".join(SPELLINGS)
        raise ConstraintUnknown(f"{where} speaks of {left!r}; known here: {known}", where=where)
    operand = OPERANDS[SPELLINGS[left]]
    if operator not in operand.operators:
        known = ", ".join(sorted(operand.operators))
        raise ConstraintUnknown(f"{where}: {left} cannot be judged with {operator!r}; with: {known}", where=where)
    right = tuple(_text(item, where) for item in _listed(members["rightOperand"]))
    if not 1 <= len(right) <= MAX_RULES:
        raise PolicyInvalid(f"{where} needs between 1 and {MAX_RULES} right operands")
    if operand.is_single and len(right) != 1:
        raise PolicyInvalid(f"{where}: {left} is compared with one value")
    try:
        for text in right:
            check_right(operand, text)
    except Malformed as error:
        raise PolicyInvalid(f"{where}: {error.detail}") from error
    return Constraint(operand.name, operator, right)


def _text(value: Json, where: str) -> str:
    if isinstance(value, dict):
        value = value.get("@value", value.get("@id"))
    if not isinstance(value, str) or not value:
        # The protocol's schema refuses bare numbers, so such an offer could be published and never negotiated.
        raise PolicyInvalid(f"{where}: right operands are strings; write 100 as '100'")
    return value


def _name(value: Json) -> str:
    if not isinstance(value, str):
        raise PolicyInvalid("actions and operands are written as strings")
    for prefix in _PREFIXES:
        if value.startswith(prefix):
            return value.removeprefix(prefix)
    return value


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]
