"""Crawling peers in memory: what is read, what it costs, and what is shown after each step; on both databases."""

from collections import Counter
from datetime import timedelta

import pytest

from connector.crawler.crawler import Changes
from connector.crawler.states import PeerState
from hexi.canonical import instant
from hexi.database import Database
from tests.builders import SettableClock
from tests.connector.crawler.peers import A_WHILE, EVERY, Local, PagedPeer

A, B = "did:web:a.example", "did:web:b.example"
FIVE = {f"d{n}": 1 for n in range(5)}


def test_a_catalogue_is_read_page_by_page_and_then_only_asked_whether_it_changed(
    connectors: Database, clock: SettableClock
) -> None:
    peer = PagedPeer(A, dict(FIVE))
    local = Local(connectors, clock, [peer])
    assert local.crawl() == 3
    assert local.shown(A) == FIVE
    begun = local.peer(A)
    assert (begun.state, begun.completed, begun.checked) == (PeerState.IDLE, instant(clock()), instant(clock()))
    assert begun.due == instant(clock() + timedelta(seconds=EVERY))
    clock.advance(seconds=EVERY)
    peer.asked.clear()
    assert local.crawl() == 1
    assert peer.asked == [("GET", "first=1", 304)]
    checked = local.peer(A)
    assert (checked.completed, checked.checked) == (begun.completed, instant(clock()))
    assert local.told == [(A, Changes(added=5))]


def test_only_what_changed_is_written_and_what_is_gone_goes_with_the_last_page(
    connectors: Database, clock: SettableClock
) -> None:
    peer = PagedPeer(A, dict(FIVE))
    local = Local(connectors, clock, [peer])
    local.crawl()
    peer.datasets = {"d0": 1, "d1": 2, "d3": 1, "d4": 1, "d5": 1, "d6": 1}
    local.ask(A)
    assert local.shown(A) == FIVE | {"d1": 2}
    local.ask(A)
    assert local.shown(A) == FIVE | {"d1": 2}
    assert (local.peer(A).state, local.peer(A).tag) == (PeerState.CRAWLING, "")
    local.ask(A)
    assert local.shown(A) == peer.datasets
    assert local.told[-1] == (A, Changes(added=2, changed=1, withdrawn=1))


@pytest.mark.parametrize(
    ("make", "methods"),
    [
        ({"revision": False}, {"POST": 1, "GET": 2}),
        ({"revision": False, "link_method": "POST"}, {"POST": 3, "GET": 1}),
        ({"revision": False, "takes_filter": False}, {"POST": 2, "GET": 2}),
    ],
)
def test_peers_that_keep_no_revision_are_read_whole_in_their_own_way(
    sqlite_connectors: Database, clock: SettableClock, make: dict[str, object], methods: dict[str, int]
) -> None:
    peer = PagedPeer(A, dict(FIVE), **make)  # type: ignore[arg-type]
    local = Local(sqlite_connectors, clock, [peer])
    for _ in range(2):
        peer.asked.clear()
        assert local.crawl(A) == 3
        assert local.shown(A) == FIVE
        assert Counter(method for method, _, _ in peer.asked) == methods
    assert local.told == [(A, Changes(added=5)), (A, Changes())]


def test_an_etag_without_the_link_is_not_relied_upon(sqlite_connectors: Database, clock: SettableClock) -> None:
    """A server that tags every page answers 304 for the first one, however much has changed on the others."""
    peer = PagedPeer(A, dict(FIVE), revision=False)
    local = Local(sqlite_connectors, clock, [peer])
    local.crawl()
    peer.datasets["d4"] = 2
    local.crawl(A)
    assert local.shown(A) == peer.datasets


def test_a_failure_that_passes_lets_the_crawl_go_on_where_it_stood(connectors: Database, clock: SettableClock) -> None:
    peer = PagedPeer(A, dict(FIVE))
    local = Local(connectors, clock, [peer])
    local.ask(A)
    peer.faults = ["lost", 503]
    for failures in (1, 2):
        failed = local.ask(A)
        assert (failed.state, failed.failures, local.shown(A)) == (PeerState.BACKING_OFF, failures, {"d0": 1, "d1": 1})
    assert failed.reason is not None
    assert "503" in failed.reason.message
    peer.asked.clear()
    clock.advance(seconds=45)  # 60 seconds, less the half of a half that chance takes off
    assert local.crawl() == 2
    assert [query for _, query, _ in peer.asked] == ["after=d1", "after=d3"]
    assert (local.shown(A), local.peer(A).failures, local.peer(A).reason) == (FIVE, 0, None)


def test_a_failure_that_does_not_pass_begins_the_crawl_anew_and_forgets_the_old_tag(
    connectors: Database, clock: SettableClock
) -> None:
    peer = PagedPeer(A, dict(FIVE))
    local = Local(connectors, clock, [peer])
    local.crawl()
    before, peer.datasets = dict(peer.datasets), {"d0": 2} | peer.datasets | {"d0": 2}
    local.ask(A)
    assert local.shown(A)["d0"] == 2
    peer.faults = ["garbage"]
    assert local.ask(A).progress is None
    # Back to what it was, tag and all: a peer that was asked with the old tag would now say that nothing has changed.
    peer.datasets = before
    clock.advance(hours=1)
    local.crawl()
    assert local.shown(A) == before


def test_the_wait_doubles_to_a_cap_and_a_peer_may_ask_for_a_longer_one(
    sqlite_connectors: Database, clock: SettableClock
) -> None:
    peer = PagedPeer(A, dict(FIVE), faults=[500] * 20)
    local = Local(sqlite_connectors, clock, [peer])
    waits = []
    for _ in range(12):
        due = local.ask(A).due
        waits.append(next(s for s in range(1, 21_601) if instant(clock() + timedelta(seconds=s)) >= str(due)))
    # Three quarters of 30, 60, 120 ...: chance takes off half of a half.
    assert waits[:4] == [23, 45, 90, 180]
    assert waits[-1] == 21_600 * 3 // 4
    assert local.crawl() == 0
    other = PagedPeer(B, dict(FIVE), faults=[429])
    again = Local(sqlite_connectors, clock, [other])
    assert again.ask(B).due == instant(clock() + timedelta(hours=1))


def test_a_page_that_fails_again_and_again_is_given_up_for_the_first_one(
    sqlite_connectors: Database, clock: SettableClock
) -> None:
    peer = PagedPeer(A, dict(FIVE))
    local = Local(sqlite_connectors, clock, [peer])
    local.ask(A)
    peer.faults = [500] * 5
    kept = [local.ask(A).progress is not None for _ in range(5)]
    assert kept == [True] * 4 + [False]
    local.crawl(A)
    assert local.shown(A) == FIVE


def test_each_peer_is_asked_in_turn_and_a_broken_one_holds_nobody_up(
    sqlite_connectors: Database, clock: SettableClock
) -> None:
    good, bad = PagedPeer(A, dict(FIVE)), PagedPeer(B, dict(FIVE), faults=["lost"] * 3)
    local = Local(sqlite_connectors, clock, [bad, good])
    local.crawl()
    assert (local.shown(A), local.shown(B)) == (FIVE, {})
    assert local.peer(B).state is PeerState.BACKING_OFF
    assert [did for did, _ in local.told] == [A]
    clock.now += A_WHILE
    for _ in range(3):
        local.crawl()
        clock.now += A_WHILE
    assert local.shown(B) == FIVE


def test_a_peer_that_is_revoked_is_dropped_at_the_next_page(connectors: Database, clock: SettableClock) -> None:
    peer, other = PagedPeer(A, dict(FIVE)), PagedPeer(B, dict(FIVE))
    local = Local(connectors, clock, [peer, other])
    local.crawl(B)
    local.ask(A)
    local.known.revoked.add(A)
    gone = local.ask(A)
    assert (gone.state, gone.progress, gone.tag, local.shown(A)) == (PeerState.GONE, None, "", {})
    assert local.shown(B) == FIVE


def test_what_another_attempt_has_overtaken_is_not_recorded(connectors: Database, clock: SettableClock) -> None:
    """An attempt that outlived its lease must not write over what the next one has found."""
    peer = PagedPeer(A, {"d0": 1})
    local = Local(connectors, clock, [peer])
    passed = peer.answer

    def overtaken(request):  # type: ignore[no-untyped-def]
        answer = passed(request)
        peer.answer = passed  # type: ignore[method-assign]
        peer.datasets = {"d1": 1}
        clock.advance(minutes=5)
        local.crawl()
        assert local.shown(A) == {"d1": 1}
        return answer

    peer.answer = overtaken  # type: ignore[method-assign]
    local.crawler.step()
    assert local.shown(A) == {"d1": 1}
    assert local.peer(A).generation == 1


def test_slow_peers_are_left_to_some_of_the_threads(
    sqlite_connectors: Database, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = PagedPeer(A, dict(FIVE)), PagedPeer(B, dict(FIVE))
    local = Local(sqlite_connectors, clock, [slow, quick])
    monkeypatch.setattr("connector.crawler.crawler.SLOW_SECONDS", -1.0)
    assert local.ask(A).slow
    monkeypatch.undo()
    while local.crawler.step(quick=True):
        pass
    assert (local.shown(B), len(local.shown(A))) == (FIVE, 2)
    assert not local.ask(A).slow
