"""Receiving: what a provider pushes to us, and the place every delivery gets.

Where a delivery lies is decided here and by our own side, never by the peer: below the connector's home, or where the
owner asked for it. The address a provider is told carries a token of which only the digest is kept.
"""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from sqlmodel import Session

from connector.contracts.errors import RequestIdTaken
from connector.deliveries import store
from connector.deliveries.ended import OnEnded, of_arrival
from connector.deliveries.parts import Part, PlaceTaken, has_part, open_part, received
from connector.planes.data_address import destination_address
from connector.planes.http_push import RESUMABLE
from connector.planes.tokens import bearer
from connector.protocol.engine import Engine
from connector.protocol.errors import IllegalTransition, MessageInFlight
from connector.protocol.transfer import Complete, State
from connector.sources.descriptions import RECEIVED_FOLDER
from hexi.canonical import Clock, Json, digest_bytes, instant
from hexi.errors import Conflict, DataspaceError, Forbidden, NotFound, Unauthenticated

log = structlog.get_logger("connector.data")

# Where pushes arrive, below the connector's address.
DELIVERIES_PATH = "/deliveries"
_SUFFIXES = {
    "text/csv": ".csv",
    "text/plain": ".txt",
    "application/json": ".json",
    "application/pdf": ".pdf",
    "application/vnd.apache.parquet": ".parquet",
    "application/x-tar": ".tar",
    "application/zip": ".zip",
}
# A transfer that is being opened or under way takes data: EDC pushes while its start message is still on the way.
_OPEN = frozenset({State.REQUESTED, State.STARTED})


class DeliveryTokenInvalid(Unauthenticated):
    """A push that shows no token of an open delivery."""

    code = "connector.delivery-token-invalid"


class DeliveryClosed(Forbidden):
    """The transfer takes no data now: it is suspended, over, or everything has arrived."""

    code = "connector.delivery-closed"


class OffsetConflict(Conflict):
    """A part that does not begin where what is there ends; `offset` says where that is."""

    code = "connector.offset-conflict"


class DeliveryUnknown(NotFound):
    """Nothing is or was to arrive under this transfer."""

    code = "connector.delivery-unknown"


@dataclass(frozen=True)
class Upload:
    """What a pushing provider says about a body it sends. `offset` None: all of it, from the beginning."""

    media_type: str = ""
    offset: int | None = None
    size: int | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Receiving:
    """The consumer's place for deliveries. `home` is the connector's folder, `url` its public address."""

    engine: Engine
    home: Path
    url: str
    clock: Clock
    on_ended: OnEnded

    def invite(self) -> tuple[dict[str, Json], str]:
        """A data address for a push, and the digest of the token in it."""
        token = secrets.token_urlsafe(32)
        place = {"baseUrl": self.url + DELIVERIES_PATH, "method": "POST", RESUMABLE: "true"}
        shown = {"authKey": "Authorization", "authCode": f"Bearer {token}"}
        return destination_address(place | shown), digest_bytes(token.encode())

    def expect(
        self, session: Session, pid: str, way: store.Way, target: Path | None, token_digest: str | None = None
    ) -> store.Arrival:
        """Expect a delivery under the transfer `pid`. The same again changes nothing, unless it had failed.

        Raises `PlaceTaken`, `RequestIdTaken` where it is to lie elsewhere already.
        """
        now, wanted = instant(self.clock()), None if target is None else str(target)
        known = store.arrival(session, pid, lock=True)
        if target is not None and (known is None or known.target != wanted):
            if not target.is_absolute() or target.exists() or not target.parent.is_dir():
                raise PlaceTaken("give an absolute path to a file that does not exist yet, in a folder that does")
            if known is None and has_part(target):
                raise PlaceTaken(f"{target.name}.part lies there, where the delivery would be written meanwhile")
            if known is not None:
                raise RequestIdTaken("this transfer is delivered to another place already")
        if known is None:
            known = store.Arrival(pid, way, now, now, target=wanted, token_digest=token_digest, due=now)
        elif known.state is store.JobState.FAILED:
            known = replace(known, state=store.JobState.WAITING, attempts=0, due=now, error=None, updated=now)
        store.save_arrival(session, known)
        return known

    def pushed(self, authorization: str | None) -> store.Arrival:
        """The arrival that a token opens. Raises `DeliveryTokenInvalid`, `DeliveryClosed`."""
        with self.engine.database.reading() as session:
            arrival = store.arrival_of_token(session, digest_bytes(bearer(authorization).encode()))
        if arrival is None:
            raise DeliveryTokenInvalid("show the authCode of the data address")
        with self.engine.database.reading() as session:
            state = self.engine.transfer(session, arrival.transfer).state
        if state not in _OPEN:
            raise DeliveryClosed(f"the transfer is {state}")
        return arrival

    def check_running(self, pid: str) -> None:
        """Raise `DeliveryClosed` if what is coming is to come no longer. A provider may say that it is done while the
        last of it is still on its way."""
        with self.engine.database.reading() as session:
            state = self.engine.transfer(session, pid).state
        if state in {State.SUSPENDED, State.TERMINATED}:
            raise DeliveryClosed(f"the transfer is {state}")

    def standing(self, arrival: store.Arrival) -> int:
        """How many bytes are here, durably."""
        if arrival.state is store.JobState.DONE:
            return arrival.size or 0
        if self.adopt(arrival):
            return Path(arrival.path or "").stat().st_size
        with self.opened(arrival) as part:
            part.take_up()
            return part.size

    @contextmanager
    def opened(self, arrival: store.Arrival) -> Iterator[Part]:
        """The part file of `arrival`, noted as ours before anything is written. Raises what `open_part` raises."""
        with open_part(self.part_place(arrival), arrival.part) as part:
            if arrival.part != part.inode:
                with self.engine.database.transaction() as session:
                    known = store.arrival(session, arrival.transfer, lock=True) or arrival
                    store.save_arrival(session, replace(known, part=part.inode))
            yield part

    @contextmanager
    def taking(self, arrival: store.Arrival, upload: Upload) -> Iterator[Part]:
        """The part file for `upload`, positioned where it begins. Raises `OffsetConflict`, `DeliveryClosed`, and what
        `open_part` raises."""
        arrival = self._announced(arrival, upload)
        with self.opened(arrival) as part:
            if upload.offset:
                part.take_up()
                if part.size != upload.offset:
                    raise OffsetConflict(f"{part.size} bytes are here; go on from there", offset=part.size)
            else:
                part.restart()
            part.make_room(0 if upload.size is None else upload.size - part.size)
            yield part

    def _announced(self, arrival: store.Arrival, upload: Upload) -> store.Arrival:
        """`arrival` with what `upload` says of the whole; the rest of another whole is refused."""
        with self.engine.database.transaction() as session:
            known = store.arrival(session, arrival.transfer, lock=True) or arrival
            if known.state is store.JobState.DONE:
                raise DeliveryClosed("everything has arrived already")
            if upload.offset and known.digest != upload.digest:
                raise OffsetConflict("what is here belongs to other content; begin anew", offset=0)
            known = replace(known, size=upload.size, digest=upload.digest, error=None, updated=self._now())
            store.save_arrival(session, known)
        return known

    def finish(self, arrival: store.Arrival, part: Part, announced: str | None, media_type: str) -> None:
        """Everything is here: check it, and give it its name. Raises `DigestMismatch`, which is noted as well."""
        final = part.path
        if arrival.target is None:
            kind = media_type.partition(";")[0].strip().lower()
            final = final.with_suffix(_SUFFIXES.get(kind, ""))
        with self.engine.database.transaction() as session:  # so that a crash from here on is understood
            known = store.arrival(session, arrival.transfer, lock=True) or arrival
            store.save_arrival(session, replace(known, path=str(final)))
        try:
            found = part.finish(final, announced)
        except DataspaceError as error:
            self.fail(arrival.transfer, error.detail)
            raise
        self._done(arrival.transfer, part.size, found)

    def adopt(self, arrival: store.Arrival) -> bool:
        """Whether the delivery got its name before a crash, and only nobody noted it; it is noted then."""
        if arrival.path is None or not (path := Path(arrival.path)).is_file():
            return False
        with path.open("rb") as file:
            found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        if arrival.digest not in {None, found}:
            return False
        self._done(arrival.transfer, path.stat().st_size, found)
        return True

    def _done(self, pid: str, size: int, found: str) -> None:
        """Note that it is here; who fetched it also tells the provider, in the same transaction."""
        with self.engine.database.transaction() as session:
            known = store.arrival(session, pid, lock=True)
            assert known is not None, "arrivals are never deleted"  # noqa: S101
            done = replace(known, state=store.JobState.DONE, size=size, digest=found, holder=None, error=None)
            store.save_arrival(session, replace(done, due=self._now(), updated=self._now()))
            if known.state is not store.JobState.DONE:
                self.on_ended(session, of_arrival(done))
            if known.way is store.Way.PULL:
                try:
                    self.engine.act_transfer(session, pid, Complete())
                except (IllegalTransition, MessageInFlight) as late:  # it ended at the same moment; the data are here
                    log.info("no completion was sent", transfer=pid, why=late.detail)

    def fail(self, pid: str, reason: str) -> None:
        """Note why the delivery did not come."""
        with self.engine.database.transaction() as session:
            if (known := store.arrival(session, pid, lock=True)) is not None:
                failed = replace(known, state=store.JobState.FAILED, error=reason, holder=None, updated=self._now())
                store.save_arrival(session, replace(failed, due=self._now()))
                if known.state is not store.JobState.FAILED:
                    self.on_ended(session, of_arrival(failed))

    def place(self, arrival: store.Arrival) -> Path:
        """Where it lies, or will lie."""
        if arrival.path is not None and arrival.state is store.JobState.DONE:
            return Path(arrival.path)
        return self.part_place(arrival)

    def part_place(self, arrival: store.Arrival) -> Path:
        """Where it will lie, but for the ending of a name that we give; its part file lies beside that."""
        if arrival.target is not None:
            return Path(arrival.target)
        return (self.home / RECEIVED_FOLDER / arrival.transfer.removeprefix("urn:uuid:") / "data").absolute()

    def view(self, pid: str) -> dict[str, Json]:
        """Where the delivery under a transfer stands, for its owner. Raises `DeliveryUnknown`, `ProcessUnknown`."""
        with self.engine.database.reading() as session:
            process = self.engine.transfer(session, pid)
            arrival = store.arrival(session, pid)
        if arrival is None:
            raise DeliveryUnknown("nothing is to arrive under this transfer; ask with: hexi connector data fetch")
        place = self.place(arrival)
        return {
            "transfer": pid,
            "way": arrival.way,
            "state": arrival.state,
            "transferState": process.state,
            "underWay": arrival.holder is not None,
            "bytes": received(place),
            "size": arrival.size,
            "digest": arrival.digest,
            "path": str(place),
            "attempts": arrival.attempts,
            "error": arrival.error,
            "reason": list(process.reason),
            "updated": arrival.updated,
        }

    def _now(self) -> str:
        return instant(self.clock())
