"""Request ids of the management client: two who use one at the same time start one thing, on either database."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from connector.contracts import store
from connector.contracts.errors import RequestIdTaken
from connector.contracts.store import Asked
from connector.protocol.processes import Kind
from hexi.database import Database

THREADS = 4
AT = "2026-11-23T08:00:00.000Z"


@pytest.fixture
def connectors(two_databases: list[Database]) -> Database:
    return two_databases[0]


def test_of_those_who_use_an_id_at_once_one_starts_a_process(connectors: Database) -> None:
    everybody = threading.Barrier(THREADS)

    def ask(number: int) -> tuple[str, bool]:
        everybody.wait(30)
        with connectors.transaction() as session:
            known = store.process_asked(session, Kind.TRANSFER, "id-1", "sha256:1")
            if known is None:
                store.set_process_asked(session, Kind.TRANSFER, "id-1", f"urn:uuid:{number}")
            return known or f"urn:uuid:{number}", known is None

    with ThreadPoolExecutor(THREADS) as threads:
        asked = list(threads.map(ask, range(THREADS)))
    assert len({process for process, _ in asked}) == 1
    assert sum(started for _, started in asked) == 1


def test_the_same_of_a_question(connectors: Database) -> None:
    everybody = threading.Barrier(THREADS)

    def ask(number: int) -> str:
        everybody.wait(30)
        with connectors.transaction() as session:
            return store.add_asked(session, "run", Asked("urn:run", "sha256:1", f"signed {number}", None), AT).request

    with ThreadPoolExecutor(THREADS) as threads:
        assert len(set(threads.map(ask, range(THREADS)))) == 1


def test_what_is_rolled_back_has_taken_no_id(connectors: Database) -> None:
    with connectors.reading() as session:  # what it writes is thrown away
        assert store.process_asked(session, Kind.TRANSFER, "id-1", "sha256:1") is None
    with connectors.transaction() as session:
        assert store.process_asked(session, Kind.TRANSFER, "id-1", "sha256:2") is None
    with connectors.transaction() as session, pytest.raises(RequestIdTaken):
        store.process_asked(session, Kind.TRANSFER, "id-1", "sha256:1")
