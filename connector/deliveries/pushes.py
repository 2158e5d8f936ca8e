"""Pushes: carried out by threads of their own, one lease each, resumed where they were interrupted.

The steps of one attempt: (1) what the source holds now; (2) how much the destination has of it, if it can say so;
(3) the rest is admitted, sent and metered; (4) the completion is sent to the consumer, in the transaction that closes
the push. What is refused for good ends the transfer with the reason; anything else is tried again with back-off.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import httpx
import structlog
from sqlmodel import Session

from connector.deliveries import store
from connector.deliveries.ended import OnEnded, of_push
from connector.deliveries.uploads import UploadRefused, Uploads
from connector.deliveries.worker import SHARE
from connector.planes import Refused
from connector.planes.handovers import NOT_FINISHED, HandoverRefused, Handovers, Span
from connector.planes.http_pull import source_of
from connector.planes.http_push import Destination, read_destination
from connector.planes.s3_push import FORMAT as S3
from connector.protocol import outbox
from connector.protocol.engine import Engine
from connector.protocol.errors import IllegalTransition, MessageInFlight
from connector.protocol.transfer import Complete, TerminateTransfer
from connector.s3.errors import StorageUnreachable
from connector.sources import Chunks, Content, Source
from connector.sources.descriptions import Sources
from connector.sources.digests import read_repr_digest, repr_digest
from connector.usage import counting as usage
from connector.usage import store as usage_store
from connector.usage.grants import GrantState
from hexi.canonical import Clock, instant, parse
from hexi.errors import DataspaceError, Unavailable
from sandbox import owners

log = structlog.get_logger("connector.data")

# How long a destination may take to connect, to take the next chunk, and to answer at the end, in seconds.
CONNECT_SECONDS = 5.0
STALL_SECONDS = 60.0
# How long a push is one process's own before it must say that it still lives, and how often it does, in seconds.
LEASE_SECONDS = 600
RENEW_SECONDS = 60.0
# Attempts without a single byte of progress before the transfer is given up: some four minutes with the back-off.
MAX_ATTEMPTS = 12
# The most that is read of a destination's answer, in bytes.
MAX_ANSWER_BYTES = 64 * 1024
# Attempts to have storage give up parts: an hour or more with the back-off.
MAX_CLEARINGS = 120
_AGAIN = frozenset({408, 409, 425, 429})


class PushRefused(DataspaceError):
    """The destination refused the data for good."""

    code = "connector.push-refused"
    status = 502
    title = "The destination refused the data"


class PushInterrupted(Unavailable):
    """The destination went away, or asks to come again later."""

    code = "connector.push-interrupted"
    title = "The data could not be sent just now"


@dataclass(frozen=True)
class Pushes:
    """Carries pushes out. `client` is httpx over the guarded network."""

    engine: Engine
    sources: Sources
    handovers: Handovers
    client: httpx.Client
    uploads: Uploads
    clock: Clock
    unsafe_allow_loopback: bool
    on_ended: OnEnded
    # One at a time leases, so that none of them overlooks what another has just leased.
    _leasing: threading.Lock = field(default_factory=threading.Lock)
    # How far resumable destinations were when they were last asked, in bytes: attempts count only without progress.
    _reached: dict[str, int] = field(default_factory=dict)

    def step(self) -> bool:
        """One attempt of one push that is due, or of clearing up behind one; False if there is neither."""
        now, holder = self.clock(), owners.this_process()
        until = instant(now + timedelta(seconds=LEASE_SECONDS))
        with self._leasing, self.engine.database.transaction() as session:
            push = store.lease_push(session, instant(now), until, holder, SHARE)
            abandoned = store.lease_abandoned(session, instant(now), until, holder) if push is None else None
        if abandoned is not None:
            self._clear(abandoned)
        if push is None:
            return abandoned is not None
        before = self._reached.get(push.transfer, 0)
        try:
            self._attempt(push)
        except HandoverRefused as error:
            self._hold_or_end(push, error)
        except (PushRefused, Refused, UploadRefused) as error:
            self._end(push, error)
        except DataspaceError as error:
            progressed = self._reached.get(push.transfer, 0) > before
            self._again(replace(push, attempts=1) if progressed else push, error)
        else:
            self._complete(push)
        return True

    def _attempt(self, push: store.Push) -> None:
        with self.engine.database.reading() as session:
            grant = usage_store.grant(session, push.transfer)
            assert grant is not None, "a push has a grant"  # noqa: S101
            source = source_of(session, grant, self.sources)
        content = source.content()  # (1)
        if grant.format == S3:
            self.uploads.send(push, content, partial(self._uploaded, push, source, content))
            with self.engine.database.transaction() as session:  # only now: a part that storage refused is sent again
                usage.finish(session, push.transfer, self.clock(), digest=content.digest)
            return
        destination = read_destination(push.destination, unsafe_allow_loopback=self.unsafe_allow_loopback)
        offset, complete = self._offset(destination, content) if destination.resumable else (0, False)  # (2)
        self._reached[push.transfer] = offset
        if not complete:
            self._send(push, destination, source, content, offset)  # (3)

    def _offset(self, destination: Destination, content: Content) -> tuple[int, bool]:
        """How much of this very content the destination has, and if that is all it wants."""
        answer = self._ask("HEAD", destination, destination.headers)
        theirs = read_repr_digest(answer.headers.get("Repr-Digest", ""))
        if not content.is_resumable or theirs is None or theirs != content.digest:
            return 0, False
        said = answer.headers.get("Upload-Offset", "0")
        offset = min(int(said), content.size or 0) if said.isdigit() else 0
        return offset, answer.headers.get("Upload-Complete") == "?1"

    def _send(self, push: store.Push, destination: Destination, source: Source, content: Content, offset: int) -> None:
        span = Span(offset, None if content.size is None else content.size - offset, content.size, content.digest)
        with self._handed_over(push, source, content, span) as chunks:
            method = "PATCH" if destination.resumable else destination.method
            self._ask(method, destination, destination.headers | _headers(content, offset, destination), chunks)

    @contextmanager
    def _uploaded(self, push: store.Push, source: Source, content: Content, offset: int) -> Iterator[Chunks]:
        """The bytes from `offset` on; that they were read does not yet finish the use, for storage may refuse them."""
        self._reached[push.transfer] = offset
        wanted = None if content.size is None else content.size - offset
        span = Span(offset, wanted, None if content.size is None else NOT_FINISHED, content.digest)
        with self._handed_over(push, source, content, span) as chunks:
            yield chunks

    @contextmanager
    def _handed_over(self, push: store.Push, source: Source, content: Content, span: Span) -> Iterator[Chunks]:
        with source.open(content, span.offset) as chunks:  # first, for what is not there is nobody's use
            admitted = self.handovers.begin(push.transfer, span)
            metered = self.handovers.metered(push.transfer, span, admitted, self._leased(push, chunks))
            try:
                yield metered
            finally:
                metered.close()

    def _leased(self, push: store.Push, chunks: Chunks) -> Iterator[bytes]:
        renewed = time.monotonic()
        for chunk in chunks:
            if time.monotonic() - renewed > RENEW_SECONDS:
                renewed = time.monotonic()
                with self.engine.database.transaction() as session:
                    until = instant(self.clock() + timedelta(seconds=LEASE_SECONDS))
                    store.renew_push(session, push.transfer, until)
            yield chunk

    def _ask(
        self, method: str, destination: Destination, headers: dict[str, str], body: Iterator[bytes] | None = None
    ) -> httpx.Response:
        try:
            with self.client.stream(method, destination.url, headers=headers, content=body) as answer:
                said = "" if answer.is_success else _said(answer)
        except httpx.HTTPError as error:
            raise PushInterrupted(f"the destination does not answer ({type(error).__name__})") from error
        if answer.is_success:
            return answer
        if answer.status_code >= 500 or answer.status_code in _AGAIN:
            raise PushInterrupted(f"the destination answered {answer.status_code}")
        raise PushRefused(f"the destination answered {answer.status_code}{said}")

    def _complete(self, push: store.Push) -> None:
        try:
            with self.engine.database.transaction() as session:  # (4)
                done = replace(_noted(session, push), state=store.JobState.DONE, upload=None, holder=None, error=None)
                store.save_push(session, done)
                self.on_ended(session, of_push(done))
                self.engine.act_transfer(session, push.transfer, Complete())
        except MessageInFlight as error:  # everything has arrived; only our word on it has to wait
            self._again(push, error)
        except IllegalTransition:
            self._close(push, store.JobState.DONE, None)

    def _hold_or_end(self, push: store.Push, error: HandoverRefused) -> None:
        """A suspension lets the push wait until it is resumed; what the terms refuse ends it."""
        with self.engine.database.reading() as session:
            grant = usage_store.grant(session, push.transfer)
        if grant is None or grant.state is GrantState.ENDED:
            self._close(replace(push, attempts=0), store.JobState.FAILED, error.detail)
        elif grant.state is GrantState.SUSPENDED:
            self._close(replace(push, attempts=0), store.JobState.WAITING, error.detail)
        else:
            self._end(push, error)

    def _again(self, push: store.Push, error: DataspaceError) -> None:
        if push.attempts >= MAX_ATTEMPTS:
            self._end(push, error)
            return
        log.info("push interrupted", transfer=push.transfer, why=error.detail, attempt=push.attempts)
        due = instant(self.clock() + outbox.backoff(push.attempts))
        with self.engine.database.transaction() as session:
            store.save_push(session, replace(_noted(session, push), due=due, holder=None, error=error.detail))

    def _end(self, push: store.Push, error: DataspaceError) -> None:
        log.info("push ended", transfer=push.transfer, why=error.detail)
        with self.engine.database.transaction() as session:
            failed = replace(_noted(session, push), state=store.JobState.FAILED, holder=None, error=error.detail)
            failed = replace(failed, attempts=0, due=instant(self.clock()))  # from now on those of clearing up
            store.save_push(session, failed)
            self.on_ended(session, of_push(failed))
            try:
                self.engine.act_transfer(session, push.transfer, TerminateTransfer(error.code, [error.detail]))
            except (IllegalTransition, MessageInFlight) as late:
                log.info("the transfer ended by itself", transfer=push.transfer, why=late.detail)

    def _close(self, push: store.Push, state: store.JobState, error: str | None) -> None:
        with self.engine.database.transaction() as session:
            due = instant(self.clock())
            closed = replace(_noted(session, push), state=state, due=due, holder=None, error=error)
            store.save_push(session, closed)
            if state is not store.JobState.WAITING:
                self.on_ended(session, of_push(closed))

    def _clear(self, push: store.Push) -> None:
        """What storage has of an upload that will not be finished is given up, until it is, or storage stays away."""
        if push.state is store.JobState.WAITING:
            ended = "the transfer ended before everything was sent"
            self._close(replace(push, attempts=0), store.JobState.FAILED, ended)
            return
        try:
            self.uploads.abort(push)
        except StorageUnreachable as error:
            if push.attempts < MAX_CLEARINGS:
                due = instant(self.clock() + outbox.backoff(push.attempts))
                with self.engine.database.transaction() as session:
                    store.save_push(session, replace(_noted(session, push), due=due, holder=None))
                return
            log.warning("parts stay in storage", transfer=push.transfer, why=error.detail)
        with self.engine.database.transaction() as session:
            store.save_push(session, replace(_noted(session, push), upload=None, holder=None))


def _noted(session: Session, push: store.Push) -> store.Push:
    """`push` with what was noted of its upload since it was leased."""
    noted = store.push(session, push.transfer, lock=True)
    return push if noted is None else replace(push, version=noted.version, upload=noted.upload)


def _headers(content: Content, offset: int, destination: Destination) -> dict[str, str]:
    headers = {"Content-Type": content.media_type}
    if content.digest is not None:
        headers["Repr-Digest"] = repr_digest(content.digest)
    if content.size is not None:
        headers["Content-Length"] = str(content.size - offset)
    if destination.resumable:
        headers["Upload-Offset"] = str(offset)
        if content.size is not None:
            headers["Upload-Length"] = str(content.size)
    return headers


def _said(answer: httpx.Response) -> str:
    """The destination's own reason, where it is a problem+json of acceptable length."""
    content = b""
    for chunk in answer.iter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            return ""
    try:
        problem = parse(content)
    except DataspaceError:
        return ""
    detail = problem.get("detail") if isinstance(problem, dict) else None
    return f": {detail[:300]}" if isinstance(detail, str) else ""
