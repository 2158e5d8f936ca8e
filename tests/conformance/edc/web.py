"""A web server that data are fetched from and pushed to, in a thread of its own.

with Web() as web:
    web.files["table.csv"] = b"..."
    source, sink = web.url("table.csv"), web.url("sink/1")
    ...
    assert web.received["sink/1"] == b"..."
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

# What a slow file is made of, until its reader gives up: one chunk, again and again.
CHUNK = b"0123456789abcdef" * 64
# The wait between two chunks of it, in seconds.
CHUNK_SECONDS = 0.05
# What a slow reader takes at a time, in bytes: a megabyte a second, so that what lies in buffers is soon gone.
SLOW_BYTES = 65_536


class Web:
    """Serves `files` by name, and keeps in `received` what is posted to any other address, by its path.

    The file ``slow`` never ends by itself, and what is posted below ``slow`` is read a little at a time: both
    are for transfers that have to be stopped. `reading` counts those who read it
    now, `posting` those who post.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.received: dict[str, bytes] = {}
        self.reading = self.posting = 0
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def url(self, path: str) -> str:
        """The address of a file, or of a place to post to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _count(self, *, reading: int = 0, posting: int = 0) -> None:
        with self._lock:
            self.reading += reading
            self.posting += posting

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                name = self.path.lstrip("/")
                if name == "slow":
                    self._drip()
                elif (content := web.files.get(name)) is None:
                    self._answer(404)
                else:
                    self._answer(200, content)

            def do_PUT(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                web._count(posting=1)
                try:
                    web.received[self.path.lstrip("/")] = self._body()
                    self._answer(204)
                except (OSError, ValueError):
                    self.close_connection = True  # broken off by the sender: nothing was received
                finally:
                    web._count(posting=-1)

            def _drip(self) -> None:
                web._count(reading=1)
                self.send_response(200)
                self.send_header("Content-Type", "application/octet-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                try:
                    while not web._stopping.wait(CHUNK_SECONDS):
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK))
                        self.wfile.flush()
                except OSError:
                    pass  # the reader has gone, as it should
                finally:
                    self.close_connection = True
                    web._count(reading=-1)

            def _body(self) -> bytes:
                return read_body(self, self._read)

            def _read(self, length: int) -> bytes:
                if not self.path.startswith("/slow"):
                    return self.rfile.read(length)
                body = b""
                while len(body) < length and not web._stopping.wait(CHUNK_SECONDS):
                    if not (piece := self.rfile.read(min(SLOW_BYTES, length - len(body)))):
                        break
                    body += piece
                return body

            def _answer(self, status: int, content: bytes = b"") -> None:
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        return Handler


def read_body(request: BaseHTTPRequestHandler, read: Callable[[int], bytes] | None = None) -> bytes:
    """The body of a request, in one piece or in chunks. Raises `OSError` if it was broken off."""
    read = read or request.rfile.read
    if "chunked" not in request.headers.get("Transfer-Encoding", ""):
        length = int(request.headers.get("Content-Length") or 0)
        return _whole(read(length), length)
    body = b""
    while size := int(request.rfile.readline().split(b";")[0] or b"-1", 16):
        body += _whole(read(size), size)
        request.rfile.readline()
    request.rfile.readline()
    return body


def _whole(body: bytes, length: int) -> bytes:
    if len(body) != length:
        raise OSError("broken off")
    return body
