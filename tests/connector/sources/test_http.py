"""A real HTTP server as a source, alone and delivered through a data space."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from connector.planes.http_pull import FORMAT as PULL
from connector.planes.http_push import FORMAT as PUSH
from connector.sources import SourceUnavailable
from connector.sources.descriptions import SECRETS_FOLDER
from connector.sources.http import HttpSource
from tests.connector.planes.serving import served
from tests.connector.sources.delivered import delivered
from tests.simulator import Dataspace

KEY = {"X-Key": "hunter2"}


class Server:
    """Serves `content` to whoever shows the key, in ranges under an entity tag (or without, where `tag` is None)."""

    def __init__(self) -> None:
        self.content, self.tag = bytes(range(256)) * 9_000, '"one"'
        self.asked: list[str | None] = []

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        if scope["type"] == "http":
            await self.answer(Request(scope))(scope, receive, send)

    def answer(self, request: Request) -> Response:
        self.asked.append(request.headers.get("Range"))
        if request.url.path == "/elsewhere":
            return RedirectResponse("/export")
        if request.headers.get("X-Key") != "hunter2":
            return Response(status_code=403)
        if request.headers.get("If-Match", self.tag) != self.tag:
            return Response(status_code=412)
        headers = {"Accept-Ranges": "bytes", "ETag": self.tag} if self.tag else {}
        offset = int(request.headers.get("Range", "bytes=0-")[6:-1])
        rest = self.content[offset:]
        status = 206 if "Range" in request.headers else 200
        if request.method == "HEAD":
            return Response(headers=headers | {"Content-Length": str(len(rest))}, media_type="text/csv")
        return Response(rest, status, headers, "text/csv")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    with served(server) as url:
        yield url


def whole(source: HttpSource, offset: int = 0) -> bytes:
    with source.open(source.content(), offset) as chunks:
        return b"".join(chunks)


def test_what_a_server_answers_from_any_offset(server: Server, url: str) -> None:
    source = HttpSource(f"{url}/export", "export", KEY)
    said = source.content()
    assert (said.size, said.version, said.media_type) == (len(server.content), '"one"', "text/csv; charset=utf-8")
    assert said.is_resumable
    for offset in (0, 1, 2_000_000):
        assert whole(source, offset) == server.content[offset:]


def test_the_rest_of_something_else_is_refused(server: Server, url: str) -> None:
    source = HttpSource(f"{url}/export", "export", KEY)
    before = source.content()
    server.tag = '"two"'
    with pytest.raises(SourceUnavailable, match="412"), source.open(before, 5):
        pass


def test_without_an_entity_tag_it_is_whole_or_nothing(server: Server, url: str) -> None:
    server.tag = None  # type: ignore[assignment]
    assert not HttpSource(f"{url}/export", "export", KEY).content().is_resumable


@pytest.mark.parametrize(("path", "headers"), [("/elsewhere", KEY), ("/export", {}), ("/export", {"X-Key": "wrong"})])
def test_redirections_and_refusals_are_not_data(url: str, path: str, headers: dict[str, str]) -> None:
    with pytest.raises(SourceUnavailable) as refused:
        HttpSource(url + path, "export", headers).content()
    assert url not in refused.value.detail
    assert "hunter2" not in repr(HttpSource(url + path, "export", headers))


def test_a_server_that_is_not_there_is_said_so_without_its_address() -> None:
    with pytest.raises(SourceUnavailable) as refused:
        HttpSource("http://127.0.0.1:1/export", "export").content()
    assert "127.0.0.1" not in refused.value.detail


@pytest.mark.parametrize("format_", [PULL, PUSH])
def test_an_answer_is_delivered(dataspace: Dataspace, server: Server, url: str, tmp_path: Path, format_: str) -> None:
    secrets = dataspace.provider.app.state.settings.home / SECRETS_FOLDER
    secrets.mkdir(exist_ok=True)
    (secrets / "export-header").write_text("X-Key: hunter2", "ascii")
    source = {"type": "http", "url": f"{url}/export", "secret": "export-header"}
    arrived = delivered(dataspace, source, format_, tmp_path / "arrived.csv")
    assert arrived.read_bytes() == server.content
