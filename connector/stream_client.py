"""Following a stream of server-sent events: the consumer's side.

One connection after the other, each from behind the last event that arrived, so that none is missing and none comes
twice; for as long as the transfer lasts. What the other end says is looked at beside what our own connector knows of
the transfer: a suspension is waited for, a completion is the end.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from connector.deliveries.errors import StreamEnded, StreamUnreadable
from connector.deliveries.tokens import DownloadRefused
from connector.management.answers import Transfer
from connector.management.delivery_answers import DataAccess
from connector.planes import sse
from connector.protocol.callbacks import check_callback
from connector.protocol.transfer import State
from hexi.canonical import Json, parse
from hexi.errors import DataspaceError, RemoteProblem, Unavailable

# How long the other end may take to connect, and to be silent (it says every 15 that it is there), in seconds.
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
# How long is waited before the next connection, in seconds: doubled while none brings an event, up to the cap.
PAUSE_SECONDS, PAUSE_CAP_SECONDS = 0.5, 30.0
# How often a started transfer may be refused with no event between, before the reason is passed on: the message that
# it was suspended or ended may still be on its way.
MAX_REFUSALS = 5

# What may be otherwise in a moment: a token that was replaced, a transfer that is being ended, a server that is busy.
_PERHAPS = frozenset({401, 403, 409, 429})


class Interrupted(Unavailable):
    """The connection ended, or there was none."""


@dataclass(frozen=True)
class Following:
    """`access` gives the address and a token, newer than the one told; `transfer` how the transfer stands here.

    `http` leads only where peers may lead us; `waits` is told why nothing comes just now.
    """

    access: Callable[[str | None], DataAccess]
    transfer: Callable[[], Transfer]
    http: httpx.Client
    unsafe_allow_loopback: bool
    waits: Callable[[str], None]

    def events(self, after: str | None) -> Iterator[sse.Received]:
        """The events behind the one with the id `after`, or all there are. Returns when the transfer is completed.

        Raises `StreamEnded` when it was terminated, `RemoteProblem` with the provider's reasons, `StreamUnreadable`.
        """
        refused, refusals, pause = None, 0, PAUSE_SECONDS
        while True:
            shown: DataAccess | None = None
            try:
                shown = self.access(refused)
                for event in self._read(shown, after):
                    refused, refusals, pause = None, 0, PAUSE_SECONDS
                    after = event.id or after
                    yield event
                why: DataspaceError = Interrupted("the provider ended the connection")
            except (Interrupted, RemoteProblem) as error:
                why = error
            refusals += _is_refusal(why)
            if self._is_over(why, refusals):
                return
            refused = shown.authorization if shown is not None and why.status == 401 else None
            self.waits(why.detail)
            time.sleep(pause)
            pause = min(2 * pause, PAUSE_CAP_SECONDS)

    def _read(self, access: DataAccess, after: str | None) -> Iterator[sse.Received]:
        """The events of one connection. Raises `Interrupted`, `RemoteProblem`, `StreamUnreadable`."""
        url = check_callback(access.endpoint, unsafe_allow_loopback=self.unsafe_allow_loopback)
        headers = {"Authorization": access.authorization, "Accept": sse.MEDIA_TYPE, "Accept-Encoding": "identity"}
        try:
            with self.http.stream("GET", url, headers=headers | ({"Last-Event-ID": after} if after else {})) as answer:
                if answer.status_code != 200:
                    raise RemoteProblem(answer.status_code, _problem_in(answer), "the provider")
                if not answer.headers.get("Content-Type", "").startswith(sse.MEDIA_TYPE):
                    raise StreamUnreadable("the provider answers something else than a stream of events")
                for event in sse.received(answer.iter_raw()):
                    if event.kind == sse.END:
                        problem = event.data if isinstance(event.data, dict) else {}
                        raise RemoteProblem(_status_of(problem), problem, "the provider")
                    yield event
        except httpx.HTTPError as error:
            raise Interrupted(f"the provider went away ({type(error).__name__})") from error

    def _is_over(self, why: DataspaceError, refusals: int) -> bool:
        """Whether the stream has come to its end; raises where it ended otherwise, or is refused for good."""
        transfer = self.transfer()
        if transfer.state is State.COMPLETED:
            return True
        if transfer.state is State.TERMINATED:
            reasons = "; ".join(map(str, transfer.reason)) or why.detail
            raise StreamEnded(f"the transfer was terminated: {reasons}")
        for_good = _is_refusal(why) and (why.status not in _PERHAPS or refusals >= MAX_REFUSALS)
        if for_good and transfer.state is State.STARTED:
            raise why
        return False


def _is_refusal(why: DataspaceError) -> bool:
    """Whether somebody said no, rather than nothing or that something is out of order."""
    return isinstance(why, RemoteProblem) and (why.status < 500 or why.code == DownloadRefused.code)


def _problem_in(answer: httpx.Response) -> dict[str, Json]:
    """The problem+json of an answer that is not the stream, if it has one of acceptable length."""
    content = b""
    for chunk in answer.iter_raw():
        content += chunk
        if len(content) > sse.MAX_EVENT_BYTES:
            return {}
    try:
        found = parse(content)
    except DataspaceError:
        return {}
    return found if isinstance(found, dict) else {}


def _status_of(problem: dict[str, Json]) -> int:
    status = problem.get("status")
    return status if isinstance(status, int) else 502
