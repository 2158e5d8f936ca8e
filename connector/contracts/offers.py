"""Offers: which terms a product is offered on, to whom, and what is answered to those who ask. Pure.

    >>> selector = Selector(themes=frozenset({"C0000"}))
    >>> everybody = Definition("research", 1, None, {"permission": [{"action": "use"}]}, selector, Acceptance.MANUAL)
    >>> everybody.offer_id("6916...", 2)
    '6916...#v2/research.1'

A product that no definition selects is offered on the terms it was published with; one that some select, on theirs and
on no others. A definition has two policies: the access policy says who may see the offer (and is never shown), the
contract policy is what is agreed on. An offer's id names the product's version, the definition and its revision, so an
id from before a change is told from the one in force.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connector.catalogue.audience import Terms
from connector.contracts.agreements import mistaken, offer_id, offer_of, other_terms
from connector.policies import operands
from connector.policies.errors import PolicyInvalid
from connector.policies.evaluation import Reason, Situation, evaluate_terms
from connector.policies.operands import OPERANDS, Operator, holds
from connector.policies.policy import read_policy
from hexi.canonical import Json
from registry.catalogue import Product

OFFER_CHANGED = "connector.offer-changed"
# An offer made by hand to one consumer is called so instead of by a definition.
PERSONAL = "personal"


class Acceptance(StrEnum):
    """Who answers a request for an offer: this program, a person, or the rules of a script and then a person."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    SCRIPTED = "scripted"


class Outcome(StrEnum):
    """What a rule of a script does. `WAIT` leaves it to a person."""

    ACCEPT = "accept"
    REJECT = "reject"
    COUNTER = "counter"
    WAIT = "wait"


# What a rule may look at, and how: what the consumer is and declares, and whether it asks for the terms offered.
CONDITIONS: Mapping[str, Operator] = {
    operands.PARTICIPANT: Operator.IS_ANY_OF,
    operands.OWNER: Operator.IS_ANY_OF,
    operands.ROLE: Operator.IS_ANY_OF,
    operands.REGION: Operator.IS_PART_OF,
    operands.CONNECTOR: Operator.IS_ANY_OF,
    operands.PURPOSE: Operator.IS_ANY_OF,
    operands.APPLICATION: Operator.IS_ANY_OF,
    operands.ALGORITHM: Operator.IS_ANY_OF,
    operands.MODEL: Operator.IS_ANY_OF,
    operands.DEVICE: Operator.IS_ANY_OF,
}


@dataclass(frozen=True)
class Selector:
    """Which products a definition is for. Every criterion given must be met, each by any of its values.

    One without any criterion selects nothing; `everything` has to be said.
    """

    everything: bool = False
    products: frozenset[str] = frozenset()
    themes: frozenset[str] = frozenset()
    keywords: frozenset[str] = frozenset()
    modes: frozenset[str] = frozenset()

    def selects(self, product: Product) -> bool:
        """Whether `product` is one of them."""
        criteria = (
            (self.products, frozenset({product.identifier})),
            (self.themes, frozenset({product.theme})),
            (self.keywords, frozenset(product.keywords)),
            (self.modes, frozenset(map(str, product.modes))),
        )
        given = [(wanted, found) for wanted, found in criteria if wanted]
        return all(wanted & found for wanted, found in given) if given else self.everything


@dataclass(frozen=True)
class Rule:
    """One rule of a script: the first whose conditions are all met decides.

    `other_terms`: None looks not at the terms, True matches who asks for other terms than offered, False who does not.
    `terms` is what a counter-offer says.
    """

    outcome: Outcome
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    other_terms: bool | None = None
    terms: Json = None
    reason: str = ""


@dataclass(frozen=True)
class Definition:
    """An offer definition. `access` None: everybody may see it. A new `revision` is another offer."""

    name: str
    revision: int
    access: Json
    contract: Json
    selector: Selector
    acceptance: Acceptance
    rules: tuple[Rule, ...] = ()

    def offer_id(self, product: str, version: int) -> str:
        """The id of this offer for a version of a product."""
        return f"{offer_id(product, version)}/{self.name}.{self.revision}"


@dataclass(frozen=True)
class ProductOffer(Terms):
    """An offer as it stands in negotiation messages, whom it may be shown to, and who answers requests for it."""

    acceptance: Acceptance = Acceptance.AUTOMATIC
    rules: tuple[Rule, ...] = ()

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.odrl["@id"])


@dataclass(frozen=True)
class Answer:
    """What a request gets. `reasons` go with a rejection, `terms` with a counter-offer."""

    outcome: Outcome
    reasons: tuple[Reason, ...] = ()
    terms: Json = None


def check(definition: Definition) -> None:
    """Raise `PolicyInvalid` or `ConstraintUnknown` if a policy or a rule of it makes no sense."""
    read_policy(definition.contract)
    if definition.selector == Selector():  # it would be in force, and offer nothing
        raise PolicyInvalid("the selector selects nothing; name products, themes, keywords or modes, or say everything")
    if definition.access is not None:
        read_policy(definition.access)
    if definition.rules and definition.acceptance is not Acceptance.SCRIPTED:
        raise PolicyInvalid("only an offer of scripted acceptance has rules")
    for rule in definition.rules:
        if (rule.outcome is Outcome.COUNTER) != (rule.terms is not None):
            raise PolicyInvalid("a rule has terms exactly if it counters")
        if rule.terms is not None:
            read_policy(rule.terms)
        if unknown := rule.when.keys() - CONDITIONS.keys():
            raise PolicyInvalid(f"a rule cannot look at {min(unknown)}; known are {', '.join(sorted(CONDITIONS))}")


def offers_for(product: Product, digest: str, definitions: Iterable[Definition]) -> list[ProductOffer]:
    """The offers of a product version: those of the definitions that select it, or else the terms it came with."""
    own = offer_of(product.identifier, product.version, digest, dict(product.policy))
    defined = [
        ProductOffer(
            offer_of(product.identifier, product.version, digest, definition.contract)
            | {"@id": definition.offer_id(product.identifier, product.version)},
            definition.access,
            definition.acceptance,
            definition.rules,
        )
        for definition in definitions
        if definition.selector.selects(product)
    ]
    return defined or [ProductOffer(own)]


def answer(offer: ProductOffer, asked: Json, situation: Situation) -> Answer:
    """What is answered to who asks for `offer` as `asked`. The provider's own terms are authoritative.

    Other terms than those offered are never accepted by a program: they are refused, countered, or shown to a person.
    """
    if reason := mistaken(asked, offer.odrl):
        return _rejected(OFFER_CHANGED, f"the offer has changed: {reason}")
    if reason := other_terms(asked, offer.odrl):
        return _about_other_terms(offer, reason, asked, situation)
    verdict = evaluate_terms(offer.odrl, situation)
    if not verdict.allowed:
        return Answer(Outcome.REJECT, verdict.reasons)
    if offer.acceptance is Acceptance.AUTOMATIC:
        return Answer(Outcome.ACCEPT)
    return _scripted(offer.rules, situation, others=False)


def _about_other_terms(offer: ProductOffer, reason: str, asked: Json, situation: Situation) -> Answer:
    if offer.acceptance is Acceptance.AUTOMATIC:
        return _rejected(OFFER_CHANGED, f"the offer has changed: {reason}")
    try:
        read_policy(asked)
    except PolicyInvalid as error:  # nobody need look at what could never be judged
        return _rejected(error.code, error.detail)
    return _scripted(offer.rules, situation, others=True)


def _scripted(rules: Iterable[Rule], situation: Situation, *, others: bool) -> Answer:
    for rule in rules:
        if rule.other_terms in {None, others} and _meets(rule, situation):
            if rule.outcome is Outcome.ACCEPT and others:
                continue  # a rule accepts what was offered, and nothing that somebody else wrote
            if rule.outcome is Outcome.REJECT:
                return _rejected("connector.offer-declined", rule.reason or "this offer is not made to you")
            return Answer(rule.outcome, terms=rule.terms)
    return Answer(Outcome.WAIT)


def _meets(rule: Rule, situation: Situation) -> bool:
    """Whether every condition holds; a fact that is not known meets none."""
    for name, values in rule.when.items():
        fact = situation.fact(name)
        if fact is None or not holds(OPERANDS[name], CONDITIONS[name], fact, values):
            return False
    return True


def _rejected(code: str, message: str) -> Answer:
    return Answer(Outcome.REJECT, (Reason(code, message),))
