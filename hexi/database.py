"""One database per process, SQLite (WAL) or PostgreSQL, and one transaction per request.

`Database.transaction` commits when its block ends and rolls back when it raises; nothing else commits. On SQLite
a writing transaction takes the write lock at its start (BEGIN IMMEDIATE), so that two of them never deadlock half way.
Each package brings its own Alembic migrations (``<package>/migrations``) with a version table of its own, so several
packages share a database without knowing each other.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect, literal, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, DisconnectionError, OperationalError
from sqlmodel import Session

from hexi.errors import Malformed, Unavailable

# How long a SQLite writer waits for the lock before it gives up, in milliseconds. Longer than any of our transactions.
SQLITE_BUSY_MILLISECONDS = 30_000
# Connections kept open to PostgreSQL by one process, and how many more it may open under load (each costs the server a
# process of its own, so they are the exception). Four services fill less than the 97 that a PostgreSQL admits unasked.
POOL_SIZE = 16
POOL_OVERFLOW = 8
# A connection unused for longer than this, in seconds, is asked whether it still lives before it is used. Asking every
# time would cost each transaction a round trip; a connection that died within this time fails one request, which the
# caller repeats.
IDLE_SECONDS = 10.0

_AFTER_COMMIT = "hexi.after_commit"


class DatabaseUnreachable(Unavailable):
    """The database does not answer."""

    code = "hexi.database-unreachable"


class Database:
    """An engine and its two kinds of transaction. `url` is a SQLAlchemy URL; ``postgresql://`` means psycopg 3."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.is_postgresql = self.engine.dialect.name == "postgresql"

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that commits at the end of the block, or not at all."""
        with self._session(writing=True) as session:
            try:
                yield session
                session.commit()
            except BaseException:
                session.rollback()
                raise
        # Outside: what waits for the commit may ask for a connection of its own.
        for callback in session.info.pop(_AFTER_COMMIT, ()):
            callback()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for looking only, at one moment: in however many statements, it sees nothing committed meanwhile.
        Whatever the block changes is thrown away."""
        with self._session(writing=False) as session:
            try:
                yield session
            finally:
                session.expunge_all()  # what was read stays readable; a rollback alone would empty it
                session.rollback()

    def check(self) -> None:
        """Raise `DatabaseUnreachable` unless the database answers a query."""
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except OperationalError as error:
            raise DatabaseUnreachable("the database does not answer") from error

    def migrate(self, package: str) -> None:
        """Bring the tables of `package` to the newest version in its ``migrations`` folder. Idempotent.

        Raises `DatabaseUnreachable`.
        """
        folder = Path(str(import_module(package).__file__)).parent / "migrations"
        try:
            if self._revision(package) != newest_revision(folder):
                self._upgrade(package, folder)
        except OperationalError as error:
            raise DatabaseUnreachable(
                f"the tables of {package} cannot be set up: the database does not answer"
            ) from error

    def _revision(self, package: str) -> str | None:
        """Where the tables of `package` stand, as Alembic wrote it down; None where there are none yet."""
        table = f"{package}_version"
        with self.engine.connect() as connection:
            connection.execution_options(sqlite_begin="DEFERRED")
            if not inspect(connection).has_table(table):
                return None
            return connection.execute(text(f"SELECT version_num FROM {table}")).scalar()  # noqa: S608 - our own name

    def _upgrade(self, package: str, folder: Path) -> None:
        # Alembic takes a quarter of a second to load, so it waits until there is something to migrate.
        import alembic.command
        import alembic.config

        config = alembic.config.Config()
        config.set_main_option("script_location", str(folder))
        with self.engine.begin() as connection:
            if self.is_postgresql:  # several processes may start at once; on SQLite BEGIN IMMEDIATE queues them
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('hexi-migrations'))"))
            config.attributes["connection"] = connection
            config.attributes["version_table"] = f"{package}_version"
            alembic.command.upgrade(config, "head")

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _session(self, *, writing: bool) -> Iterator[Session]:
        with self.engine.connect() as connection:
            connection.execution_options(sqlite_begin="IMMEDIATE" if writing else "DEFERRED")
            if self.is_postgresql and not writing:  # on SQLite every transaction is of one moment
                connection.execution_options(isolation_level="REPEATABLE READ")
            with _Bound(connection, expire_on_commit=False) as session:
                try:
                    yield session
                except DataError as error:  # PostgreSQL has no NUL in its texts, and an end to its numbers
                    raise Malformed("the request has a text or a number in it that cannot be stored") from error


class _Bound(Session):
    """A session of one transaction, which finds its connection once: each time would cost a tenth of a statement."""

    _found: Connection | None = None

    def connection(self, *args: Any, **options: Any) -> Connection:
        if args or options:
            return super().connection(*args, **options)
        if self._found is None:
            self._found = super().connection()
        return self._found


def after_commit(session: Session, callback: Callable[[], None]) -> None:
    """Call `callback` once the transaction of `session` has committed; never if it rolls back. Once each."""
    waiting = session.info.setdefault(_AFTER_COMMIT, [])
    if callback not in waiting:
        waiting.append(callback)


def insert_if_new(session: Session, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert `row`; False, and nothing done, where one of its keys is taken."""
    connection = session.connection()
    # What came back, not a row count: drivers do not agree on those.
    return connection.execute(_insertion(connection.dialect.name, table), row).first() is not None


@cache
def _insertion(dialect: str, table: Table) -> Any:
    # Either dialect has its own statement for it, with the same words.
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing().returning(literal(1))


def newest_revision(folder: Path) -> str:
    """The newest of the migrations in `folder`: their files are named for their revisions, which count up."""
    return max(file.name for file in (folder / "versions").glob("[0-9]*.py")).partition("_")[0]


def run_migrations(package_version_table: str | None = None) -> None:
    """What each package's ``migrations/env.py`` calls: run on the connection that `Database.migrate` handed over."""
    from alembic import context

    config = context.config
    connection: Any = config.attributes["connection"]
    context.configure(
        connection=connection,
        version_table=package_version_table or config.attributes["version_table"],
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _engine(url: str) -> Engine:
    # What fails is logged with its message: without the parameters, for they are permits, answers and credentials.
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise Malformed(
            "the database URL cannot be read; it looks like sqlite:///file or postgresql://host/name"
        ) from error
    if parsed.get_backend_name() == "postgresql":
        pooled = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=POOL_SIZE,
            max_overflow=POOL_OVERFLOW,
            # Whoever asks gets the connection used last, so that the surplus of a busy hour stays idle.
            pool_use_lifo=True,
            hide_parameters=True,
        )
        event.listen(pooled, "checkin", _note_use)
        event.listen(pooled, "checkout", _ask_if_idle(pooled))
        return pooled
    if parsed.get_backend_name() != "sqlite":
        raise Malformed(f"databases are sqlite or postgresql, not {parsed.get_backend_name()}")
    engine = create_engine(parsed, connect_args={"check_same_thread": False}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _note_use(_connection: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _ask_if_idle(engine: Engine) -> Callable[[Any, Any, Any], None]:
    def ask(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("used", time.monotonic()) < IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except (DBAPIError, engine.dialect.dbapi.Error) as error:  # type: ignore[union-attr]
            raise DisconnectionError("the connection died while it was idle") from error  # the pool opens another

    return ask


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not open transactions by itself: it would do so too late (at the first write) and deferred.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    kind = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {kind}")
