"""Downloads: what a provider lets us fetch, fetched by threads of their own and resumed where they were interrupted.

The steps of one attempt: (1) what is here already is read again, for its digest; (2) the rest is asked for, on the
condition that it is the rest of the same; (3) it is written while it comes; (4) the whole is checked against the digest
announced; (5) the completion is sent in the transaction that closes the download. A token that has expired is renewed
once an attempt. What is refused for good is noted with the provider's reason; anything else is tried again.
"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import httpx
import structlog

from connector.deliveries import store
from connector.deliveries.parts import Part
from connector.deliveries.receiving import DeliveryClosed, Receiving
from connector.deliveries.tokens import DownloadInterrupted, TokenRefused, Tokens, authorization, refuse
from connector.deliveries.worker import SHARE
from connector.protocol import outbox
from connector.protocol.deadlines import Deadline
from connector.protocol.engine import Engine
from connector.sources import CHUNK_BYTES
from connector.sources.digests import read_repr_digest
from hexi.canonical import Clock, instant
from hexi.errors import DataspaceError, Unavailable
from sandbox import owners

log = structlog.get_logger("connector.data")

# How long a download is one process's own before it must say that it still lives, and how often it does, in seconds.
LEASE_SECONDS = 600
RENEW_SECONDS = 60.0
# How often it is asked, while data come, if our own side still wants them, in seconds.
LOOK_SECONDS = 1.0
# What has to come in every window of so many seconds, in bytes, beginning with the connection: 1 KiB a second,
# a third of what a telephone modem brings. Who sends less holds a thread for nothing, and is asked again later.
WINDOW_SECONDS = 60.0
LEAST_WINDOW_BYTES = 60 * 1024
# Attempts in a row that brought less than that before the download is given up: some four minutes of back-off, and at
# the worst a window for each.
MAX_ATTEMPTS = 12
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")


@dataclass(frozen=True)
class _Whole:
    """What an answer says about the whole."""

    size: int | None
    digest: str | None
    version: str | None
    media_type: str


@dataclass
class _Rate:
    """Bytes a second since an attempt began; durations come from a clock that is never set."""

    begun: float = field(default_factory=time.monotonic)
    received: int = 0

    def per_second(self) -> float:
        return self.received / max(time.monotonic() - self.begun, 0.001)


@dataclass(frozen=True)
class Downloads:
    """Fetches. `client` is httpx over the guarded network, whose connections keep to `deadline`; the limits are the
    constants, but in tests."""

    engine: Engine
    receiving: Receiving
    tokens: Tokens
    client: httpx.Client
    deadline: Deadline
    clock: Clock
    window_seconds: float = WINDOW_SECONDS
    least_window_bytes: int = LEAST_WINDOW_BYTES
    # One at a time leases, so that none of them overlooks what another has just leased.
    _leasing: threading.Lock = field(default_factory=threading.Lock)
    _rates: dict[str, _Rate] = field(default_factory=dict)

    def step(self) -> bool:
        """One attempt of one download that is due; False if there is none."""
        now = self.clock()
        with self._leasing, self.engine.database.transaction() as session:
            until = instant(now + timedelta(seconds=LEASE_SECONDS))
            arrival = store.lease_download(session, instant(now), until, owners.this_process(), SHARE)
        if arrival is None:
            return False
        rate = self._rates[arrival.transfer] = _Rate()
        try:
            self._attempt(arrival, rate)
        except (DownloadInterrupted, Unavailable, DeliveryClosed) as error:
            progressed = rate.received >= self.least_window_bytes
            self._again(replace(arrival, attempts=1) if progressed else arrival, error)
        except DataspaceError as error:
            self.receiving.fail(arrival.transfer, error.detail)
        finally:
            self._rates.pop(arrival.transfer, None)
        return True

    def rate(self, pid: str) -> float | None:
        """Bytes a second of a download under way in this process."""
        found = self._rates.get(pid)
        return None if found is None else found.per_second()

    def _attempt(self, arrival: store.Arrival, rate: _Rate) -> None:
        if self.receiving.adopt(arrival):
            return
        with self.receiving.opened(arrival) as part:
            part.take_up()  # (1)
            address = self.tokens.current(arrival.transfer)
            try:
                whole = self._fetch(arrival, address, part, rate)
            except TokenRefused:
                address = self.tokens.renewed(arrival.transfer, refused=authorization(address))
                whole = self._fetch(arrival, address, part, rate)
            self.receiving.finish(arrival, part, whole.digest, whole.media_type)  # (4) (5)

    def _fetch(self, arrival: store.Arrival, address: dict[str, str], part: Part, rate: _Rate) -> _Whole:
        with self._asked(arrival, address, part) as answer:  # (2)
            if answer.status_code == 416 and arrival.size == part.size:
                return _Whole(part.size, arrival.digest, arrival.version, "")
            whole, offset = _whole(answer)
            if offset != part.size:
                part.restart()
            part.make_room(0 if whole.size is None else whole.size - part.size)
            self._note(arrival.transfer, whole)
            for chunk in self._wanted(arrival.transfer, _gathered(answer)):  # (3)
                part.write(chunk)
                rate.received += len(chunk)
        if whole.size is not None and part.size != whole.size:
            raise DownloadInterrupted(f"{part.size} of {whole.size} bytes came")
        return whole

    @contextmanager
    def _asked(self, arrival: store.Arrival, address: dict[str, str], part: Part) -> Iterator[httpx.Response]:
        headers = {"Authorization": authorization(address), "Accept-Encoding": "identity"}
        if part.size and arrival.version:
            headers |= {"Range": f"bytes={part.size}-", "If-Range": arrival.version}
        endpoint = self.tokens.checked(address.get("endpoint"))
        self.deadline.begin(self.window_seconds, least=self.least_window_bytes)
        try:
            with self.client.stream("GET", endpoint, headers=headers) as answer:
                if answer.status_code not in {200, 206, 416}:
                    refuse(answer)
                yield answer
        except httpx.HTTPError as error:
            if self.deadline.is_over:
                least = f"{self.least_window_bytes} bytes in {self.window_seconds:g} s"
                raise DownloadInterrupted(f"the provider's data plane sent less than {least}") from error
            raise DownloadInterrupted(f"the provider's data plane went away ({type(error).__name__})") from error

    def _note(self, pid: str, whole: _Whole) -> None:
        with self.engine.database.transaction() as session:
            if (known := store.arrival(session, pid, lock=True)) is not None:
                noted = replace(known, size=whole.size, digest=whole.digest, version=whole.version)
                store.save_arrival(session, replace(noted, updated=instant(self.clock())))

    def _wanted(self, pid: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """`chunks`, while the transfer goes on at our end; the lease is kept meanwhile."""
        looked = renewed = time.monotonic()
        for chunk in chunks:
            now = time.monotonic()
            if now - looked > LOOK_SECONDS:
                looked = now
                self.receiving.check_running(pid)
            if now - renewed > RENEW_SECONDS:
                renewed = now
                with self.engine.database.transaction() as session:
                    until = instant(self.clock() + timedelta(seconds=LEASE_SECONDS))
                    store.renew_download(session, pid, until)
            yield chunk

    def _again(self, arrival: store.Arrival, error: DataspaceError) -> None:
        if arrival.attempts >= MAX_ATTEMPTS:
            self.receiving.fail(arrival.transfer, error.detail)
            return
        log.info("download interrupted", transfer=arrival.transfer, why=error.detail, attempt=arrival.attempts)
        with self.engine.database.transaction() as session:
            if (known := store.arrival(session, arrival.transfer, lock=True)) is not None:
                now = self.clock()
                due = instant(now + outbox.backoff(arrival.attempts))
                known = replace(known, due=due, holder=None, attempts=arrival.attempts, error=error.detail)
                store.save_arrival(session, replace(known, updated=instant(now)))


def _gathered(answer: httpx.Response) -> Iterator[bytes]:
    """The body in pieces worth writing; what has come is given out also where the rest does not."""
    pieces, broken = bytearray(), None
    try:
        for piece in answer.iter_raw():
            pieces += piece
            if len(pieces) >= CHUNK_BYTES:
                yield bytes(pieces)
                pieces.clear()
    except httpx.HTTPError as error:
        broken = error
    if pieces:
        yield bytes(pieces)
    if broken is not None:
        raise broken


def _whole(answer: httpx.Response) -> tuple[_Whole, int]:
    """What the answer says about the whole, and where it begins."""
    headers = answer.headers
    if answer.status_code == 206:
        found = _RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is None:
            raise DownloadInterrupted("the provider answered with a range that cannot be read")
        offset = int(found[1])
        size: int | None = int(found[2])
    else:
        said = headers.get("Content-Length", "")
        offset, size = 0, int(said) if said.isdigit() else None
    tag = headers.get("ETag", "")
    version = tag if tag.startswith('"') and headers.get("Accept-Ranges") == "bytes" else None
    digest = read_repr_digest(headers.get("Repr-Digest", ""))
    return _Whole(size, digest, version, headers.get("Content-Type", "")), offset
