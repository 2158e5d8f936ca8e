"""Builders: the common case is one call without arguments."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass
class SettableClock:
    """A clock that stands still until it is told to move. It is a `hexi.canonical.Clock`."""

    now: datetime = field(default_factory=lambda: datetime(2026, 11, 23, 8, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        """Move on, e.g. ``advance(minutes=5)``."""
        self.now += timedelta(**span)
