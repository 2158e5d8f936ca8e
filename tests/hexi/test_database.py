"""One transaction commits whole or not at all, on both engines."""

from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from hexi.database import Database
from hexi.errors import Malformed


def test_a_transaction_commits_at_its_end(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("CREATE TABLE t (n INTEGER)"))
        session.execute(text("INSERT INTO t VALUES (1)"))
    with database.reading() as session:
        assert session.execute(text("SELECT n FROM t")).scalars().all() == [1]


def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("CREATE TABLE t (n INTEGER)"))
    with pytest.raises(KeyError), database.transaction() as session:  # noqa: PT012
        session.execute(text("INSERT INTO t VALUES (1)"))
        raise KeyError
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM t")).scalar() == 0


def test_what_a_reading_session_writes_is_thrown_away(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("CREATE TABLE t (n INTEGER)"))
    with database.reading() as session:
        session.execute(text("INSERT INTO t VALUES (1)"))
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM t")).scalar() == 0


@pytest.mark.parametrize("url", ["not a url", "mysql://host/name"])
def test_a_database_we_do_not_know_is_refused(url: str) -> None:
    with pytest.raises(Malformed):
        Database(url)


def test_a_text_that_a_database_cannot_hold_is_malformed(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("CREATE TABLE t (n VARCHAR PRIMARY KEY)"))
    with suppress(Malformed), database.transaction() as session:  # SQLite holds it, PostgreSQL does not
        session.execute(text("INSERT INTO t VALUES (:n)"), {"n": "nul \0"})
        assert not database.is_postgresql
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM t")).scalar() == (0 if database.is_postgresql else 1)


def test_an_error_of_the_database_says_nothing_of_the_values(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("CREATE TABLE t (n VARCHAR PRIMARY KEY)"))
        session.execute(text("INSERT INTO t VALUES ('the-permit-itself')"))
    with pytest.raises(IntegrityError) as raised, database.transaction() as session:
        session.execute(text("INSERT INTO t VALUES (:permit)"), {"permit": "the-permit-itself"})
    assert "hidden" in str(raised.value)
    assert database.is_postgresql or "the-permit-itself" not in str(raised.value)
