"""Access to what consumers come and fetch: one kind of token for every pull, whatever stands behind it.

A start gives out tokens, a renewal replaces them, and each request is let in by one. The serial that counts is kept
with the transfer's handover; whether the transfer is served at all is asked of its grant.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlmodel import Session

from connector.deliveries import store
from connector.planes.data_address import HTTP, data_address
from connector.planes.handovers import Handovers
from connector.planes.tokens import (
    ACCESS_SECONDS,
    ACCESS_TYPE,
    REFRESH_TYPE,
    DataToken,
    DataTokenInvalid,
    bearer,
    open_token,
    seal_token,
)
from connector.protocol.processes import Process
from connector.usage.grants import Grant
from hexi.canonical import Clock, Json
from hexi.database import Database
from registry.identity import Identity

# Where data are fetched, below the connector's address.
DATA_PATH = "/data"


@dataclass(frozen=True)
class Place:
    """Where a format's data are fetched: the address and the type of endpoint.

    ``{transfer}`` in `endpoint` stands for the transfer.
    """

    endpoint: str
    endpoint_type: str = HTTP

    def of(self, transfer: str) -> str:
        """The address for one transfer."""
        return self.endpoint.replace("{transfer}", transfer)


@dataclass(frozen=True)
class Access:
    """Gives out tokens and lets in by them. `url` is the connector's public address, `places` stand by format."""

    database: Database
    identity: Identity
    handovers: Handovers
    url: str
    clock: Clock
    places: Mapping[str, Place]

    def give(self, session: Session, process: Process, grant: Grant) -> dict[str, Json]:
        """A data address with fresh tokens. Those of an earlier start count no more."""
        found = store.handover(session, process.pid, lock=True)
        store.save_handover(session, replace(found, serial=found.serial + 1, serial_shown=True))
        return self._address(DataToken(process.pid, process.counterparty, found.serial + 1), grant.format)

    def renew(self, transfer: str, caller: str, refresh: str) -> dict[str, Json]:
        """A data address with new tokens, for the consumer itself. Raises `DataTokenInvalid`, `HandoverRefused`.

        Each refresh token counts once; where the answer was lost it counts again, as long as nobody has shown a token
        of the answer. One that was used up shows that somebody else has it: then none counts any more.
        """
        token = open_token(refresh, REFRESH_TYPE, transfer, self.identity, self.clock())
        if token.holder != caller:
            raise DataTokenInvalid("this token is for another participant")
        grant = self.handovers.check(transfer)
        with self.database.transaction() as session:
            found = store.handover(session, transfer, lock=True)
            lost = token.serial == found.serial - 1 and not found.serial_shown
            used_up = token.serial != found.serial and not lost
            serial = found.serial if lost else found.serial + 1
            store.save_handover(session, replace(found, serial=serial, serial_shown=used_up))
        if used_up:
            raise DataTokenInvalid("this refresh token was used before; no token counts now, ask for a new transfer")
        return self._address(replace(token, serial=serial), grant.format)

    def enter(self, transfer: str, shown: str | None, format_: str) -> Grant:
        """The grant of the transfer, once an ``Authorization`` value opens it. Raises `DataTokenInvalid`,
        `HandoverRefused`.

        (1) The token holds, for this transfer, now. (2) Its serial counts. (3) The transfer is served. (4) In this
        format: who may fetch a file may not therefore call an API.
        """
        self._count(open_token(bearer(shown), ACCESS_TYPE, transfer, self.identity, self.clock()))  # (1) (2)
        grant = self.handovers.check(transfer)  # (3)
        if grant.format != format_:  # (4)
            raise DataTokenInvalid(f"this token is for {grant.format}, not for {format_}")
        return grant

    def _count(self, token: DataToken) -> None:
        with self.database.reading() as session:
            found = store.handover(session, token.transfer)
        older = token.serial == found.serial - 1 and not found.serial_shown
        if token.serial != found.serial and not older:
            raise DataTokenInvalid("this token was replaced by a newer one")
        if token.serial == found.serial and not found.serial_shown:
            with self.database.transaction() as session:
                found = store.handover(session, token.transfer, lock=True)
                store.save_handover(session, replace(found, serial_shown=found.serial == token.serial))

    def _address(self, token: DataToken, format_: str) -> dict[str, Json]:
        now, place = self.clock(), self.places[format_]
        endpoint = place.of(token.transfer)
        properties = {
            "endpoint": endpoint,
            "authType": "bearer",
            "authorization": seal_token(token, ACCESS_TYPE, self.identity, now),
            "expiresIn": str(ACCESS_SECONDS),
            "refreshEndpoint": f"{self.url}{DATA_PATH}/{token.transfer}/token",
            "refreshToken": seal_token(token, REFRESH_TYPE, self.identity, now),
        }
        return data_address(place.endpoint_type, endpoint, properties)
