"""The states of a listing, as data. Pure.

A listing comes into being as a draft, and is on sale only while `LISTED`. Nothing leads out of `WITHDRAWN`: who wants
to sell again lists again, so that what was ordered once keeps pointing at what was offered then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from marketplace.errors import StepImpossible


class State(StrEnum):
    DRAFT = "draft"
    LISTED = "listed"
    SUSPENDED = "suspended"
    WITHDRAWN = "withdrawn"


class Step(StrEnum):
    LIST = "list"
    REPRICE = "reprice"
    SUSPEND = "suspend"
    RESUME = "resume"
    WITHDRAW = "withdraw"


TRANSITIONS: Mapping[tuple[State, Step], State] = {
    (State.DRAFT, Step.LIST): State.LISTED,
    (State.DRAFT, Step.REPRICE): State.DRAFT,
    (State.DRAFT, Step.WITHDRAW): State.WITHDRAWN,
    (State.LISTED, Step.REPRICE): State.LISTED,
    (State.LISTED, Step.SUSPEND): State.SUSPENDED,
    (State.LISTED, Step.WITHDRAW): State.WITHDRAWN,
    (State.SUSPENDED, Step.REPRICE): State.SUSPENDED,
    (State.SUSPENDED, Step.RESUME): State.LISTED,
    (State.SUSPENDED, Step.WITHDRAW): State.WITHDRAWN,
}


def next_state(state: State, step: Step) -> State:
    """Where `step` leads. Raises `StepImpossible`."""
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise StepImpossible(f"a listing that is {state} cannot {step}", state=str(state), step=str(step)) from None


@dataclass(frozen=True)
class Title:
    """A title in both languages."""

    zh: str
    en: str


@dataclass(frozen=True)
class Listing:
    """A product on sale. `version` and `certificate` are those it was listed with."""

    id: str
    product: str
    version: int
    provider: str
    certificate: str
    title: Title
    terms: Title
    unit_price_fen: int
    state: State
    created: str


@dataclass(frozen=True)
class Event:
    """One line of a listing's history: every step with the price that stood after it."""

    number: int
    step: Step
    state: State
    unit_price_fen: int
    by: str
    at: str
