"""Reading what is no file: streams and tables, over the management API of the connector whose transfer it is.

The connector says where and with what token; the data come from the provider straight to whoever calls here.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx

from connector.management.answers import Transfer
from connector.management.delivery_answers import DataAccess
from connector.planes.sse import Received
from hexi.client import ServiceClient

if TYPE_CHECKING:
    from connector.planes.table_client import Fetched, FlightAddress


class DataClient:
    """Take it from `connector.client.ConnectorClient.data`.

    The provider says where to read, so only public addresses over TLS are called, unless `unsafe_allow_loopback`. All
    methods raise `RemoteProblem` with the provider's reasons, `Unreachable`, `CallbackRefused`.
    """

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def access(self, transfer: str, *, refused: str | None = None) -> DataAccess:
        """Where the data of a started transfer are, and the token; newer than `refused`, which the provider refused."""
        path = f"/transfers/{quote(transfer, safe='')}/access"
        return self._service.read(DataAccess, self._service.post(path, {"refused": refused}))

    def events(
        self,
        transfer: str,
        after: str | None = None,
        *,
        unsafe_allow_loopback: bool = False,
        waits: Callable[[str], None] = lambda _: None,
    ) -> Iterator[Received]:
        """The events of a stream behind the one with the id `after`, or from the oldest there is.

        It connects again where it was interrupted, waits while the transfer is suspended, and returns when it is
        completed. `waits` is told why nothing comes just now. Raises `StreamEnded` when it was terminated.
        """
        from connector.protocol.callbacks import peer_transport
        from connector.stream_client import CONNECT_SECONDS, SILENCE_SECONDS, Following

        path = f"/transfers/{quote(transfer, safe='')}"
        with httpx.Client(
            transport=peer_transport(unsafe_allow_loopback=unsafe_allow_loopback),
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,
        ) as http:
            following = Following(
                lambda refused: self.access(transfer, refused=refused),
                lambda: self._service.read(Transfer, self._service.get(path)),
                http,
                unsafe_allow_loopback,
                waits,
            )
            yield from following.events(after)

    def tables(self, transfer: str, *, unsafe_allow_loopback: bool = False) -> list[str]:
        """The names of the tables that a transfer delivers."""
        from connector.planes.table_client import list_tables

        return list_tables(self._address(transfer), unsafe_allow_loopback=unsafe_allow_loopback)

    def table(
        self,
        transfer: str,
        table: str,
        path: Path,
        *,
        columns: Sequence[str] | None = None,
        unsafe_allow_loopback: bool = False,
        progress: Callable[[int], None] = lambda _rows: None,
    ) -> "Fetched":
        """Read a table into the new file `path`, CSV if it is called so and else Parquet.

        `columns` None: all that the terms let be handed over. `progress` is told the rows so far. Raises `PlaceTaken`.
        """
        from connector.planes.table_client import fetch_table

        return fetch_table(
            self._address(transfer),
            table,
            path,
            columns=columns,
            unsafe_allow_loopback=unsafe_allow_loopback,
            renew=lambda old: self._address(transfer, refused=f"Bearer {old.token}"),
            progress=progress,
        )

    def _address(self, transfer: str, *, refused: str | None = None) -> "FlightAddress":
        from connector.planes.table_client import FlightAddress

        found = self.access(transfer, refused=refused)
        return FlightAddress(found.endpoint, found.provider_transfer, found.authorization.removeprefix("Bearer "))
