"""What is served piece by piece, put together: API products and streams."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter

from connector.api import calls, events
from connector.api.calls import Upstream
from connector.api.management import streams as streams_api
from connector.handovers import Handovers
from connector.planes import DataPlane, api, stream
from connector.planes.access import Access, Place
from connector.planes.api import ApiPlane
from connector.planes.stream import StreamPlane
from connector.sources.descriptions import Sources
from connector.streams.appended import Streams
from hexi.canonical import Clock
from hexi.database import Database


@dataclass(frozen=True)
class Services:
    """The planes of this kind, their routes for others and for the owner, and what they hold open."""

    planes: Mapping[str, DataPlane]
    routers: tuple[APIRouter, ...]
    management: tuple[APIRouter, ...]
    upstream: Upstream

    @classmethod
    def over(
        cls, database: Database, sources: Sources, handovers: Handovers, access: Access, clock: Clock
    ) -> "Services":
        """All of them."""
        upstream = Upstream()
        calling = ApiPlane(database, sources, handovers, access, clock)
        streams = Streams(database, clock)
        reading = StreamPlane(database, streams, handovers, access)
        return cls(
            {calling.format: calling, reading.format: reading},
            (calls.create_router(calling, upstream), events.create_router(reading)),
            (streams_api.create_router(streams),),
            upstream,
        )

    async def close(self) -> None:
        """Let go of what is held open."""
        await self.upstream.close()


def services_places(data_of_transfer: str) -> dict[str, Place]:
    """Where each format is fetched, below the address of a transfer's data."""
    return {
        api.FORMAT: Place(f"{data_of_transfer}/api"),
        stream.FORMAT: Place(f"{data_of_transfer}/events"),
    }
