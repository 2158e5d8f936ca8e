"""One exchange for the whole suite: starting two EDCs takes longer than most of what is asked of them."""

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from tests.conformance.edc.exchange import Exchange, exchange
from tests.conformance.edc.relay import Relay, Way, once
from tests.conformance.edc.repeating import WAYS


@pytest.fixture(scope="session")
def parties(postgresql_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """Our connector on PostgreSQL, an EDC that provides and an EDC that consumes."""
    server = make_url(postgresql_url).set(drivername="postgresql+psycopg")
    names = [f"edc{uuid.uuid4().hex}" for _ in range(2)]
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for name in names:
            connection.execute(text(f"CREATE DATABASE {name}"))
    urls = [server.set(database=name).render_as_string(hide_password=False) for name in names]
    with exchange(tmp_path_factory.mktemp("edc"), *urls) as everybody:
        yield everybody
    with admin.connect() as connection:
        for name in names:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def way(request: pytest.FixtureRequest) -> Way:
    """What the relays do with messages."""
    return request.param


@pytest.fixture
def relays(parties: Exchange) -> Iterator[list[Relay]]:
    """All relays, as they should be again afterwards."""
    all_ = [parties.ours.relay, parties.provider.relay, parties.consumer.relay]
    for relay in all_:
        relay.passed.clear()
    yield all_
    for relay in all_:
        relay.way = once
