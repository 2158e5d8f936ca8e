"""HttpApi-PULL: a provider's HTTP API behind the contract. The consumer calls it here, with the token of the transfer.

What is decided stands in `connector.planes.api_rules`, what goes over the network in `connector.api.calls`; here a call
is let in, counted and written down. One call is one use; the bytes of its answer are its volume.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlmodel import Session

from connector.planes import NotDeliverable, call_store
from connector.planes.access import Access
from connector.planes.api_rules import request_headers, target
from connector.planes.call_store import Call
from connector.planes.handovers import Handovers
from connector.planes.offered import kept_here, resource_of
from connector.protocol.processes import Process
from connector.sources import SourceUnavailable
from connector.sources.descriptions import Sources
from connector.sources.services import ApiDescription
from connector.usage.grants import Grant, Use
from hexi.canonical import Clock, Json, instant
from hexi.database import Database

FORMAT = "HttpApi-PULL"


@dataclass(frozen=True)
class CallAsked:
    """A call as it came in. `raw_path` is what followed the endpoint, as it stood on the wire."""

    transfer: str
    token: str | None = field(repr=False)
    method: str
    raw_path: str
    query: str
    headers: Sequence[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)
    # The IP address it came from.
    network: str | None = None


@dataclass(frozen=True)
class CallEntered:
    """A call that was let in, and is made once it is admitted: `url`, `headers` and `body` go to the provider's API."""

    call: Call
    description: ApiDescription
    url: str
    headers: Sequence[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)
    network: str | None

    @property
    def method(self) -> str:
        """The method of the request."""
        return self.call.operation.partition(" ")[0]


@dataclass(frozen=True)
class ApiPlane:
    """Implements `connector.planes.DataPlane`."""

    database: Database
    sources: Sources
    handovers: Handovers
    access: Access
    clock: Clock

    @property
    def format(self) -> str:
        return FORMAT

    def start(self, session: Session, process: Process, grant: Grant) -> dict[str, Json]:
        """The address to call, and fresh tokens."""
        try:
            self._described(session, grant)
        except SourceUnavailable as error:
            raise NotDeliverable(error.detail) from error
        return self.access.give(session, process, grant)

    def stop(self, session: Session, process: Process) -> None:
        """Nothing: every call asks the grant, before it begins and while its answer runs."""

    def enter(self, asked: CallAsked) -> CallEntered:
        """Let a call in. Raises `DataTokenInvalid`, `HandoverRefused`, `CallRefused`, `SourceUnavailable`."""
        grant = self.access.enter(asked.transfer, asked.token, FORMAT)
        with self.database.reading() as session:
            description, secret = self._described(session, grant)
        aim = target(description, asked.method, asked.raw_path, asked.query)
        headers = request_headers(description, asked.headers, secret)
        begun = instant(self.clock())
        call = Call(f"urn:uuid:{uuid.uuid4()}", asked.transfer, aim.operation, begun, request_bytes=len(asked.body))
        return CallEntered(call, description, aim.url, headers, asked.body, asked.network)

    def admit(self, entered: CallEntered) -> None:
        """Count a call that is made now, and write it down. Raises `HandoverRefused`."""
        call, use = entered.call, Use(count=1, network=entered.network, unfinished=True)
        self.handovers.admit(call.transfer, use, lambda session: call_store.add_call(session, call))

    def admit_answer(self, entered: CallEntered, volume: int) -> None:
        """Admit bytes of an answer. Raises `HandoverRefused`."""
        self.handovers.admit(entered.call.transfer, Use(volume=volume, network=entered.network))

    def end(self, call: Call, status: int, sent: int, unsent: int, milliseconds: int) -> None:
        """Write down what came of a call, and take back what was admitted and not sent."""

        def written(session: Session) -> None:
            call_store.end_call(session, call.id, status, sent, milliseconds)

        self.handovers.finish(call.transfer, unsent, written)

    def _described(self, session: Session, grant: Grant) -> tuple[ApiDescription, dict[str, str]]:
        """The API that a grant delivers, and the header that only its provider knows."""
        resource = resource_of(session, grant)
        with kept_here(resource):
            return self.sources.api(resource.source)
