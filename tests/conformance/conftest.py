"""The two connectors of the connector's own tests, here too."""

from tests.connector.conftest import migrated_sqlite, pair, two_sqlite

__all__ = ["migrated_sqlite", "pair", "two_sqlite"]
