"""Pushes: the provider sends to the place that the consumer names in its request, whatever kind of place that is.

A kind says how its places are read and refused (`http_push`, `s3_push`); `connector.deliveries` carries the pushes out.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlmodel import Session

from connector.deliveries import store
from connector.planes import NotDeliverable
from connector.planes.data_address import properties_of
from connector.planes.http_pull import source_of
from connector.protocol.processes import Process
from connector.sources import SourceUnavailable
from connector.sources.descriptions import Sources
from connector.usage.grants import Grant
from hexi.canonical import Clock, instant

# Reads the properties of a data address, and raises `Refused` for a place that is not sent to.
CheckPlace = Callable[[dict[str, str]], object]


@dataclass(frozen=True)
class PushPlane:
    """Implements `connector.planes.DataPlane` for one format."""

    format: str
    check: CheckPlace
    sources: Sources
    clock: Clock

    def start(self, session: Session, process: Process, grant: Grant) -> None:
        """Note the push. It begins once the consumer knows that the transfer has started."""
        told = properties_of(process.data_address)
        self.check(told)
        try:
            source_of(session, grant, self.sources)
        except SourceUnavailable as error:
            raise NotDeliverable(error.detail) from error
        if store.push(session, process.pid) is None:
            store.save_push(session, store.Push(process.pid, told, due=instant(self.clock())))

    def stop(self, session: Session, process: Process) -> None:
        """Nothing: a push goes on only while the grant is active, and waits while it is suspended."""
