"""What to do next with a peer, and what follows from what came of it. Pure: no clock, no chance, no network.

A peer may say of its first page that the ETag there changes with the whole catalogue (a link of relation `REVISION`, as
ours do). Once its catalogue was read whole, that page is asked for with ``If-None-Match``, and 304 means that nothing
has changed. Otherwise it is the first page of a new crawl, which follows the links to its end: what changes while it
does has changed the ETag too, and is seen the next time. A peer that says nothing of the kind is read whole each time,
for an ETag alone speaks of one page; what has not changed is not written again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from connector.crawler.errors import CatalogueUnusable
from connector.crawler.pages import Answer, CataloguePage, is_at
from connector.crawler.states import Event, Peer, PeerState, Progress, Reason, next_state
from connector.protocol.messages import CatalogRequestMessage
from hexi.canonical import Json, instant, parse_instant

# Datasets asked for on a page: some 1 MB of JSON. Peers may send fewer, or more.
PAGE = 500
# The most pages and datasets of one crawl. Honest catalogues end; this many datasets take about 1 GB of disk.
MAX_PAGES = 10_000
MAX_DATASETS = 250_000
# How long a crawl may take, interruptions included, in hours. A catalogue that takes longer is another one by then.
MAX_CRAWL_HOURS = 12.0
# The wait after the first failure, in seconds; it doubles with each, up to the cap: a peer that is away for weeks costs
# four questions a day.
BACKOFF_SECONDS, BACKOFF_CAP_SECONDS = 30.0, 6 * 3_600.0
# A page that has failed so often in a row is given up for the first one: its address may have grown too old.
MAX_FAILURES = 5
# How long to wait where it was not the peer that failed, in seconds: the registry does not answer, or we are no member.
POSTPONE_SECONDS = 30.0
# By how much the time between two crawls varies, as a share of it, so that peers are not all asked at once.
SPREAD = 0.1

# Nothing has changed. (RFC 9110, 15.4.5)
NOT_MODIFIED = 304

# The names of a QuerySpec in full: Eclipse EDC passes over those without a namespace, and we read either.
_EDC = "https://w3id.org/edc/v0.0.1/ns/"
# Worth trying again where the crawl stood: the peer was busy, or away for a moment. (RFC 9110, RFC 8470, RFC 6585)
_PASSING = frozenset({408, 425, 429})
# Answers to a question by those who want it put another way, and to an old address by those who have forgotten it.
_NOT_LIKE_THIS = frozenset({405, 501})
_FILTER_REFUSED = frozenset({400, 422, 501})
_FORGOTTEN = frozenset({400, 404, 405, 410, 422, 501})

# A number from 0 to 1, drawn anew with each call.
Chance = Callable[[], float]


@dataclass(frozen=True)
class Question:
    """A request for a page. `opening`: for the first one. `tag`: only if it is no longer this."""

    url: str
    posted: bool
    opening: bool
    plain: bool = False
    tag: str = ""

    @property
    def body(self) -> Json:
        """What is posted: the protocol's message, with the length of the page unless it is `plain`."""
        message = CatalogRequestMessage().to_wire()
        return message if self.plain else message | {"filter": [{"@type": f"{_EDC}QuerySpec", f"{_EDC}limit": PAGE}]}


@dataclass(frozen=True)
class Failure:
    """An attempt that came to nothing. `passing`: the crawl goes on where it stood; otherwise it begins anew.
    `retry_after`: how long the peer wants to be left alone, in seconds."""

    code: str
    message: str
    passing: bool = False
    retry_after: float = 0.0


@dataclass(frozen=True)
class Read:
    """A page came that can be taken."""

    asked: Question
    page: CataloguePage


@dataclass(frozen=True)
class Unchanged:
    """Nothing has changed since the catalogue was read whole."""


@dataclass(frozen=True)
class Left:
    """It is no participant (any more)."""

    code: str
    message: str


@dataclass(frozen=True)
class Returned:
    """It takes part again."""


@dataclass(frozen=True)
class Postponed:
    """It could not be asked for no fault of its own."""

    code: str
    message: str


Outcome = Read | Unchanged | Failure | Left | Returned | Postponed


def question(peer: Peer, address: str) -> Question:
    """What to ask the peer, whose protocol endpoint is `address`, next."""
    under_way = peer.progress
    if under_way is not None and is_at(under_way.next, address):
        return Question(under_way.next, under_way.posted, opening=False, plain=under_way.plain)
    if peer.tag and is_at(peer.first, address):
        return Question(peer.first, posted=False, opening=True, tag=peer.tag)
    return Question(f"{address}/catalog/request", posted=True, opening=True)


def instead(asked: Question, status: int, address: str) -> Question | None:
    """The same put another way, where `status` says that the peer does not take it as it was put."""
    if asked.opening and not asked.posted:
        return Question(f"{address}/catalog/request", posted=True, opening=True) if status in _FORGOTTEN else None
    if asked.opening:
        return replace(asked, plain=True) if status in _FILTER_REFUSED and not asked.plain else None
    return replace(asked, posted=True) if status in _NOT_LIKE_THIS and not asked.posted else None


def failure_of(asked: Question, answer: Answer) -> Failure | None:
    """What is wrong with an answer, by its status alone; None where it has a page, or says that nothing changed."""
    if answer.status == 200 or (answer.status == NOT_MODIFIED and asked.tag):
        return None
    passing = answer.status >= 500 or answer.status in _PASSING
    said = "; redirects are not followed" if 300 <= answer.status < 400 else ""
    return Failure("connector.peer-refused", f"the peer answered {answer.status}{said}", passing, answer.retry_after)


def check_page(peer: Peer, asked: Question, page: CataloguePage, now: datetime) -> None:
    """Raise `CatalogueUnusable` unless the crawl may go on with this page: it must come to an end some day."""
    so_far = None if asked.opening else peer.progress
    if so_far is None:
        so_far = Progress(instant(now), "")
    if so_far.datasets + page.datasets > MAX_DATASETS:
        raise CatalogueUnusable(f"the catalogue has more than {MAX_DATASETS} datasets")
    if so_far.pages + 1 > MAX_PAGES:
        raise CatalogueUnusable(f"the catalogue has more than {MAX_PAGES} pages")
    if page.next and page.next in {asked.url, so_far.mark}:
        raise CatalogueUnusable("the links from page to page lead in a circle")
    if now - parse_instant(so_far.began) > timedelta(hours=MAX_CRAWL_HOURS):
        raise CatalogueUnusable(f"the catalogue did not end within {MAX_CRAWL_HOURS:g} hours")


def after(peer: Peer, outcome: Outcome, now: datetime, every: float, chance: Chance) -> Peer:
    """`peer` once `outcome` has come of an attempt. `every`: the seconds between two crawls."""
    match outcome:
        case Read(asked, page):
            return _after_page(peer, asked, page, now, _later(now, every, chance))
        case Unchanged():
            idle = next_state(peer.state, Event.UNCHANGED)
            due = _later(now, every, chance)
            return replace(peer, state=idle, due=due, failures=0, reason=None, checked=instant(now))
        case Failure():
            return _after_failure(peer, outcome, now, chance)
        case Left(code, message):
            return _after_leaving(peer, Reason(code, message, instant(now)), now, every)
        case Returned():
            return after_return(peer, now)
        case Postponed(code, message):
            due = instant(now + timedelta(seconds=POSTPONE_SECONDS))
            return replace(peer, due=due, reason=Reason(code, message, instant(now)))


def after_return(peer: Peer, now: datetime) -> Peer:
    """`peer`, which was gone, once it takes part again."""
    return replace(peer, state=next_state(peer.state, Event.RETURNED), due=instant(now), reason=None)


def is_gone(peer: Peer) -> bool:
    """Whether nothing of it is shown, because it is no participant."""
    return peer.state is PeerState.GONE


def _after_page(peer: Peer, asked: Question, page: CataloguePage, now: datetime, next_crawl: str) -> Peer:
    begun = None if asked.opening else peer.progress
    if begun is None:
        # The old tag goes: from here on what is kept is a mixture, of which it says nothing.
        peer = replace(peer, generation=peer.generation + 1, first="", tag="")
        begun = Progress(instant(now), "", first=page.first if page.tag else "", tag=page.tag if page.first else "")
    pages = begun.pages + 1
    progress = replace(
        begun,
        next=page.next,
        pages=pages,
        datasets=begun.datasets + page.datasets,
        left_out=begun.left_out + page.left_out,
        left_out_why=begun.left_out_why or page.left_out_why,
        # After Brent: the page kept in mind is left behind at every power of two, and any circle comes back to it.
        mark=page.next if pages & (pages - 1) == 0 else begun.mark,
        posted=asked.posted and not asked.opening,
        plain=asked.plain,
    )
    peer = replace(peer, failures=0, reason=None)
    if page.next:
        return replace(peer, state=next_state(peer.state, Event.PAGE), due=instant(now), progress=progress)
    return replace(
        peer,
        state=next_state(peer.state, Event.COMPLETED),
        due=next_crawl,
        checked=instant(now),
        completed=instant(now),
        first=progress.first,
        tag=progress.tag,
        progress=None,
        left_out=progress.left_out,
        left_out_why=progress.left_out_why,
    )


def _after_failure(peer: Peer, failure: Failure, now: datetime, chance: Chance) -> Peer:
    """It is left alone for longer each time, and for as long as it asks to be."""
    longest = min(BACKOFF_CAP_SECONDS, BACKOFF_SECONDS * 2.0 ** min(peer.failures, 16))
    wait = max(longest * (0.5 + chance() / 2), min(failure.retry_after, BACKOFF_CAP_SECONDS))
    return replace(
        peer,
        state=next_state(peer.state, Event.FAILED),
        due=instant(now + timedelta(seconds=wait)),
        failures=peer.failures + 1,
        reason=Reason(failure.code, failure.message, instant(now)),
        progress=peer.progress if failure.passing and peer.failures + 1 < MAX_FAILURES else None,
    )


def _after_leaving(peer: Peer, reason: Reason, now: datetime, every: float) -> Peer:
    """One named by hand is looked for again; of others the registry tells when they return."""
    due = instant(now + timedelta(seconds=every)) if peer.by_hand else None
    state = next_state(peer.state, Event.LEFT)
    forgotten = Peer(peer.did, peer.added, peer.address, peer.by_hand, peer.member, state, due, reason=reason)
    return replace(forgotten, generation=peer.generation + 1)


def _later(now: datetime, every: float, chance: Chance) -> str:
    return instant(now + timedelta(seconds=every * (1 + SPREAD * (2 * chance() - 1))))
