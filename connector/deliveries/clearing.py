"""Clearing up: the part file of a delivery goes once it has ended for good, whichever process was running then.

It stays as long as the transfer may go on or be resumed, and while a FAILED delivery may be asked for again. What is to
be cleared is found in the database, so what ended while we were down is found at the start like everything else.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from connector.deliveries import store
from connector.deliveries.parts import DeliveryBusy, remove_part
from connector.deliveries.receiving import Receiving
from hexi.canonical import Clock, instant
from hexi.database import Database

# When it is looked again for a part that is still written as its transfer ends, in seconds.
AGAIN_SECONDS = 60.0


@dataclass(frozen=True)
class Clearing:
    """Removes part files that nobody will go on with."""

    database: Database
    receiving: Receiving
    clock: Clock

    def step(self) -> bool:
        """Clear up after one delivery; False if there is none to clear up after."""
        now = self.clock()
        with self.database.reading() as session:  # an idle pass must not take SQLite's only write lock
            if store.left_part(session, instant(now)) is None:
                return False
        with self.database.transaction() as session:
            arrival = store.left_part(session, instant(now), lock=True)
            if arrival is None or arrival.part is None:
                return False
            try:
                self._remove(arrival, arrival.part)
                cleared = replace(arrival, part=None)
            except DeliveryBusy:
                cleared = replace(arrival, due=instant(now + timedelta(seconds=AGAIN_SECONDS)))
            store.save_arrival(session, cleared)
        return True

    def _remove(self, arrival: store.Arrival, inode: str) -> None:
        place = self.receiving.part_place(arrival)
        remove_part(place, inode)
        if arrival.target is None:
            with suppress(OSError):  # the folder is ours; it stays unless it is empty
                place.parent.rmdir()
