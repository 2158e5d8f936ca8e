"""Where the crawl of a peer's catalogue stands, as data. Pure.

>>> next_state(PeerState.CRAWLING, Event.COMPLETED)
<PeerState.IDLE: 'idle'>
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class PeerState(StrEnum):
    """IDLE: read to its end, or not asked yet. CRAWLING: some pages are read. BACKING_OFF: the last attempt failed, and
    the next waits. GONE: no participant any more; its datasets are not shown."""

    IDLE = "idle"
    CRAWLING = "crawling"
    BACKING_OFF = "backing-off"
    GONE = "gone"


class Event(StrEnum):
    """What can happen to it. PAGE: a page was read that is not the last; COMPLETED: the last one was."""

    UNCHANGED = "unchanged"
    PAGE = "page"
    COMPLETED = "completed"
    FAILED = "failed"
    LEFT = "left"
    RETURNED = "returned"


TRANSITIONS: Mapping[tuple[PeerState, Event], PeerState] = {
    (PeerState.IDLE, Event.UNCHANGED): PeerState.IDLE,
    (PeerState.IDLE, Event.PAGE): PeerState.CRAWLING,
    (PeerState.IDLE, Event.COMPLETED): PeerState.IDLE,
    (PeerState.IDLE, Event.FAILED): PeerState.BACKING_OFF,
    (PeerState.IDLE, Event.LEFT): PeerState.GONE,
    (PeerState.CRAWLING, Event.PAGE): PeerState.CRAWLING,
    (PeerState.CRAWLING, Event.COMPLETED): PeerState.IDLE,
    (PeerState.CRAWLING, Event.FAILED): PeerState.BACKING_OFF,
    (PeerState.CRAWLING, Event.LEFT): PeerState.GONE,
    (PeerState.BACKING_OFF, Event.UNCHANGED): PeerState.IDLE,
    (PeerState.BACKING_OFF, Event.PAGE): PeerState.CRAWLING,
    (PeerState.BACKING_OFF, Event.COMPLETED): PeerState.IDLE,
    (PeerState.BACKING_OFF, Event.FAILED): PeerState.BACKING_OFF,
    (PeerState.BACKING_OFF, Event.LEFT): PeerState.GONE,
    (PeerState.GONE, Event.LEFT): PeerState.GONE,
    (PeerState.GONE, Event.RETURNED): PeerState.IDLE,
}


def next_state(state: PeerState, event: Event) -> PeerState:
    """The state that `event` leads to from `state`. Raises `ValueError` where it cannot happen: that is our mistake."""
    found = TRANSITIONS.get((state, event))
    if found is None:
        raise ValueError(f"a peer that is {state} cannot be told {event}")
    return found


@dataclass(frozen=True)
class Progress:
    """A crawl under way: what was read, and where it goes on.

    `first` and `tag` are an address and its ETag, by which the peer is asked the next time whether anything has
    changed. `mark` is a page passed earlier, by which a circle is noticed. `posted`: pages are asked for with POST, as
    Eclipse EDC wants it; `plain`: without saying how long a page should be.
    """

    began: str
    next: str
    pages: int = 0
    datasets: int = 0
    added: int = 0
    changed: int = 0
    left_out: int = 0
    left_out_why: str = ""
    first: str = ""
    tag: str = ""
    mark: str = ""
    posted: bool = False
    plain: bool = False


@dataclass(frozen=True)
class Reason:
    """Why the last attempt failed."""

    code: str
    message: str
    at: str


@dataclass(frozen=True)
class Peer:
    """A participant whose catalogue is crawled.

    `address` is empty where the registry's is used. `member`: the registry lists it; `by_hand`: somebody here named it.
    `due`: when it is asked next; None is never. `checked`: when we last knew that what we show is what it shows;
    `completed`: when it was last read whole. `generation` counts crawls begun. `slow`: it took long the last time.
    `left_out` counts the datasets of the last whole crawl that could not be taken, and `left_out_why` says why one.
    """

    did: str
    added: str
    address: str = ""
    by_hand: bool = False
    member: bool = False
    state: PeerState = PeerState.IDLE
    due: str | None = None
    failures: int = 0
    reason: Reason | None = None
    checked: str | None = None
    completed: str | None = None
    generation: int = 0
    first: str = ""
    tag: str = ""
    progress: Progress | None = None
    slow: bool = False
    left_out: int = 0
    left_out_why: str = ""
