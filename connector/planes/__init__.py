"""Data planes: the ways a transfer's data reach the consumer, one module each.

A plane is asked inside the engine's transaction and does no network there: it answers with a data address (pull), or
notes down work that a thread of its own does later (push). Before it hands anything over it asks
`connector.usage.counting.admit`, so that what the agreement says holds while the transfer runs and not only when it
starts.
"""

from typing import Protocol

from sqlmodel import Session

from connector.protocol.processes import Process
from connector.usage.grants import Grant
from hexi.canonical import Json
from hexi.errors import Malformed


class Refused(Malformed):
    """A transfer that this data plane cannot serve: the destination is missing or is none it may send to."""

    code = "connector.destination-refused"
    title = "The data cannot be sent there"


class NotDeliverable(Refused):
    """The product's data cannot be read at their source; its provider's log says why."""

    code = "connector.not-deliverable"
    title = "The data cannot be delivered now"


class DataPlane(Protocol):
    """One way of delivering, at the provider."""

    @property
    def format(self) -> str:
        """The format a transfer request names, such as ``HttpData-PULL``."""

    def start(self, session: Session, process: Process, grant: Grant) -> dict[str, Json] | None:
        """Begin to serve the transfer; the data address for its start message, None where the consumer gave one.

        The consumer's own address, where the request has one, is ``process.data_address``. Raises `Refused`.
        """

    def stop(self, session: Session, process: Process) -> None:
        """Serve it no longer: suspended or ended. Nothing is handed over after this transaction commits."""
