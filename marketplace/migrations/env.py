"""Alembic's entry; see `hexi.database.Database.migrate`."""

from hexi.database import run_migrations

run_migrations()
