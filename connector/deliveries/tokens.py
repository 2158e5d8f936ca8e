"""The tokens that we, as consumer, fetch data with: those the provider's start gave, or newer ones it renewed them by.

A refresh token counts once, and whoever shows it twice loses all (RFC 9700, section 4.14.2). So the newest tokens are
kept for everybody here who fetches under the transfer, and renewed by one at a time: who renews says so in the
database, and the others wait for what comes of it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import httpx

from connector.deliveries import store
from connector.planes.data_address import properties_of
from connector.protocol import store as protocol_store
from connector.protocol.callbacks import check_callback
from connector.protocol.deadlines import Deadline
from connector.protocol.engine import Engine
from connector.protocol.errors import CallbackRefused
from hexi.canonical import Clock, Json, instant, parse
from hexi.errors import DataspaceError, Unavailable

# The most that is read of an answer that is not the data, in bytes.
MAX_ANSWER_BYTES = 64 * 1024
# How long a provider may take for a renewal from beginning to end, in seconds, however slowly it sends.
EXCHANGE_SECONDS = 20.0
# How long a renewal is left to whoever has begun it, and how often the others look meanwhile, in seconds. It outlasts
# the exchange, or a second one would show the same refresh token.
RENEWAL_SECONDS = 30.0
LOOK_SECONDS = 0.2
_NOT_NOW = "connector.transfer-not-active"


class DownloadRefused(DataspaceError):
    """The provider refuses the data, or its address is none to call."""

    code = "connector.download-refused"
    status = 502
    title = "The provider does not hand the data over"


class DownloadInterrupted(Unavailable):
    """The provider went away, or asks to come again later."""

    code = "connector.download-interrupted"
    title = "The data did not come to their end"


class TokenRefused(DownloadInterrupted):
    """The provider does not take the token (any more)."""


@dataclass(frozen=True)
class Tokens:
    """`client` is httpx over the guarded network, whose connections keep to `deadline`; `authorise` gives a
    presentation for a participant. A renewal takes `seconds` at most."""

    engine: Engine
    client: httpx.Client
    deadline: Deadline
    authorise: Callable[[str], str]
    clock: Clock
    unsafe_allow_loopback: bool
    seconds: float = EXCHANGE_SECONDS

    def current(self, pid: str) -> dict[str, str]:
        """The properties of the data address, with the newest tokens. Raises `ProcessUnknown`."""
        with self.engine.database.reading() as session:
            given = properties_of(self.engine.transfer(session, pid).data_address)
            return _newest(store.access(session, pid), given)

    def renewed(self, pid: str, *, refused: str) -> dict[str, str]:
        """The same with newer tokens than the one whose `authorization` the provider does not take any more.

        Raises `DownloadRefused`, `DownloadInterrupted`.
        """
        until = time.monotonic() + RENEWAL_SECONDS
        while True:
            newest, ours = self._claimed(pid, refused)
            if authorization(newest) != refused:
                return newest
            if ours:
                return self._renewed(pid, newest)
            if time.monotonic() > until:
                raise DownloadInterrupted("the token is being renewed by another process of this connector")
            time.sleep(LOOK_SECONDS)

    def checked(self, address: str | None) -> str:
        """`address` if it may be called at all. Raises `DownloadRefused`."""
        try:
            return check_callback(address or "", unsafe_allow_loopback=self.unsafe_allow_loopback)
        except CallbackRefused as error:
            raise DownloadRefused(f"the provider's data address is none to call: {error.detail}") from error

    def _claimed(self, pid: str, refused: str) -> tuple[dict[str, str], bool]:
        """The newest tokens, and whether it is on us to renew them."""
        now = self.clock()
        with self.engine.database.transaction() as session:
            protocol_store.lock_process(session, pid)  # of two who ask at once, one claims it
            given = properties_of(self.engine.transfer(session, pid).data_address)
            known = store.access(session, pid)
            newest = _newest(known, given)
            theirs = known is not None and known.renewing is not None and known.renewing > instant(now)
            if authorization(newest) != refused or theirs:
                return newest, False
            until = instant(now + timedelta(seconds=RENEWAL_SECONDS))
            store.save_access(session, store.Access(pid, authorization(given), newest, until))
        return newest, True

    def _renewed(self, pid: str, old: dict[str, str]) -> dict[str, str]:
        """The answer to `old`, kept; where there is none, the next may try."""
        fresh: dict[str, str] | None = None
        try:
            fresh = self._asked(pid, old)
            return fresh
        finally:
            with self.engine.database.transaction() as session:
                known = store.access(session, pid)
                if known is not None:
                    store.save_access(session, store.Access(pid, known.given, fresh or old, None))

    def _asked(self, pid: str, old: dict[str, str]) -> dict[str, str]:
        """The refresh endpoint belongs to the data's own host, or it is not asked."""
        endpoint, refresh = old.get("refreshEndpoint"), old.get("refreshToken")
        if endpoint is None or refresh is None or not _same_host(endpoint, old.get("endpoint", "")):
            raise DownloadRefused("the provider does not take the token, and says no way to renew it")
        with self.engine.database.reading() as session:
            provider = self.engine.transfer(session, pid).counterparty
        body: Json = {"refreshToken": refresh}
        address, headers = self.checked(endpoint), {"Authorization": self.authorise(provider)}
        self.deadline.begin(self.seconds)
        try:
            with self.client.stream("POST", address, json=body, headers=headers) as answer:
                if not answer.is_success:
                    refuse(answer, final=True)
                renewed = parse(_body(answer))
        except httpx.HTTPError as error:
            raise DownloadInterrupted(f"the token cannot be renewed now ({type(error).__name__})") from error
        return properties_of(renewed if isinstance(renewed, dict) else None)


def authorization(address: dict[str, str]) -> str:
    """The value of the header ``Authorization`` that a data address asks for."""
    value = address.get("authorization", "")
    return f"Bearer {value}" if address.get("authType", "").lower() == "bearer" else value


def refuse(answer: httpx.Response, *, final: bool = False) -> None:
    """Raise what `answer`, which is not the data, means; with `final` a token refused is a refusal.

    Raises `TokenRefused`, `DownloadInterrupted`, `DownloadRefused`.
    """
    try:
        problem = parse(_body(answer))
    except DataspaceError:
        problem = None
    detail = problem.get("detail") if isinstance(problem, dict) else None
    said = f"the provider answered {answer.status_code}" + (f": {detail[:300]}" if isinstance(detail, str) else "")
    if answer.status_code == 401 and not final:
        raise TokenRefused(said)
    reasons = problem.get("reasons") if isinstance(problem, dict) else None
    not_now = isinstance(reasons, list) and any(isinstance(r, dict) and r.get("code") == _NOT_NOW for r in reasons)
    if answer.status_code >= 500 or answer.status_code in {408, 425, 429} or not_now:
        raise DownloadInterrupted(said)
    raise DownloadRefused(said)


def _newest(known: store.Access | None, given: dict[str, str]) -> dict[str, str]:
    """The tokens renewed last, unless the provider has started the transfer anew since; then those it gave."""
    return known.tokens if known is not None and known.given == authorization(given) else given


def _same_host(one: str, other: str) -> bool:
    """Whether two addresses have scheme, host and port in common; for ``grpc+tls`` the host alone, on another port."""
    ours, theirs = urlsplit(one), urlsplit(other)
    if theirs.scheme.startswith("grpc"):
        return ours.hostname == theirs.hostname
    return ours[:2] == theirs[:2]


def _body(answer: httpx.Response) -> bytes:
    content = b""
    for chunk in answer.iter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            return b""
    return content
