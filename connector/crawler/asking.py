"""Asking a peer for a page: one request, to the peer and nowhere else, that ends in time and in memory."""

import re
from collections.abc import Callable

import httpx

from connector.crawler.errors import CatalogueUnusable
from connector.crawler.pages import MAX_PAGE_BYTES, Answer
from connector.crawler.steps import Question
from connector.protocol.callbacks import peer_transport
from connector.protocol.deadlines import Deadline
from hexi.canonical import encode
from hexi.client import Unreachable

# How long a peer may take to connect, to send the next bytes, and for a page from beginning to end, in seconds. Large
# catalogues of other makes take half a second for a page of ours.
CONNECT_SECONDS, READ_SECONDS, PAGE_SECONDS = 5.0, 15.0, 30.0

_SECONDS = re.compile(r"\d{1,6}")


class Asker:
    """Asks. `authorise` gives an ``Authorization`` value for a call to the participant with that DID; `transport`
    replaces the network; a page takes `seconds` at most."""

    def __init__(
        self,
        authorise: Callable[[str], str],
        *,
        unsafe_allow_loopback: bool,
        transport: httpx.BaseTransport | None = None,
        seconds: float = PAGE_SECONDS,
    ) -> None:
        self._authorise = authorise
        self._seconds = seconds
        self._until = Deadline()
        guarded = peer_transport(unsafe_allow_loopback=unsafe_allow_loopback, through=self._until.over)
        # No proxies or credentials from the environment, and no redirects: the peer, or nobody.
        self._http = httpx.Client(
            transport=transport or guarded,
            timeout=httpx.Timeout(min(READ_SECONDS, seconds), connect=min(CONNECT_SECONDS, seconds)),
            trust_env=False,
            follow_redirects=False,
        )

    def authorisation(self, did: str) -> str:
        """What shows `did` who asks. Raises what the membership raises while we have none."""
        return self._authorise(did)

    def ask(self, asked: Question, authorisation: str) -> Answer:
        """The answer, whatever its status. Raises `CallbackRefused`, `Unreachable`, `CatalogueUnusable`.

        A compressed answer is refused, for it could be any length: we said that we take none.
        """
        headers = {"Authorization": authorisation, "Accept": "application/json", "Accept-Encoding": "identity"}
        if asked.tag:
            headers["If-None-Match"] = asked.tag
        content = None
        if asked.posted:
            headers["Content-Type"] = "application/json"
            content = encode(asked.body)
        self._until.begin(self._seconds)
        try:
            method = "POST" if asked.posted else "GET"
            with self._http.stream(method, asked.url, content=content, headers=headers) as answer:
                if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise CatalogueUnusable("the answer is compressed, which was not asked for")
                wait = answer.headers.get("Retry-After", "")
                return Answer(
                    answer.status_code,
                    self._read(answer) if answer.status_code == 200 else b"",
                    answer.headers.get("Link", ""),
                    answer.headers.get("ETag", ""),
                    float(wait) if _SECONDS.fullmatch(wait) else 0.0,
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"nobody answered in time ({type(error).__name__})") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _read(self, answer: httpx.Response) -> bytes:
        content = bytearray()
        for chunk in answer.iter_raw():
            content += chunk
            if len(content) > MAX_PAGE_BYTES:
                raise CatalogueUnusable(f"the page is longer than {MAX_PAGE_BYTES} bytes")
            self._until.check()
        return bytes(content)
