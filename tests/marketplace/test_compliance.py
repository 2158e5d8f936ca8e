"""The checklist as a truth table: for each check what passes, what fails, and what it is not about."""

from datetime import date
from typing import Any

import pytest

from marketplace import compliance
from marketplace.compliance import CHECKS, Facts, Failed, NotApplicable, Passed, Provider
from tests.marketplace.builders import DECLARED, HOSPITAL, product

GOOD = Provider(HOSPITAL, "91620000000000000X", frozenset({"provider"}), active=True)
STATE_ORGAN = Provider(HOSPITAL, "116210000000000000", frozenset({"provider"}), active=True)
GENERAL = product()["classification"]
DISCLOSURE = product()["disclosure"]

P, F, N = Passed, Failed, NotApplicable


def facts(changes: dict[str, Any] | None = None, declared: dict[str, str] | None = None, **other: Any) -> Facts:
    given: dict[str, Any] = {"provider": GOOD, "today": date(2026, 11, 23)} | other
    return Facts(product=product(**changes or {}), declared={**DECLARED, **(declared or {})}, **given)


PROVIDED = {"personalInformationProvision": "separate consent, form 4"}
TABLE: list[tuple[str, str, Facts, type]] = [
    ("C01", "active provider", facts(), P),
    ("C01", "not active", facts(provider=Provider(HOSPITAL, "91620000000000000X", frozenset({"provider"}), False)), F),
    ("C01", "another's product", facts({"provider": "did:web:other.example"}), F),
    ("C01", "no provider role", facts(provider=Provider(HOSPITAL, "91620000000000000X", frozenset(), True)), F),
    ("C01", "no owner code", facts(provider=Provider(HOSPITAL, "", frozenset({"provider"}), True)), F),
    ("C02", "licence shown", facts(), P),
    ("C02", "licence not shown", facts(declared={"businessQualification": ""}), F),
    ("C02", "licence not shown, class of four figures", facts({"industry": "8411"}, {"businessQualification": ""}), F),
    ("C02", "no licence needed", facts({"industry": "0001"}), N),
    ("C02", "industry unknown", facts({"industry": ""}), F),
    ("C03", "source and proof", facts(), P),
    ("C03", "no proof", facts({"evidence": {}}), F),
    ("C03", "blank proof", facts({"evidence": {"source": "  "}}), F),
    ("C03", "source type unknown", facts({"sourceType": "009"}), F),
    ("C04", "rights and authorisation", facts(), P),
    ("C04", "no rights", facts({"rights": []}), F),
    ("C04", "unknown right", facts({"rights": ["ownership"]}), F),
    ("C04", "no authorisation", facts({"evidence": {"source": "x"}}), F),
    ("C05", "no dispute", facts(), P),
    ("C05", "nothing said", facts(declared={"disputes": ""}), F),
    ("C05", "a dispute", facts(declared={"disputes": "case 17 at the court of Qingyang"}), F),
    ("C06", "scanned", facts(), P),
    ("C06", "not scanned", facts(declared={"prohibitedContentScan": ""}), F),
    ("C06", "secret level", facts({"securityLevel": "004"}), F),
    ("C06", "mark of secrecy", facts({"title": {"zh": "机密数据", "en": "x"}}), F),
    ("C06", "mark of secrecy in a keyword", facts({"keywords": ["Top Secret"]}), F),
    ("C07", "graded", facts(), P),
    ("C07", "not graded", facts({"classification": {}}), F),
    ("C07", "no scheme", facts({"classification": GENERAL | {"scheme": ""}}), F),
    ("C07", "level out of range", facts({"classification": GENERAL | {"level": 5}}), F),
    ("C08", "assessed", facts(), P),
    ("C08", "not assessed", facts(declared={"personalInformationAssessment": ""}), F),
    ("C08", "no entity key", facts({"tables": [{"name": "t", "columns": [{}]}]}), F),
    ("C08", "no table", facts({"tables": []}), F),
    ("C08", "too few entities", facts({"disclosure": DISCLOSURE | {"minimumEntities": 9}}), F),
    ("C08", "delivered, without a ground", facts({"modes": ["file"], "tables": []}), F),
    ("C08", "delivered, with consent", facts({"modes": ["file"], "tables": []}, PROVIDED), P),
    ("C08", "not said", facts({"hasPersonalInformation": None}), F),
    ("C08", "no personal information", facts({"hasPersonalInformation": False}), N),
    ("C09", "general data", facts(), N),
    (
        "C09",
        "important, assessed",
        facts({"classification": GENERAL | {"grade": "important"}}, {"importantDataAssessment": "approval 3"}),
        P,
    ),
    ("C09", "important, not assessed", facts({"classification": GENERAL | {"grade": "important"}}), F),
    ("C09", "core", facts({"classification": GENERAL | {"grade": "core"}}, {"importantDataAssessment": "x"}), F),
    ("C09", "no grade", facts({"classification": {}}), F),
    ("C10", "forbidden", facts(), P),
    ("C10", "nothing said", facts(declared={"crossBorder": ""}), F),
    ("C10", "by standard contract", facts(declared={"crossBorder": "standard-contract:2026-7"}), P),
    ("C10", "by nothing lawful", facts(declared={"crossBorder": "allowed"}), F),
    ("C10", "mechanism without reference", facts(declared={"crossBorder": "certification:"}), F),
    (
        "C10",
        "important data abroad",
        facts({"classification": GENERAL | {"grade": "important"}}, {"crossBorder": "standard-contract:1"}),
        F,
    ),
    ("C11", "not public", facts(), N),
    ("C11", "public, no code", facts(provider=STATE_ORGAN), F),
    ("C11", "public, registered", facts(declared={"publicDataCode": "1215202502281BH95JZY"}, provider=STATE_ORGAN), P),
    ("C12", "in date", facts(), P),
    ("C12", "a year and a day", facts(today=date(2027, 10, 2)), F),
    ("C12", "from the future", facts(today=date(2026, 9, 1)), F),
    ("C12", "no date", facts({"quality": {}}), F),
    ("C12", "columns not described", facts({"tables": [{"name": "t", "columns": []}]}), F),
    ("C13", "permits something", facts(), P),
    ("C13", "brackets left away", facts({"policy": {"permission": {"action": "use"}}}), P),
    ("C13", "permits nothing", facts({"policy": {"permission": []}}), F),
    ("C13", "no policy", facts({"policy": None}), F),
    ("C13", "not enforceable", facts(policy_problem="unknown constraint"), F),
    (
        "C13",
        "contradicts itself",
        facts({"policy": {"permission": [{"action": "use"}], "prohibition": [{"action": "use"}]}}),
        F,
    ),
    (
        "C13",
        "prohibits on a condition",
        facts({"policy": {"permission": [{"action": "use"}], "prohibition": [{"action": "use", "constraint": [{}]}]}}),
        P,
    ),
    ("C14", "isolated", facts(), P),
    ("C14", "delivered, without safeguards", facts({"modes": ["sandbox-sql", "file"]}), F),
    ("C14", "delivered, with safeguards", facts({"modes": ["file"]}, {"deliverySafeguards": "encrypted, 1 year"}), P),
    ("C14", "not isolated", facts({"disclosure": DISCLOSURE | {"minimumIsolation": 1}}), F),
    (
        "C14",
        "public data need none",
        facts({"securityLevel": "001", "hasPersonalInformation": False, "disclosure": {"minimumIsolation": 0}}),
        P,
    ),
    ("C15", "metered", facts(), P),
    ("C15", "no mode", facts({"modes": []}), F),
    ("C15", "a mode nobody counts", facts({"modes": ["sandbox-sql", "by-post"]}), F),
]


@pytest.mark.parametrize(("check", "case", "given", "wanted"), TABLE, ids=[f"{c} {n}" for c, n, _, _ in TABLE])
def test_check(check: str, case: str, given: Facts, wanted: type) -> None:
    rule = next(c.rule for c in CHECKS if c.id == check)
    assert type(rule(given)) is wanted


def test_every_check_has_something_that_fails_it() -> None:
    assert {check for check, _, _, wanted in TABLE if wanted is Failed} == {check.id for check in CHECKS}


def test_every_failure_says_a_way_out() -> None:
    for check, _, given, wanted in TABLE:
        outcome = next(c.rule for c in CHECKS if c.id == check)(given)
        if isinstance(outcome, Failed):
            assert outcome.reason, wanted
            assert outcome.way_out, wanted


def test_a_good_product_has_no_refusals() -> None:
    assert compliance.refusals(compliance.assess(facts())) == ()


def test_no_evidence_at_all_is_refused_by_everything_that_needs_some() -> None:
    bare = Facts({}, Provider(HOSPITAL, "", frozenset(), active=False), date(2026, 11, 23))
    refused = [finding.check.id for finding in compliance.refusals(compliance.assess(bare))]
    # C11 is not about somebody without a state organ's code; C12 warns.
    assert refused == [check.id for check in CHECKS if check.id not in {"C11", "C12"}]


def test_a_warning_does_not_close_the_gate() -> None:
    stale = compliance.assess(facts(today=date(2028, 1, 1)))
    assert isinstance(stale[11].outcome, Failed)
    assert compliance.refusals(stale) == ()


@pytest.mark.parametrize("gap", ["first", "all"])
def test_a_list_with_a_gap_is_not_a_pass(gap: str) -> None:
    found = compliance.assess(facts())
    assert compliance.refusals(found[1:]) == found[1:]
    assert [check.id for check in CHECKS] == [f"C{n:02d}" for n in range(1, 16)]
