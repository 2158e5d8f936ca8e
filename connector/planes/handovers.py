"""Handing over: bytes leave only after they were admitted, and no longer than the transfer's grant lasts.

A data plane begins a handover (which may be a new use, or the rest of one that was interrupted) and then passes its
chunks through `Handovers.metered`. Volume is admitted ahead in windows, so that a fast transfer does not wait for the
database at every chunk: they grow as long as they last for less than `LOOK_SECONDS`. What of the last window was not
handed over is given back. Between two windows the grant is looked at every `LOOK_SECONDS`, so a stop ends a slow
transfer as well as a fast one.

One download is one use, however often it is interrupted: a request goes on with the download under way unless that is
finished and this one begins anew, or more was handed over for it than interruptions explain.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel import Session

from connector.contracts import store as business_store
from connector.deliveries import store
from connector.policies.evaluation import Verdict
from connector.sources import Chunks
from connector.usage import counting as usage
from connector.usage import store as usage_store
from connector.usage.grants import Grant, GrantState, Use
from hexi.canonical import Clock
from hexi.database import Database
from hexi.errors import Forbidden

# How much is admitted at once, in bytes: little at first, doubled up to the cap, an eighth of a second of what TLS on
# one core carries. An admission costs some five milliseconds; the larger the window, the more a crash counts as handed
# over that was not.
FIRST_WINDOW_BYTES = 4 * 1024 * 1024
LAST_WINDOW_BYTES = 256 * 1024 * 1024
# How often the grant is looked at between two windows, in seconds. Looking is one read, without waiting for a disk.
LOOK_SECONDS = 0.25
# What interruptions may cost in bytes that were sent twice, over the size itself once more. (A window is never larger
# than what was sent before it and `FIRST_WINDOW_BYTES`, so a crash costs no more than that.)
OVERLAP_BYTES = 128 * 1024 * 1024
# The size of what is not finished by its last byte, but by whoever took it saying so.
NOT_FINISHED = 2**62

_USED_UP = frozenset({"policy.volume", "policy.records"})


def _nothing(_session: Session) -> None:
    """Nothing besides."""


class HandoverRefused(Forbidden):
    """The agreement's terms, or a stop, do not let (more) data be handed over. The code is the first reason's."""

    code = "connector.handover-refused"
    title = "No data are handed over under this transfer now"

    def __init__(self, verdict: Verdict) -> None:
        reasons = [{"code": reason.code, "message": reason.message} for reason in verdict.reasons]
        super().__init__("; ".join(verdict.messages()), reasons=reasons)
        # Whether nothing more can come under the agreement, so that a use under way is over.
        self.is_used_up = bool(_USED_UP & {reason.code for reason in verdict.reasons})


@dataclass(frozen=True)
class Span:
    """`wanted` bytes from `offset` on, of something with `size` bytes and this `digest`. None: not known beforehand."""

    offset: int
    wanted: int | None
    size: int | None
    digest: str | None = None


@dataclass(frozen=True)
class Handovers:
    """Admits and meters what leaves."""

    database: Database
    clock: Clock

    def begin(self, transfer: str, span: Span) -> int:
        """Admit `span`, or its beginning; returns how many bytes are admitted. Raises `HandoverRefused`."""
        with self.database.transaction() as session:
            found = store.handover(session, transfer, lock=True)
            fresh = _is_new(found, span)
            first = FIRST_WINDOW_BYTES if span.wanted is None else min(span.wanted, FIRST_WINDOW_BYTES)
            self._admit(session, transfer, Use(1 if fresh else 0, first, unfinished=fresh))
            before = 0 if fresh else found.volume
            store.save_handover(session, replace(found, begun=True, volume=before + first, finished=False))
        return first

    def metered(self, transfer: str, span: Span, admitted: int, chunks: Chunks) -> Generator[bytes, None, None]:
        """`chunks` of `span`, as long as they may leave. Raises `HandoverRefused` in their midst."""
        left, window, ahead = admitted, FIRST_WINDOW_BYTES, None if span.wanted is None else span.wanted - admitted
        looked = begun = time.monotonic()
        sent, ended = 0, False
        try:
            for chunk in chunks:
                if left < len(chunk):
                    if time.monotonic() - begun < LOOK_SECONDS:
                        window = min(2 * window, LAST_WINDOW_BYTES)
                    least = len(chunk) - left
                    most = max(least, window if ahead is None else min(window, ahead))
                    window = self._admit_more(transfer, least, most)
                    left, ahead = left + window, None if ahead is None else ahead - window
                    looked = begun = time.monotonic()
                if time.monotonic() - looked > LOOK_SECONDS:
                    self.check(transfer)
                    looked = time.monotonic()
                left, sent = left - len(chunk), sent + len(chunk)
                yield chunk
            ended = True
        finally:
            reached = ended if span.size is None else span.offset + sent >= span.size
            # What has no size cannot be gone on with: broken off, it is given up, and counts as it did.
            self._settle(transfer, left, finished=reached, over=reached or span.size is None, digest=span.digest)

    def admit(self, transfer: str, use: Use, also: Callable[[Session], None] = _nothing) -> None:
        """Admit `use`, and do `also` in the same transaction. Raises `HandoverRefused`, and nothing is done then."""
        with self.database.transaction() as session:
            self.admit_within(session, transfer, use)
            also(session)

    def admit_within(self, session: Session, transfer: str, use: Use) -> None:
        """Admit `use` in the caller's transaction. Raises `HandoverRefused`."""
        self._admit(session, transfer, use)

    def finish(self, transfer: str, unsent: int, also: Callable[[Session], None] = _nothing) -> None:
        """A use admitted as unfinished is over: take back what was admitted and not sent, and do `also` with it."""
        with self.database.transaction() as session:
            if unsent:
                usage.give_back(session, transfer, unsent, self._now())
            usage.finish(session, transfer, self._now())
            also(session)

    def check(self, transfer: str) -> Grant:
        """The grant of a transfer that is served at this moment. Raises `HandoverRefused`."""
        with self.database.reading() as session:
            grant = usage_store.grant(session, transfer)
        if grant is None or grant.state is not GrantState.ACTIVE:
            raise HandoverRefused(usage.not_active(grant))
        return grant

    def _admit_more(self, transfer: str, least: int, most: int) -> int:
        """Admit `most` bytes more, or `least` where the terms do not allow so many; returns how many it was."""
        try:
            self._admit_volume(transfer, most)
        except HandoverRefused:
            self._admit_volume(transfer, least)
            return least
        return most

    def _admit_volume(self, transfer: str, volume: int) -> None:
        with self.database.transaction() as session:
            self._admit(session, transfer, Use(0, volume))
            found = store.handover(session, transfer, lock=True)
            store.save_handover(session, replace(found, volume=found.volume + volume))

    def _admit(self, session: Session, transfer: str, use: Use) -> None:
        grant = usage_store.grant(session, transfer)
        if grant is None:
            raise HandoverRefused(usage.not_active(grant))
        held = business_store.agreement(session, grant.agreement)
        verdict = usage.admit(session, transfer, use, held.agreement, self._now())
        if not verdict.allowed:
            raise HandoverRefused(verdict)

    def _settle(self, transfer: str, left: int, *, finished: bool, over: bool, digest: str | None) -> None:
        with self.database.transaction() as session:
            found = store.handover(session, transfer, lock=True)
            store.save_handover(session, replace(found, volume=found.volume - left, finished=finished))
            if left:
                usage.give_back(session, transfer, left, self._now())
            if over:
                usage.finish(session, transfer, self._now(), digest=digest if finished else None)

    def _now(self) -> datetime:
        return self.clock()


def _is_new(found: store.Handover, span: Span) -> bool:
    if not found.begun or span.size is None or span.wanted is None:  # without a size nothing can be gone on with
        return True
    if found.finished and span.offset == 0:
        return True
    return found.volume + span.wanted > 2 * span.size + OVERLAP_BYTES


def at_most(chunks: Chunks, wanted: int) -> Chunks:
    """The first `wanted` bytes of `chunks`."""
    for chunk in chunks:
        if len(chunk) >= wanted:
            yield chunk[:wanted]
            return
        wanted -= len(chunk)
        yield chunk
