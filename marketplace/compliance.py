"""The compliance gate before a certificate: the checks C01 to C15, as data. Pure.

Each check looks at the facts (product document, who its provider is, what the provider declares as evidence) and says
`Passed`, `Failed` with a reason and a way out, or `NotApplicable`. Evidence that is not there has failed. One blocking
failure closes the gate, and the report names all of them, so that a provider need not come back fifteen times.

Sources: GB/T 37932 (what is assessed), GB/T 43697 (grades), GB/T 36344 (quality), the national rules for rights
registration (sources and rights). That these fifteen checks stand for them is our reading; it is no legal opinion, and
every text given as evidence is the provider's own word, kept by digest for whoever has to judge it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from hexi.canonical import Json
from registry.codes import DELIVERED, TABULAR

CHECKLIST = "hexi-compliance-1"

# What a provider may declare, and what it means. Evidence that stands in the product document counts as well.
EVIDENCE: Mapping[str, str] = {
    "source": "where the data come from: collection record, agreement, statement or derivation proof",
    "authorisation": "the right or consent by which the provider holds and offers them",
    "disputes": "'none', or what is disputed or seized",
    "prohibitedContentScan": "what was scanned for prohibited content, and when",
    "businessQualification": "the licence, where the industry needs one",
    "personalInformationAssessment": "the impact assessment, where personal information is concerned",
    "personalInformationProvision": "the separate consent, or another ground, where personal information is delivered",
    "deliverySafeguards": "how the recipient has to protect what is delivered, where it is sensitive or personal",
    "importantDataAssessment": "the assessment and approval, where the data are important",
    "crossBorder": "'forbidden', or 'security-assessment:...', 'standard-contract:...', 'certification:...'",
    "publicDataCode": "the registration code, for public data of an organ of state",
}

# How old a quality assessment may be, in days.
QUALITY_VALID_DAYS = 365
# The fewest entities behind a released number where persons are concerned (contract default of `Disclosure`).
MINIMUM_ENTITIES = 10
# The isolation a sensitive product must demand: namespaces, system call filter and limits (see sandbox.isolation).
MINIMUM_ISOLATION = 2
# N06 security levels that a commercial space takes: public, internal, sensitive.
SECURITY_LEVELS = frozenset({"001", "002", "003"})
SENSITIVE = "003"
# GB/T 4754 divisions whose business needs a licence: telecommunication, finance, surveying, health, education.
LICENSED_DIVISIONS = frozenset({"63", "66", "67", "68", "69", "74", "83", "84"})
# The unified social credit codes of organs of state begin so (GB 32100: 机构编制, 机关).
STATE_ORGAN_CODE = "11"
# Marks of state secrets. A published product that carries one is refused unread.
SECRECY_MARKS = ("绝密", "机密", "国家秘密", "top secret", "state secret")
# Modes in which every use is counted (runs under a permit, deliveries under a grant) and can therefore be priced.
METERED_MODES = frozenset({*TABULAR, *DELIVERED})
RIGHTS = frozenset({"holding", "processing-use", "product-operation"})
GRADES = frozenset({"core", "important", "general"})
# The three roads out of the country of the Personal Information Protection Law, article 38, each with its reference.
CROSS_BORDER = re.compile(r"^(security-assessment|standard-contract|certification):\S.*$")


@dataclass(frozen=True)
class Provider:
    """What the registry says about the provider."""

    did: str
    owner_code: str
    roles: frozenset[str]
    active: bool


@dataclass(frozen=True)
class Facts:
    """Everything a check may look at. `policy_problem` is why the policy engine cannot enforce the policy, or None."""

    product: Json
    provider: Provider
    today: date
    declared: Mapping[str, str] = field(default_factory=dict)
    policy_problem: str | None = None

    def evidence(self, name: str) -> str:
        """What is declared, else what the product document says; nothing is the empty text."""
        said = self.declared.get(name) or (self.product.get("evidence") or {}).get(name) or ""
        return said.strip() if isinstance(said, str) else ""

    def get(self, *path: str) -> Json:
        """A member of the product document, or None."""
        value = self.product
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


@dataclass(frozen=True)
class Passed:
    """The check holds."""


@dataclass(frozen=True)
class Failed:
    """It does not, why, and what would make it hold."""

    reason: str
    way_out: str


@dataclass(frozen=True)
class NotApplicable:
    """The check is not about such a product, and why."""

    reason: str


Outcome = Passed | Failed | NotApplicable


@dataclass(frozen=True)
class Check:
    """One line of the checklist."""

    id: str
    zh: str
    en: str
    blocking: bool
    rule: Callable[[Facts], Outcome]


@dataclass(frozen=True)
class Finding:
    """A check and what it found."""

    check: Check
    outcome: Outcome

    def to_json(self) -> Json:
        """For the report."""
        value: dict[str, Json] = {
            "id": self.check.id,
            "title": {"zh": self.check.zh, "en": self.check.en},
            "blocking": self.check.blocking,
        }
        match self.outcome:
            case Passed():
                return value | {"outcome": "passed"}
            case NotApplicable(reason):
                return value | {"outcome": "not-applicable", "reason": reason}
            case Failed(reason, way_out):
                return value | {"outcome": "failed", "reason": reason, "wayOut": way_out}


def assess(facts: Facts) -> tuple[Finding, ...]:
    """Every check of the list, in its order."""
    return tuple(Finding(check, check.rule(facts)) for check in CHECKS)


def refusals(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The blocking failures. Findings of another list than ours are all refusals: a gap is not a pass."""
    if [finding.check.id for finding in findings] != [check.id for check in CHECKS]:
        return findings
    return tuple(f for f in findings if f.check.blocking and isinstance(f.outcome, Failed))


def _needs(facts: Facts, *names: str) -> Outcome:
    """Passed if each of these pieces of evidence is there."""
    missing = [name for name in names if not facts.evidence(name)]
    if not missing:
        return Passed()
    wanted = "; ".join(f"{name} ({EVIDENCE[name]})" for name in missing)
    return Failed(f"no evidence of {', '.join(missing)}", f"declare {wanted}")


def _identity(facts: Facts) -> Outcome:
    provider = facts.provider
    if not provider.active or provider.did != facts.get("provider"):
        return Failed("the provider is not an active participant of this space", "apply, and wait for the approval")
    if "provider" not in provider.roles:
        return Failed("the participant has no provider role", "apply for the role of a provider")
    if len(provider.owner_code) != 18:
        return Failed("the participant has no unified social credit code", "register with the code of 18 characters")
    return Passed()


def _qualification(facts: Facts) -> Outcome:
    division = _division(str(facts.get("industry") or ""))
    if not division:
        return Failed("the product names no industry", "give its industry (GB/T 4754)")
    if division not in LICENSED_DIVISIONS:
        return NotApplicable(f"division {division} needs no licence for this")
    return _needs(facts, "businessQualification")


def _division(industry: str) -> str:
    """The division in ``00`` and a division, or in a class of four figures."""
    return industry[2:4] if industry.startswith("00") else industry[:2]


def _source(facts: Facts) -> Outcome:
    if facts.get("sourceType") not in {"001", "002", "003", "004"}:
        return Failed("the source type is not declared", "give sourceType 001 to 004 in the product")
    return _needs(facts, "source")


def _rights(facts: Facts) -> Outcome:
    rights = set(facts.get("rights") or ())
    if not rights or not rights <= RIGHTS:
        return Failed("no rights are claimed, or unknown ones", f"claim some of {', '.join(sorted(RIGHTS))}")
    return _needs(facts, "authorisation")


def _disputes(facts: Facts) -> Outcome:
    said = facts.evidence("disputes")
    if not said:
        return _needs(facts, "disputes")
    return Passed() if said == "none" else Failed("a dispute or seizure is open", "settle it, then declare 'none'")


def _prohibited(facts: Facts) -> Outcome:
    if facts.get("securityLevel") not in SECURITY_LEVELS:
        return Failed("this security level is not traded here", "offer public, internal or sensitive data (001 to 003)")
    words = [*_texts(facts.get("title")), *_texts(facts.get("description")), *(facts.get("keywords") or ())]
    if any(mark in str(word).lower() for word in words for mark in SECRECY_MARKS):
        return Failed(
            "the description carries a mark of secrecy", "withdraw the product; if it is a mistake, reword it"
        )
    return _needs(facts, "prohibitedContentScan")


def _texts(value: Json) -> list[Json]:
    return list(value.values()) if isinstance(value, Mapping) else []


def _grade(facts: Facts) -> Outcome:
    grade, level = facts.get("classification", "grade"), facts.get("classification", "level")
    labelled = grade in GRADES and level in {1, 2, 3, 4} and bool(facts.get("classification", "scheme"))
    return Passed() if labelled else Failed("grade, level or scheme is missing", "classify the data by GB/T 43697")


def _personal(facts: Facts) -> Outcome:
    concerned = facts.get("hasPersonalInformation")
    if concerned is False:
        return NotApplicable("no personal information")
    if concerned is not True:
        return Failed("it is not said whether personal information is concerned", "give hasPersonalInformation")
    delivered = _delivered(facts)
    if not all(table.get("entityKey") for table in facts.get("tables") or ([] if delivered else [{}])):
        return Failed("a table does not say which column tells persons apart", "give its entityKey")
    if (facts.get("disclosure", "minimumEntities") or 0) < MINIMUM_ENTITIES:
        return Failed(
            "numbers about too few persons would be released", f"set minimumEntities to {MINIMUM_ENTITIES} or more"
        )
    # What is delivered is provided to another processor: the Personal Information Protection Law, article 23.
    provision = ("personalInformationProvision",) if delivered else ()
    return _needs(facts, "authorisation", "personalInformationAssessment", *provision)


def _delivered(facts: Facts) -> bool:
    """Whether data leave the provider in some mode."""
    return bool(DELIVERED.intersection(facts.get("modes") or ()))


def _important(facts: Facts) -> Outcome:
    match facts.get("classification", "grade"):
        case "general":
            return NotApplicable("general data")
        case "important":
            return _needs(facts, "importantDataAssessment")
        case "core":
            return Failed("core data are not traded", "withdraw the product")
        case _:
            return Failed("the data have no grade", "classify them by GB/T 43697")


def _cross_border(facts: Facts) -> Outcome:
    said = facts.evidence("crossBorder")
    if not said:
        return _needs(facts, "crossBorder")
    if said == "forbidden":
        return Passed()
    if facts.get("classification", "grade") != "general":
        return Failed("only general data may leave the country", "declare crossBorder 'forbidden'")
    if not CROSS_BORDER.match(said):
        return Failed("this is no lawful mechanism", f"declare {EVIDENCE['crossBorder']}")
    return Passed()


def _public_data(facts: Facts) -> Outcome:
    if not facts.provider.owner_code.startswith(STATE_ORGAN_CODE):
        return NotApplicable("the provider is no organ of state")
    return _needs(facts, "publicDataCode")


def _quality(facts: Facts) -> Outcome:
    try:
        assessed = datetime.fromisoformat(str(facts.get("quality", "assessedAt"))).date()
    except ValueError:
        return Failed("there is no dated quality assessment", "assess the quality and give assessedAt")
    if not facts.today - timedelta(days=QUALITY_VALID_DAYS) <= assessed <= facts.today + timedelta(days=1):
        return Failed("the quality assessment is out of date", f"assess again; it holds {QUALITY_VALID_DAYS} days")
    tables = facts.get("tables") or ()
    if not (tables or facts.get("content")) or any(not table.get("columns") for table in tables):
        return Failed("a table or its columns are not described", "describe every table and column")
    return Passed()


def _policy(facts: Facts) -> Outcome:
    permissions = _listed(facts.get("policy", "permission"))
    if not permissions:
        return Failed("the policy permits nothing", "give at least one permission")
    if facts.policy_problem is not None:
        return Failed(f"the policy cannot be enforced: {facts.policy_problem}", "use the constraints of the reference")
    prohibitions = _listed(facts.get("policy", "prohibition"))
    always = {_action(rule) for rule in prohibitions if isinstance(rule, Mapping) and not rule.get("constraint")}
    if conflict := sorted(always & {_action(rule) for rule in permissions}):
        return Failed(f"{', '.join(conflict)} is both permitted and prohibited", "take one of the two rules away")
    return Passed()


def _listed(value: Json) -> list[Json]:
    """JSON-LD may leave the brackets of a list of one away."""
    return value if isinstance(value, list) else [value] if value else []


def _action(rule: Json) -> str:
    return str(rule.get("action") if isinstance(rule, Mapping) else rule)


def _security(facts: Facts) -> Outcome:
    level = facts.get("disclosure", "minimumIsolation") or 0
    sensitive = facts.get("securityLevel") == SENSITIVE or facts.get("hasPersonalInformation") is not False
    if sensitive and level < MINIMUM_ISOLATION:
        return Failed(
            "sensitive data need an isolated environment", f"set minimumIsolation to {MINIMUM_ISOLATION} or more"
        )
    return _needs(facts, "deliverySafeguards") if sensitive and _delivered(facts) else Passed()


def _metering(facts: Facts) -> Outcome:
    modes = set(facts.get("modes") or ())
    if not modes:
        return Failed("the product has no delivery mode", f"offer some of {', '.join(sorted(METERED_MODES))}")
    if unmetered := sorted(modes - METERED_MODES):
        return Failed(f"uses of {', '.join(unmetered)} are not counted", "offer modes in which every use is metered")
    return Passed()


CHECKS: tuple[Check, ...] = (
    Check("C01", "提供方身份已核验且在册", "Provider's identity is verified and active", True, _identity),
    Check("C02", "需许可行业的经营资质", "Business qualification where a licence is needed", True, _qualification),
    Check("C03", "数据来源已声明并附证明", "Source is declared, with proof", True, _source),
    Check("C04", "权属清晰完整", "Rights are complete and clear", True, _rights),
    Check("C05", "无未决争议或查封", "No open dispute or seizure", True, _disputes),
    Check("C06", "无禁止交易内容", "No prohibited content", True, _prohibited),
    Check("C07", "已分类分级", "Classified and graded", True, _grade),
    Check("C08", "个人信息处理合规", "Personal information is handled lawfully", True, _personal),
    Check("C09", "重要数据已评估批准", "Important data are assessed and approved", True, _important),
    Check("C10", "出境机制明确或禁止出境", "Cross-border: lawful mechanism or forbidden", True, _cross_border),
    Check("C11", "公共数据已登记", "Public data are registered", True, _public_data),
    Check("C12", "质量报告有效", "Quality report is in date and describes the data", False, _quality),
    Check("C13", "使用策略可执行且无冲突", "Policy is bound, enforceable, free of conflict", True, _policy),
    Check("C14", "安全措施与级别相符", "Security measures fit the level", True, _security),
    Check("C15", "计量计价方式明确", "Metering and price are clear", True, _metering),
)
