"""What a message costs: statements, commits, signatures, requests. Whoever adds one sees it here, and says what for.

Counted is the short way: a message is handed over in memory, and the reply settles what it replies to. The table in
docs/reference/connector-protocol.md says the same figures.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from hexi import keys
from tests.simulator import Dataspace, Member


@contextmanager
def counting(dataspace: Dataspace) -> Iterator[dict[str, Counter[str]]]:
    """Counts, by end, what reaches its database: reads, writes and durable commits; and signatures, by anybody."""
    ends = {"consumer": dataspace.consumer, "provider": dataspace.provider}
    bill: dict[str, Counter[str]] = {name: Counter() for name in (*ends, "signatures")}
    writing: Counter[int] = Counter()
    listening: list[tuple[Any, str, Any]] = []

    def listen(name: str, engine: Any) -> None:
        def execute(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            kind = statement.split(None, 1)[0]
            if kind == "BEGIN":
                return
            bill[name]["reads" if kind == "SELECT" else "writes"] += 1
            writing[id(connection)] += kind != "SELECT"

        def commit(connection: Any) -> None:
            bill[name]["commits"] += writing.pop(id(connection), 0) > 0

        for what, heard in (("before_cursor_execute", execute), ("commit", commit)):
            event.listen(engine, what, heard)
            listening.append((engine, what, heard))

    for name, end in ends.items():
        listen(name, end.app.state.database.engine)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for what, named in (("made", "encode"), ("looked up", "get_algorithm_by_name")):
                patch.setattr(keys._JWS, named, _counted(bill["signatures"], what, getattr(keys._JWS, named)))
            yield bill
        # Making one looks up its algorithm too.
        bill["signatures"]["checked"] = bill["signatures"].pop("looked up") - bill["signatures"]["made"]
    finally:
        for engine, what, heard in listening:
            event.remove(engine, what, heard)


def _counted(bill: Counter[str], what: str, does: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*given: Any, **named: Any) -> Any:
        bill[what] += 1
        return does(*given, **named)

    return counted


def exchange(dataspace: Dataspace) -> list[str]:
    """Send what is ready at either end until nothing is, recording only what no reply has settled; the messages."""
    sent: list[str] = []
    waiting: list[tuple[Member, Any]] = []
    going = True
    while going:
        going = False
        for end in (dataspace.consumer, dataspace.provider):
            engine = end.app.state.engine
            while not engine.ready.is_empty():
                going, item = True, engine.ready.get()
                sent.append(item.body["@type"])
                waiting.append((end, (item, engine.dispatcher.attempt(item))))
    for end, (item, answer) in waiting:
        if not end.app.state.engine.ready.is_settled(item):
            end.app.state.engine.dispatcher.record([(item, answer)])
    return sent


@pytest.fixture
def ready(dataspace: Dataspace) -> Dataspace:
    """Both ends hand over in memory, as under a worker."""
    dataspace.product = dataspace.publish().identifier  # type: ignore[attr-defined]
    dataspace.agreement = dataspace.agree(dataspace.product).agreement  # type: ignore[attr-defined]
    for end in (dataspace.consumer, dataspace.provider):
        end.app.state.engine.ready.open()
    return dataspace


def test_a_negotiation(ready: Dataspace) -> None:
    with counting(ready) as bill:
        asked = ready.consumer.client.negotiate(ready.product)  # type: ignore[attr-defined]
        sent = exchange(ready)
    assert ready.consumer.client.negotiation(asked.id).state == "FINALIZED"
    assert sent == [
        "ContractRequestMessage",
        "ContractAgreementMessage",
        "ContractAgreementVerificationMessage",
        "ContractNegotiationEventMessage",
    ]
    assert bill == {
        "consumer": {"reads": 3, "writes": 11, "commits": 3},
        "provider": {"reads": 6, "writes": 12, "commits": 3},
        "signatures": {"made": 7, "checked": 7},
    }


def test_a_transfer_start(ready: Dataspace) -> None:
    with counting(ready) as bill:
        asked = ready.consumer.client.transfer(ready.agreement, "HexiSandbox-SQL")  # type: ignore[attr-defined]
        sent = exchange(ready)
    assert ready.consumer.client.transfer_status(asked.id).state == "STARTED"
    assert sent == ["TransferRequestMessage", "TransferStartMessage"]
    assert bill == {
        "consumer": {"reads": 4, "writes": 5, "commits": 2},
        "provider": {"reads": 8, "writes": 7, "commits": 2},
        "signatures": {"made": 4, "checked": 2},
    }
