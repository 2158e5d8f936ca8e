"""The sender: one attempt to hand over one message of the outbox.

It changes nothing here; `connector.protocol.engine` records what came of it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import httpx

from connector.protocol.callbacks import POOL, peer_transport
from connector.protocol.deadlines import Deadline
from connector.protocol.errors import CallbackRefused
from connector.protocol.outbox import Answer
from connector.protocol.outbox_items import PEER, OutboxItem
from hexi.canonical import Json, encode, parse
from hexi.client import Network
from hexi.errors import DataspaceError

# How long a peer may take to connect, and to answer, in seconds. Receiving is one transaction there: this is ample.
# Together they are a deadline, however slowly a peer sends: it must not hold a sender, of which there are few.
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
# The most we read of an answer, in bytes. Longer ones are nothing we asked for; the status is enough.
MAX_ANSWER_BYTES = 256 * 1024
# The same of the ledger's answer to a batch: a receipt for each entry, the entry and its proof within.
MAX_RECEIPTS_BYTES = 16 * 1024 * 1024
# The most entries we send at once, in bytes; the ledger takes four times as much.
MAX_BATCH_BYTES = 1024 * 1024

# How a ledger answers a batch that it will never take as one: it does not know batches, or something is wrong with it.
_NOT_AS_ONE = frozenset({400, 404, 405, 413, 422})
_TIMEOUTS = {"timeout": httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS).as_dict()}


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
        # The transports themselves, without a client around them: no proxies, cookies or credentials from anywhere, no
        # redirects, and half the price of a call. We go where we meant to go or nowhere.
        self._deadline = Deadline()
        self._peers = transport or peer_transport(
            unsafe_allow_loopback=unsafe_allow_loopback_callbacks, through=self._deadline.over
        )
        # The space's address is our operator's word, not a peer's: no guard there.
        self._space = transport or Network(POOL)

    def attempt(self, item: OutboxItem) -> Answer:
        """Post `item` once. Raises nothing that the network or the other end could cause."""
        headers = {"Content-Type": "application/json"}
        to_peer = item.destination == PEER
        try:
            if item.audience is not None:
                headers["Authorization"] = self._authorise(item.audience)
            self._deadline.begin(CONNECT_SECONDS + ANSWER_SECONDS)
            request = httpx.Request("POST", item.url, content=encode(item.body), headers=headers, extensions=_TIMEOUTS)
            with closing((self._peers if to_peer else self._space).handle_request(request)) as answer:
                return Answer(answer.status_code, _body(answer, MAX_ANSWER_BYTES if to_peer else MAX_RECEIPTS_BYTES))
        except CallbackRefused as error:
            return Answer(error=error.detail, refused_here=True)
        except (httpx.HTTPError, httpx.InvalidURL, DataspaceError) as error:
            return Answer(error=f"nobody answered ({type(error).__name__})")

    def attempt_entries(self, items: Sequence[OutboxItem]) -> list[Answer]:
        """Send entries for the ledger, all at the same address, in as few requests as their size allows."""
        answers: list[Answer] = []
        for batch in _batches(items):
            if len(batch) == 1:
                answers.append(self.attempt(batch[0]))
                continue
            together = replace(batch[0], url=f"{batch[0].url}/batch", body={"entries": _entries(batch)})
            answer = self.attempt(together)
            answers += self._one_by_one(batch) if answer.status in _NOT_AS_ONE else _apart(answer, len(batch))
        return answers

    def _one_by_one(self, batch: Sequence[OutboxItem]) -> list[Answer]:
        """One bad entry, or a ledger that knows no batches, must not hold up the others for ever."""
        answers: list[Answer] = []
        for item in batch:
            # Once nobody answers, the rest need not wait for nobody too: their lease would run out over it.
            silent = bool(answers) and answers[-1].status is None
            answers.append(answers[-1] if silent else self.attempt(item))
        return answers

    def close(self) -> None:
        """Close the connections."""
        self._peers.close()
        self._space.close()


def _entries(batch: Sequence[OutboxItem]) -> list[Json]:
    return [item.body["entry"] for item in batch]


def _batches(items: Sequence[OutboxItem]) -> Iterator[list[OutboxItem]]:
    """`items` in their order, cut where the address changes or a body would grow too long."""
    batch: list[OutboxItem] = []
    size = 0
    for item in items:
        length = len(encode(item.body))
        if batch and (size + length > MAX_BATCH_BYTES or item.url != batch[0].url):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    if batch:
        yield batch


def _apart(answer: Answer, count: int) -> list[Answer]:
    """What the answer to a batch says about each of its `count` entries."""
    outcomes = answer.body.get("outcomes") if isinstance(answer.body, dict) else None
    if answer.status is None or answer.status >= 300:
        error = answer.error or f"the batch was answered {answer.status}"
        return [Answer(error=error)] * count
    if not isinstance(outcomes, list) or len(outcomes) != count:
        return [Answer(error="the answer to the batch cannot be read")] * count
    return [_one(outcome) for outcome in outcomes]


def _one(outcome: Json) -> Answer:
    said = outcome if isinstance(outcome, dict) else {}
    if isinstance(said.get("receipt"), dict):
        return Answer(200, said["receipt"])
    problem = said.get("problem")
    status = problem.get("status") if isinstance(problem, dict) else None
    return Answer(status if isinstance(status, int) else None, problem, error="refused without a reason")


def _body(answer: httpx.Response, limit: int) -> Json:
    """The JSON of the answer, if it has any. Its content type is not asked: some peers send none."""
    content = b""
    deadline = time.monotonic() + ANSWER_SECONDS
    for chunk in answer.iter_bytes():
        content += chunk
        if time.monotonic() > deadline:  # a byte now and then would hold a thread of ours for ever
            raise httpx.ReadTimeout("the answer does not end")
        if len(content) > limit:
            return None
    try:
        return parse(content)
    except DataspaceError:
        return None
