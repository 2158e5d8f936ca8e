"""The sender: one attempt to hand over one message of the outbox.

It changes nothing here; `connector.engine` records what came of it.
"""

from collections.abc import Callable

import httpx

from connector.callbacks import peer_transport
from connector.errors import CallbackRefused
from connector.outbox import Answer
from connector.outbox_items import PEER, OutboxItem
from hexi.canonical import Json, encode, parse
from hexi.client import Network
from hexi.errors import DataspaceError

# How long a peer may take to connect, and to answer, in seconds. Receiving is one transaction there: this is ample.
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
# The most we read of an answer, in bytes. Longer ones are nothing we asked for; the status is enough.
MAX_ANSWER_BYTES = 256 * 1024


class Sender:
    """Posts items. `authorise` gives a fresh ``Authorization`` value for the service with that DID.

    `transport` replaces the network in tests.
    """

    def __init__(
        self,
        authorise: Callable[[str], str],
        *,
        unsafe_allow_loopback_callbacks: bool,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._authorise = authorise
        guarded = transport or peer_transport(unsafe_allow_loopback=unsafe_allow_loopback_callbacks)
        self._peers = _client(guarded)
        # The space's address is our operator's word, not a peer's: no guard there.
        self._space = _client(transport or Network())

    def attempt(self, item: OutboxItem) -> Answer:
        """Post `item` once. Raises nothing that the network or the other end could cause."""
        headers = {"Content-Type": "application/json"}
        client = self._peers if item.destination == PEER else self._space
        try:
            if item.audience is not None:
                headers["Authorization"] = self._authorise(item.audience)
            with client.stream("POST", item.url, content=encode(item.body), headers=headers) as answer:
                return Answer(answer.status_code, _body(answer))
        except CallbackRefused as error:
            return Answer(error=error.detail, refused_here=True)
        except (httpx.HTTPError, httpx.InvalidURL, DataspaceError) as error:
            return Answer(error=f"nobody answered ({type(error).__name__})")

    def close(self) -> None:
        """Close the connections."""
        self._peers.close()
        self._space.close()


def _client(transport: httpx.BaseTransport) -> httpx.Client:
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    # No proxies or credentials from the environment, and no redirects: we go where we meant to go or nowhere.
    return httpx.Client(transport=transport, timeout=timeout, trust_env=False, follow_redirects=False)


def _body(answer: httpx.Response) -> Json:
    """The JSON of the answer, if it has any. Its content type is not asked: some peers send none."""
    content = b""
    for chunk in answer.iter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            return None
    try:
        return parse(content)
    except DataspaceError:
        return None
