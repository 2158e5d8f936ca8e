"""A connector of the simulated data space on a real socket, and a started transfer to fetch from there."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from connector.planes.data_address import properties_of
from connector.protocol.transfer import Suspend, TerminateTransfer
from connector.usage import store as usage_store
from connector.usage.grants import Grant
from tests.connector.business import USE, description
from tests.simulator import HOSPITAL, Dataspace

FIGURES = ("normativity", "completeness", "accuracy", "consistency", "timeliness", "accessibility")
# How long a server may take to listen, in seconds.
STARTING_SECONDS = 20.0


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The address of `app` on a random port of loopback."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + STARTING_SECONDS
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class Delivery:
    """A product of a source, agreed on, and its started transfer; `url` is where its provider really listens."""

    def __init__(
        self, space: Dataspace, url: str, source: dict[str, Any], mode: str, format_: str, policy: Any = USE
    ) -> None:
        self.space, self.url, self.format = space, url, format_
        self.add_resource(source)
        product = description(modes=[mode], rights=["holding"], policy=policy, **self.described())
        identifier = space.provider.client.publish("delivered", product).identifier
        self.agreement = str(space.agree(identifier).agreement)
        self.transfer = self.start()
        self.http = httpx.Client(timeout=30)

    def add_resource(self, source: dict[str, Any]) -> None:
        self.space.provider.client.add_resource("delivered", source=source)

    def described(self) -> dict[str, Any]:
        """What the product says of its data."""
        quality = dict.fromkeys(FIGURES, 1.0) | {"assessedAt": "2026-11-23"}
        return {"tables": [], "hasPersonalInformation": False, "quality": quality}

    def start(self) -> str:
        asked = self.space.consumer.client.transfer(self.agreement, self.format)
        self.space.settle()
        started = self.space.consumer.client.transfer_status(asked.id)
        assert started.state == "STARTED", started
        return str(asked.id)

    def address(self, transfer: str | None = None) -> dict[str, str]:
        engine = self.space.consumer.app.state.engine
        with engine.database.reading() as session:
            return properties_of(engine.transfer(session, transfer or self.transfer).data_address)

    @property
    def endpoint(self) -> str:
        return self.address()["endpoint"].replace(f"http://{HOSPITAL}", self.url)

    @property
    def token(self) -> str:
        return self.address()["authorization"]

    def pid(self) -> str:
        """The transfer as the provider knows it."""
        engine = self.space.consumer.app.state.engine
        with engine.database.reading() as session:
            return str(engine.transfer(session, self.transfer).peer_pid)

    def grant(self) -> Grant:
        """What was counted, once nothing is under way: the last of it is written down while the answer arrives."""
        until = time.monotonic() + STARTING_SECONDS
        while (found := self._grant()).under_way and time.monotonic() < until:
            time.sleep(0.01)
        return found

    def _grant(self) -> Grant:
        with self.space.provider.app.state.engine.database.reading() as session:
            found = usage_store.grant(session, self.pid())
        assert found is not None
        return found

    def end(self, *, suspend: bool = False) -> None:
        engine = self.space.provider.app.state.engine
        action = Suspend("pause", ["a pause"]) if suspend else TerminateTransfer("stop", ["the provider stopped it"])
        with engine.database.transaction() as session:
            engine.act_transfer(session, self.pid(), action)
        self.space.settle()
