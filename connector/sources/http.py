"""A provider's own HTTP server as a source. The address is the provider's word; a redirection is not, and is refused.

Resumable where the server says so: a length, ``Accept-Ranges: bytes`` and a strong ETag, which every later request
insists on (RFC 9110, section 13.1.1).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from connector.sources import CHUNK_BYTES, Chunks, Content, SourceUnavailable

# How long the server may take to connect, and to send the next bytes, in seconds.
CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0


@dataclass(frozen=True)
class HttpSource:
    """`headers` carry what the server wants to see; they are shown to nobody else."""

    url: str
    name: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    transport: httpx.BaseTransport | None = field(default=None, repr=False)

    def content(self) -> Content:
        with self._asked("HEAD", {}) as answer:
            _check(answer, {200})
            length = answer.headers.get("Content-Length", "")
            version = _etag(answer) if answer.headers.get("Accept-Ranges") == "bytes" else None
            kind = answer.headers.get("Content-Type", "application/octet-stream")
            return Content(self.name, kind, int(length) if length.isdigit() else None, version=version)

    @contextmanager
    def open(self, content: Content, offset: int = 0) -> Iterator[Chunks]:
        headers = {"Range": f"bytes={offset}-", "If-Match": content.version or '""'} if offset else {}
        with self._asked("GET", headers) as answer:
            _check(answer, {206} if offset else {200})
            yield _read(answer)

    @contextmanager
    def _asked(self, method: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        shown = {"Accept-Encoding": "identity"} | self.headers | headers
        try:
            with (
                httpx.Client(timeout=timeout, transport=self.transport, trust_env=False) as client,
                client.stream(method, self.url, headers=shown, follow_redirects=False) as answer,
            ):
                yield answer
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SourceUnavailable(f"the server behind this data does not answer ({type(error).__name__})") from error


def _read(answer: httpx.Response) -> Iterator[bytes]:
    yield from answer.iter_raw(CHUNK_BYTES)


def _etag(answer: httpx.Response) -> str | None:
    found: str = answer.headers.get("ETag", "")
    return found if found.startswith('"') else None


def _check(answer: httpx.Response, wanted: set[int]) -> None:
    if answer.status_code not in wanted:
        raise SourceUnavailable(f"the server behind this data answered {answer.status_code}")
