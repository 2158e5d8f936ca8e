"""The outbox: messages wait here, written in the transaction of what they tell, until the other end has taken them.

Pure rules of patience, and `enqueue`. The rows are in `connector.protocol.store`, the sending in
`connector.protocol.sender`.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlmodel import Session

from connector.protocol import store
from connector.protocol.outbox_items import OutboxItem
from hexi.canonical import Json, parse_instant

# The wait before the second attempt, in seconds; it doubles each time, up to the cap.
BACKOFF_SECONDS = 0.25
BACKOFF_CAP_SECONDS = 30.0
# A peer may need a moment before it has written down what it just told us, in seconds: until then it says that it does
# not know the process or the agreement (404), or that our answer does not fit its state (409, as Eclipse EDC does).
NOT_YET_SECONDS = 10.0
# How long a peer may be away before its process is given up. The ledger is never given up: evidence must not be lost.
PATIENCE = timedelta(minutes=10)

# Try again: the request timed out there, came too early, or was one too many. (RFC 9110, RFC 8470, RFC 6585)
_AGAIN = frozenset({408, 425, 429})
_NOT_YET = frozenset({404, 409})
# Only these say that the ledger will never take this entry; anything else may be put right over there.
_NEVER_ON_THE_LEDGER = frozenset({400, 409, 413, 422})


@dataclass(frozen=True)
class Answer:
    """What came of one attempt. No `status`: nobody answered, and `error` says why.

    `refused_here`: we ourselves will not call that address, so that trying again is no use.
    """

    status: int | None = None
    body: Json = None
    error: str = ""
    refused_here: bool = False


class Verdict(StrEnum):
    """What an attempt leads to."""

    TAKEN = "taken"
    AGAIN = "again"
    REFUSED = "refused"
    GIVEN_UP = "given-up"


def enqueue(
    session: Session,
    destination: str,
    process_pid: str | None,
    message_id: str,
    url: str,
    body: Json,
    *,
    audience: str | None = None,
    reference: str | None = None,
    not_before: str = "",
    leased: tuple[str, str] | None = None,
) -> OutboxItem:
    """Queue `body` for `url` in the caller's transaction.

    `destination` is "peer" or "ledger". `audience` is the DID whose service it is, for the presentation that goes
    with it. `reference` comes back with the ledger's receipt. An empty `not_before` means at once. `leased`: (holder,
    until), for a holder that sends it as soon as the transaction has committed; this attempt counts as begun.
    """
    return store.add_item(
        session,
        destination=destination,
        process_pid=process_pid,
        message_id=message_id,
        url=url,
        body=body,
        audience=audience,
        reference=reference,
        not_before=not_before,
        leased=leased,
    )


def judge_peer(
    item: OutboxItem, answer: Answer, now: datetime, patience: timedelta = PATIENCE, begun: datetime | None = None
) -> Verdict:
    """What `answer` means for a message to another participant.

    `begun`: when we began to send. Before that it was we who were away, and nobody else's patience is asked for it.
    """
    age = now - parse_instant(item.not_before) if item.not_before else timedelta()
    waited = age if begun is None else min(age, now - begun)
    if answer.status is not None and 200 <= answer.status < 300:
        return Verdict.TAKEN
    if answer.refused_here:
        return Verdict.REFUSED
    if answer.status is None or answer.status >= 500 or answer.status in _AGAIN:
        return Verdict.GIVEN_UP if waited > patience else Verdict.AGAIN
    if answer.status in _NOT_YET and age.total_seconds() < NOT_YET_SECONDS:
        return Verdict.AGAIN
    return Verdict.REFUSED


def judge_ledger(answer: Answer) -> Verdict:
    """What `answer` means for an entry: only the ledger's own word that the entry is wrong ends the trying."""
    if answer.status is not None and 200 <= answer.status < 300 and isinstance(answer.body, dict):
        return Verdict.TAKEN
    return Verdict.REFUSED if answer.status in _NEVER_ON_THE_LEDGER else Verdict.AGAIN


def backoff(attempts: int, first: float = BACKOFF_SECONDS, cap: float = BACKOFF_CAP_SECONDS) -> timedelta:
    """How long to wait after that many attempts. Jittered, so that a peer coming back is not met by all at once."""
    longest = min(cap, first * 2.0 ** min(attempts - 1, 16))
    return timedelta(seconds=longest * (0.5 + secrets.randbelow(1001) / 2000))
