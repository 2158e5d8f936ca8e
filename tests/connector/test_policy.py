"""Policies: what is read, what is refused, and the truth tables of evaluation, each refusal beside its permission."""

from datetime import UTC, datetime
from typing import Any

import pytest

from connector.policies.errors import ConstraintUnknown, PolicyInvalid
from connector.policies.evaluation import Situation, Stage, count_limit, ends, evaluate, evaluate_terms
from connector.policies.policy import Constraint, Policy, Rule, read_policy, same_terms

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
HOSPITAL, BANK = "did:web:hospital", "did:web:bank"


def constraint(left: str, operator: str, right: Any) -> dict[str, Any]:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def permit(*constraints: dict[str, Any], action: str = "use", **members: Any) -> dict[str, Any]:
    rule: dict[str, Any] = {"action": action, **members}
    if constraints:
        rule["constraint"] = list(constraints)
    return {"permission": [rule]}


def situation(stage: Stage = Stage.USE, **facts: Any) -> Situation:
    known = {"at": NOW, "participant": HOSPITAL, "mode": "sandbox-sql", "purpose": "research", **facts}
    return Situation(stage, **known)


PURPOSE_RESEARCH = constraint("purpose", "eq", "research")
BEFORE_2027 = constraint("dateTime", "lteq", "2027-01-01T00:00:00Z")
BEFORE_2026 = constraint("dateTime", "lteq", "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("terms", "facts", "code"),
    [
        (permit(), {}, None),
        ({"permission": []}, {}, "policy.unknown-constraint"),
        (permit(action="urn:hexi:compute"), {}, None),
        (permit(action="read"), {}, "policy.no-permission"),
        (permit(action="http://www.w3.org/ns/odrl/2/use"), {}, None),
        (permit(PURPOSE_RESEARCH), {}, None),
        (permit(PURPOSE_RESEARCH), {"purpose": "marketing"}, "policy.purpose"),
        (permit(PURPOSE_RESEARCH), {"purpose": None}, "policy.purpose"),
        (permit(constraint("purpose", "isAnyOf", ["research", "planning"])), {"purpose": "planning"}, None),
        (permit(constraint("purpose", "isAnyOf", ["research", "planning"])), {"purpose": "x"}, "policy.purpose"),
        (permit(constraint("purpose", "isNoneOf", ["marketing"])), {}, None),
        (permit(constraint("purpose", "isNoneOf", ["marketing"])), {"purpose": None}, "policy.purpose"),
        (permit(constraint("purpose", "neq", "marketing")), {"purpose": "marketing"}, "policy.purpose"),
        (permit(constraint("purpose", "isAllOf", ["research"])), {}, None),
        (permit(constraint("purpose", "isAllOf", ["research", "care"])), {}, "policy.purpose"),
        (permit(BEFORE_2027), {}, None),
        (permit(BEFORE_2026), {}, "policy.date-time"),
        (permit(constraint("dateTime", "gteq", "2026-11-23T08:00:00Z")), {}, None),
        (permit(constraint("dateTime", "gt", "2026-11-23T08:00:00Z")), {}, "policy.date-time"),
        (permit(constraint("dateTime", "lt", "2026-11-23T16:00:01+08:00")), {}, None),
        (permit(constraint("count", "lteq", "3")), {"used": 2}, None),
        (permit(constraint("count", "lteq", "3")), {"used": 3}, "policy.count"),
        (permit(constraint("count", "lt", "3")), {"used": 2}, "policy.count"),
        (permit(constraint("participant", "eq", HOSPITAL)), {}, None),
        (permit(constraint("urn:hexi:participant", "eq", BANK)), {}, "policy.participant"),
        (permit(constraint("assignee", "isPartOf", [HOSPITAL, BANK])), {"participant": BANK}, None),
        (permit(constraint("urn:hexi:mode", "eq", "sandbox-sql")), {}, None),
        (permit(constraint("urn:hexi:mode", "eq", "encrypted-sum")), {}, "policy.mode"),
        (permit({"or": [PURPOSE_RESEARCH, BEFORE_2026]}), {}, None),
        (permit({"and": [PURPOSE_RESEARCH, BEFORE_2026]}), {}, "policy.constraint-unsatisfied"),
        (permit({"xone": [PURPOSE_RESEARCH, BEFORE_2026]}), {}, None),
        (permit({"xone": [PURPOSE_RESEARCH, BEFORE_2027]}), {}, "policy.constraint-unsatisfied"),
        (permit(PURPOSE_RESEARCH, BEFORE_2026), {}, "policy.date-time"),
        (permit(duty=[{"action": "compensate"}]), {}, "policy.duty-unfulfilled"),
        (permit(duty=[{"action": "compensate"}]), {"done": frozenset({"compensate"})}, None),
        (permit() | {"obligation": [{"action": "compensate"}]}, {}, "policy.duty-unfulfilled"),
        (permit() | {"obligation": [{"action": "inform"}]}, {}, None),
        (permit() | {"prohibition": [{"action": "distribute"}]}, {}, None),
        (permit() | {"prohibition": [{"action": "use"}]}, {}, "policy.prohibited"),
        (permit() | {"prohibition": [{"action": "use", "constraint": [PURPOSE_RESEARCH]}]}, {}, "policy.prohibited"),
        (
            permit() | {"prohibition": [{"action": "use", "constraint": [PURPOSE_RESEARCH]}]},
            {"purpose": "care"},
            None,
        ),
        (permit(constraint("language", "eq", "zh")), {}, "policy.unknown-constraint"),
    ],
)
def test_transfer_truth_table(terms: dict[str, Any], facts: dict[str, Any], code: str | None) -> None:
    verdict = evaluate_terms(terms, situation(**facts))

    assert verdict.allowed is (code is None)
    assert [reason.code for reason in verdict.reasons] == [code or "policy.permitted"]


@pytest.mark.parametrize(
    ("terms", "stage", "facts", "allowed"),
    [
        # The mode of a run and its count are nobody's business before the transfer.
        (permit(constraint("urn:hexi:mode", "eq", "encrypted-sum")), Stage.NEGOTIATION, {"mode": None}, True),
        (permit(constraint("urn:hexi:mode", "eq", "encrypted-sum")), Stage.TRANSFER, {"mode": None}, False),
        (permit(duty=[{"action": "compensate"}]), Stage.NEGOTIATION, {}, True),
        # The purpose is settled by the negotiation, not in the catalogue.
        (permit(PURPOSE_RESEARCH), Stage.CATALOGUE, {"purpose": None}, True),
        (permit(PURPOSE_RESEARCH), Stage.NEGOTIATION, {"purpose": None}, False),
        # Who asks, and when, counts from the start.
        (permit(constraint("participant", "eq", BANK)), Stage.CATALOGUE, {}, False),
        (permit(BEFORE_2026), Stage.CATALOGUE, {}, False),
        # A prohibition that depends on something open does not prohibit yet; one that does not, does.
        (
            permit() | {"prohibition": [{"action": "use", "constraint": [constraint("urn:hexi:mode", "eq", "x")]}]},
            Stage.NEGOTIATION,
            {},
            True,
        ),
        (permit() | {"prohibition": [{"action": "use"}]}, Stage.NEGOTIATION, {}, False),
        (
            permit({"xone": [BEFORE_2027, constraint("urn:hexi:mode", "eq", "x")]}),
            Stage.NEGOTIATION,
            {},
            True,
        ),
    ],
)
def test_what_is_judged_when(terms: dict[str, Any], stage: Stage, facts: dict[str, Any], allowed: bool) -> None:
    assert evaluate_terms(terms, situation(stage, **facts)).allowed is allowed


def test_any_permission_that_holds_is_enough_and_all_refusals_are_told_otherwise() -> None:
    two = {"permission": [permit(BEFORE_2026)["permission"][0], permit(PURPOSE_RESEARCH)["permission"][0]]}

    assert evaluate_terms(two, situation()).allowed
    refused = evaluate_terms(two, situation(purpose="marketing"))
    assert [reason.code for reason in refused.reasons] == ["policy.date-time", "policy.purpose"]


def test_the_way_out_of_an_unpaid_use_is_told() -> None:
    refused = evaluate_terms(permit(duty=[{"action": "compensate"}]), situation())

    assert "order the listing and show its confirmation" in refused.reasons[0].message


def test_empty_and_unknown_policies_built_by_hand_say_no() -> None:
    strange = Policy((Rule("use", (Constraint("moonPhase", "eq", ("full",)),)),))

    assert evaluate(Policy(), situation()).reasons[0].code == "policy.no-permission"
    assert evaluate(strange, situation(Stage.CATALOGUE)).reasons[0].code == "policy.unknown-constraint"
    assert not evaluate(Policy((Rule("use", duties=(Rule("dance"),)),)), situation()).allowed


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        ({}, PolicyInvalid),
        ({"prohibition": [{"action": "use"}]}, PolicyInvalid),
        ([], PolicyInvalid),
        ({"permission": ["use"]}, PolicyInvalid),
        (permit(constraint("count", "lteq", 3)), PolicyInvalid),
        (permit(constraint("count", "lteq", "three")), PolicyInvalid),
        (permit(constraint("count", "lteq", ["3", "4"])), PolicyInvalid),
        (permit(constraint("dateTime", "lteq", "tomorrow")), PolicyInvalid),
        (permit(constraint("purpose", "eq", [])), PolicyInvalid),
        (permit({"or": []}), PolicyInvalid),
        (permit({"and": [{"and": [{"and": [{"and": [{"and": [{"and": [BEFORE_2027]}]}]}]}]}]}), PolicyInvalid),
        ({"permission": [{"action": "use"}] * 65}, PolicyInvalid),
        (permit(action="dance"), ConstraintUnknown),
        (permit(constraint("language", "eq", "zh")), ConstraintUnknown),
        (permit(constraint("count", "gteq", "3")), ConstraintUnknown),
        (permit(constraint("purpose", "lt", "x")), ConstraintUnknown),
        (permit(constraint("purpose", "resembles", "x")), ConstraintUnknown),
        (permit({"andSequence": [BEFORE_2027]}), ConstraintUnknown),
        (permit(assignee=HOSPITAL), ConstraintUnknown),
        (permit(duty=[{"action": "watermark"}]), ConstraintUnknown),
        (permit() | {"prohibition": [{"action": "use", "odrl:remedy": []}]}, ConstraintUnknown),
        (permit() | {"obligation": [{"action": "inform", "constraint": [BEFORE_2027]}]}, ConstraintUnknown),
    ],
)
def test_what_cannot_be_judged_is_not_published(terms: Any, error: type[PolicyInvalid]) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        read_policy(terms)

    assert type(caught.value) is error


def test_limits_bound_wherever_they_stand() -> None:
    policy = read_policy(
        permit(
            constraint("count", "lt", "11"),
            BEFORE_2027,
            {"or": [constraint("count", "lteq", "5"), PURPOSE_RESEARCH]},
        )
    )

    assert count_limit(policy.permissions[0]) == 5
    assert ends(policy, policy.permissions[0], NOW, NOW) == datetime(2027, 1, 1, tzinfo=UTC)
    assert count_limit(read_policy(permit()).permissions[0]) is None
    free = read_policy(permit())
    assert ends(free, free.permissions[0], NOW, NOW) is None


def test_terms_are_compared_by_what_they_say() -> None:
    offer = permit(BEFORE_2027)
    unbracketed = {"@id": "x", "target": "y", "permission": {"constraint": [BEFORE_2027], "action": "use"}}

    assert same_terms(offer, unbracketed)
    assert not same_terms(offer, permit(BEFORE_2026))
    assert not same_terms(offer, offer | {"prohibition": [{"action": "read"}]})
