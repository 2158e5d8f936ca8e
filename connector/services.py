"""What is served piece by piece, put together: API products, streams and tables."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter

from connector.api import calls, events
from connector.api.calls import Upstream
from connector.api.management import streams as streams_api
from connector.planes import DataPlane, api, stream, tables
from connector.planes.access import Access, Place
from connector.planes.api import ApiPlane
from connector.planes.handovers import Handovers
from connector.planes.stream import StreamPlane
from connector.planes.tables import TablePlane
from connector.settings import ConnectorSettings
from connector.sources.descriptions import Sources
from connector.streams.appended import Streams
from hexi.database import Database


@dataclass(frozen=True)
class Services:
    """The planes of this kind, their routes for others and for the owner, and what they hold open."""

    planes: Mapping[str, DataPlane]
    routers: tuple[APIRouter, ...]
    management: tuple[APIRouter, ...]
    upstream: Upstream
    serve_tables: Callable[[], AbstractContextManager[None]]

    @classmethod
    def over(
        cls, settings: ConnectorSettings, database: Database, sources: Sources, handovers: Handovers, access: Access
    ) -> "Services":
        """All of them, at the clock and with the key that `access` has."""
        clock = access.clock
        upstream = Upstream()
        calling = ApiPlane(database, sources, handovers, access, clock)
        streams = Streams(database, clock)
        reading = StreamPlane(database, streams, handovers, access)
        served = settings.flight_port is not None
        table = TablePlane(database, handovers, access, access.identity, clock, served)
        return cls(
            {calling.format: calling, reading.format: reading, table.format: table},
            (calls.create_router(calling, upstream), events.create_router(reading)),
            (streams_api.create_router(streams),),
            upstream,
            partial(_serving, settings, table),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What is served beside HTTP is served meanwhile; then what is held open is let go of."""
        with self.serve_tables():
            yield
        await self.upstream.close()


@contextmanager
def _serving(settings: ConnectorSettings, table: TablePlane) -> Iterator[None]:
    if settings.flight_port is None:
        yield
        return
    # Arrow and gRPC are loaded by connectors that have a port for tables, and by no others.
    from connector.planes.flight_server import TableServer

    pair = None
    if settings.tls_certificate and settings.tls_key:
        pair = settings.tls_certificate.read_bytes(), settings.tls_key.read_bytes()
    server = TableServer(settings.flight_listens_at, pair, table.deliver, table.tables)
    try:
        yield
    finally:
        server.stop()


def services_places(settings: ConnectorSettings, data_of_transfer: str) -> dict[str, Place]:
    """Where each format is fetched; most of them below the address of a transfer's data."""
    return {
        api.FORMAT: Place(f"{data_of_transfer}/api"),
        stream.FORMAT: Place(f"{data_of_transfer}/events"),
        tables.FORMAT: Place(settings.flight_address, tables.ENDPOINT_TYPE),
    }
