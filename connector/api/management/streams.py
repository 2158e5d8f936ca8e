"""Streams: what the provider's own programs append to them."""

from fastapi import APIRouter

from connector.api.management.access import PREFIX, Owner
from connector.contracts import store as business_store
from connector.contracts.errors import ResourceUnknown
from connector.deliveries.errors import StreamUnknown
from connector.management.stream_answers import AppendedEvents, AppendEvents, Stream
from connector.sources.descriptions import read_description
from connector.sources.services import StreamDescription
from connector.streams import store
from connector.streams.appended import Streams
from hexi.errors import TooLarge
from hexi.web import Read, SessionRoute, Write, problems


def create_router(streams: Streams) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(route_class=SessionRoute, prefix=PREFIX, tags=["streams"])

    @router.post("/streams/{name}/events", status_code=201, responses=problems(StreamUnknown, TooLarge))
    def append_events(_: Owner, name: str, body: AppendEvents, session: Write) -> AppendedEvents:
        """Append events to a stream; once this is answered they are kept. 追加事件。"""
        done = streams.append(session, name, body.events, _described(session, name).retention)
        return AppendedEvents(stream=name, positions=tuple(done.positions), new=done.new)

    @router.get("/streams/{name}", responses=problems(StreamUnknown))
    def read_stream(_: Owner, name: str, session: Read) -> Stream:
        """What a stream holds. 查看数据流。"""
        _described(session, name)
        extent = store.extents(session, [name]).get(name)
        return Stream(
            stream=name, forgotten=extent.before_oldest if extent else 0, newest=extent.newest if extent else 0
        )

    return router


def _described(session: Read, name: str) -> StreamDescription:
    try:
        source = business_store.resource(session, name).source
    except ResourceUnknown:
        source = None
    found = None if source is None else read_description(source)
    if not isinstance(found, StreamDescription):
        raise StreamUnknown(f"{name} is no stream; add a resource with the source {{'type': 'stream'}} first")
    return found
