"""Whose turn it is, as a property of the pure decision: fair whatever the consumers send and however long it takes."""

import itertools
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import JobEnded, QueueFull
from sandbox.jobs.scheduling import Limits, Turn, check_room, in_order, may_lease, rest_before_again
from sandbox.jobs.states import ENDED, TRANSITIONS, JobState, next_state

LIMITS = Limits(under_way=3)

turns = st.lists(
    st.builds(
        Turn,
        consumer=st.text("abcdefgh", min_size=1, max_size=3),
        waiting=st.integers(0, 5),
        under_way=st.integers(0, 5),
        last=st.integers(0, 50),
    ),
    unique_by=lambda turn: turn.consumer,
)


@given(turns)
def test_the_next_is_whoever_has_least_and_nobody_is_over_the_limit(found: list[Turn]) -> None:
    order = in_order(found, LIMITS)
    assert set(order) == {turn for turn in found if turn.waiting and turn.under_way < LIMITS.under_way}
    for before, after in itertools.pairwise(order):
        assert (before.under_way, before.last) <= (after.under_way, after.last)
    assert all(may_lease(turn, LIMITS) for turn in order)


class Site:
    """Workers over a queue: who waits, who is served, in steps. What a store would keep, and no more."""

    def __init__(self, waiting: dict[str, int], workers: int) -> None:
        self.waiting, self.workers = Counter(waiting), workers
        self.running: list[tuple[str, int]] = []
        self.last: dict[str, int] = dict.fromkeys(waiting, 0)
        self.leases = 0
        self.given: list[str] = []

    def turns(self) -> list[Turn]:
        under_way = Counter(consumer for consumer, _ in self.running)
        return [Turn(name, self.waiting[name], under_way[name], self.last[name]) for name in self.last]

    def fill(self, length: int) -> None:
        while len(self.running) < self.workers and (order := in_order(self.turns(), LIMITS)):
            name = order[0].consumer
            self.leases += 1
            self.waiting[name] -= 1
            self.last[name] = self.leases
            self.running.append((name, length))
            self.given.append(name)

    def pass_time(self) -> None:
        self.running = [(name, left - 1) for name, left in self.running if left > 1]


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1),
    st.integers(1, 5),
    st.lists(st.integers(1, 6), min_size=1, max_size=30),
)
def test_however_many_one_sends_and_however_long_they_take_nobody_starves(
    waiting: dict[str, int], workers: int, lengths: list[int]
) -> None:
    site = Site(waiting, workers)
    for step in range(10_000):
        site.fill(lengths[step % len(lengths)])
        if not site.running:
            break
        idle = site.workers - len(site.running)
        assert idle == 0 or not in_order(site.turns(), LIMITS)  # no worker rests while there is something to do
        site.pass_time()
    assert Counter(site.given) == Counter(waiting)  # every job was leased, once
    # While a consumer has jobs waiting and none under way, the others together are served at most once each before it.
    for name in waiting:
        places = [place for place, given_to in enumerate(site.given) if given_to == name]
        assert places[0] < len(waiting)


@given(st.integers(2, 6), st.integers(1, 200))
def test_jobs_of_like_length_go_round(consumers: int, flood: int) -> None:
    names = [f"c{number}" for number in range(consumers)]
    site = Site({**dict.fromkeys(names, 10), names[0]: 10 + flood}, workers=1)
    while site.waiting.total():
        site.fill(1)
        site.pass_time()
    for end in range(1, 10 * consumers):
        served = Counter(site.given[:end])
        assert max(served.values()) - min(served[name] for name in names) <= 1


def test_a_consumer_that_comes_late_is_not_owed_the_past_nor_made_to_wait_for_it() -> None:
    order = in_order([Turn("old", waiting=5, last=1_000), Turn("new", waiting=5)], LIMITS)
    assert [turn.consumer for turn in order] == ["new", "old"]
    order = in_order([Turn("old", waiting=5, last=1_000), Turn("new", waiting=5, last=1_001)], LIMITS)
    assert [turn.consumer for turn in order] == ["old", "new"]


def test_the_queue_is_bounded_for_one_and_for_all() -> None:
    limits = Limits(waiting=2, waiting_of_all=5)
    check_room(Turn("a", waiting=1), 4, limits)
    with pytest.raises(QueueFull, match="2 jobs of yours wait"):
        check_room(Turn("a", waiting=2), 4, limits)
    with pytest.raises(QueueFull, match="the queue is full"):
        check_room(Turn("a"), 5, limits)


def test_attempts_end() -> None:
    limits = Limits(attempts=3, again_seconds=2.0)
    rests = [rest_before_again(attempts, limits) for attempts in (1, 2, 3, 4)]
    assert rests == [timedelta(seconds=2), timedelta(seconds=4), None, None]


@pytest.mark.parametrize("state", JobState)
def test_a_job_ends_once(state: JobState) -> None:
    assert (state in ENDED) == (state in {JobState.DONE, JobState.CANCELLED, JobState.FAILED})
    for wanted in JobState:
        if wanted in TRANSITIONS[state]:
            assert next_state(state, wanted) is wanted
        else:
            with pytest.raises(JobEnded):
                next_state(state, wanted)
