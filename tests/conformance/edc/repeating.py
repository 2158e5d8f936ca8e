"""Relays that repeat what passes through them, for the tests of messages that come twice."""

from collections import Counter

from tests.conformance.edc.relay import Relay, answer_lost, twice

WAYS = {"sent again": answer_lost, "twice at once": twice}


def check_repeated(relay: Relay, *types: str) -> None:
    """Each kind was there at least twice under one @id, and was never refused."""
    statuses: dict[str, list[int]] = {}
    for sent, answered in list(relay.passed):
        if sent.type in types:
            statuses.setdefault(f"{sent.type} {sent.message['@id']}", []).append(answered.status)
    repeated = Counter(name.split()[0] for name, seen in statuses.items() if len(seen) > 1)
    assert set(repeated) == set(types), statuses
    assert all(200 <= status < 300 for seen in statuses.values() for status in seen), statuses
