"""Jobs followed at their providers: what happens to them, as it happens.

A provider's stream may last for hours, so it must not be able to hold more of ours than it is meant to: how long it may
take for a line, how long a line may be, and how much it may say in all are limited (`hexi.client`), and until its first
line a deadline holds, however slowly it speaks.
"""

from collections.abc import Callable, Generator
from contextlib import closing

import httpx

from connector.protocol.callbacks import peer_transport
from connector.protocol.deadlines import Deadline
from hexi.client import LINE_SECONDS
from sandbox.client import SandboxClient
from sandbox.messages import JobEvent

Followed = Generator[JobEvent | None, None, None]


class Following:
    """Reads providers' streams of events. `authorise` gives a fresh ``Authorization`` value for a provider."""

    def __init__(
        self,
        authorise: Callable[[str], str],
        *,
        unsafe_allow_loopback: bool,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._authorise = authorise
        self._deadline = Deadline()
        self._transport = transport or peer_transport(
            unsafe_allow_loopback=unsafe_allow_loopback, through=self._deadline.over
        )

    def events(self, provider: str, service: str, run: str, after: int) -> Followed:
        """What happens to `run` after event number `after`, until it ends; None is a sign of life, and the first.

        It may be read on from another thread each time. Raises `RemoteProblem`, `Unreachable`.
        """
        sandbox = SandboxClient(service, self._transport, authorise=lambda: self._authorise(provider))
        with closing(sandbox.follow(run, after)) as told:
            while True:
                # Of the thread that reads on now: what a provider says between two events must fit into it too.
                self._deadline.begin(LINE_SECONDS)
                try:
                    event = next(told)
                except StopIteration:
                    return
                yield event
