"""AmazonS3-PUSH: the provider writes one object into the storage that the consumer names in its request.

The data address is that of Eclipse EDC: type ``AmazonS3``, and properties as `connector.s3.location` reads them. The
endpoint was chosen by somebody else, so it passes the guard that callbacks pass (`connector.protocol.callbacks`).
"""

from dataclasses import dataclass

from sqlmodel import Session

from connector.deliveries import store
from connector.planes import NotDeliverable, Refused
from connector.planes.data_address import properties_of
from connector.planes.http_pull import source_of
from connector.protocol.callbacks import check_callback
from connector.protocol.errors import CallbackRefused
from connector.protocol.processes import Process
from connector.s3.errors import LocationInvalid
from connector.s3.location import Location, read_location
from connector.s3.signing import Credentials
from connector.sources import SourceUnavailable
from connector.sources.descriptions import Sources
from connector.usage.grants import Grant
from hexi.canonical import Clock, instant

FORMAT = "AmazonS3-PUSH"
# What an object is called whose name the consumer left open, until the source says its own.
_UNNAMED = "data"


@dataclass(frozen=True)
class S3PushPlane:
    """Implements `connector.planes.DataPlane`; `connector.deliveries.uploads` carries the uploads out."""

    sources: Sources
    clock: Clock
    unsafe_allow_loopback: bool

    @property
    def format(self) -> str:
        return FORMAT

    def start(self, session: Session, process: Process, grant: Grant) -> None:
        """Note the upload. It begins once the consumer knows that the transfer has started."""
        told = properties_of(process.data_address)
        read_storage(told, unsafe_allow_loopback=self.unsafe_allow_loopback)
        try:
            source_of(session, grant, self.sources)
        except SourceUnavailable as error:
            raise NotDeliverable(error.detail) from error
        if store.push(session, process.pid) is None:
            store.save_push(session, store.Push(process.pid, told, due=instant(self.clock())))

    def stop(self, session: Session, process: Process) -> None:
        """Nothing: an upload goes on only while the grant is active, and waits while it is suspended."""


def read_storage(
    told: dict[str, str], name: str = _UNNAMED, *, unsafe_allow_loopback: bool
) -> tuple[Location, Credentials]:
    """The object in a data address, called `name` where that leaves it open, and the key to it. Raises `Refused`."""
    try:
        location, credentials = read_location(told, name)
        check_callback(location.url, unsafe_allow_loopback=unsafe_allow_loopback)
    except (LocationInvalid, CallbackRefused) as error:
        raise Refused(f"data are not written there: {error.detail}") from error
    return location, credentials
