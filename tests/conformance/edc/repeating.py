"""Relays that repeat what passes through them, for the tests of messages that come twice."""

from tests.conformance.edc.exchange import eventually
from tests.conformance.edc.relay import Relay, answer_lost, twice

WAYS = {"sent again": answer_lost, "twice at once": twice}


def check_repeated(relay: Relay, *types: str) -> None:
    """Each kind came at least twice under one @id, or comes so in a while, and was never refused."""
    eventually("the repetitions", lambda: _repeated(relay, types), lambda seen: seen == set(types))
    statuses = _statuses(relay, types)
    assert all(200 <= status < 300 for seen in statuses.values() for status in seen), statuses


def _repeated(relay: Relay, types: tuple[str, ...]) -> set[str]:
    return {name.split()[0] for name, seen in _statuses(relay, types).items() if len(seen) > 1}


def _statuses(relay: Relay, types: tuple[str, ...]) -> dict[str, list[int]]:
    """What each message was answered, by its type and @id."""
    statuses: dict[str, list[int]] = {}
    for sent, answered in list(relay.passed):
        if sent.type in types:
            statuses.setdefault(f"{sent.type} {sent.message['@id']}", []).append(answered.status)
    return statuses
