"""Stopping a computation that nobody wants any more: the isolated process group is killed while it is waited for."""

import contextlib
import os


class Stopped(Exception):
    """The computation was told to stop. It never leaves this package: whoever told so knows why."""


class Stop:
    """Told once, by another thread; whoever waits for the computation waits for `fileno` as well."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """Readable once told."""
        return self._descriptor

    def tell(self) -> None:
        """Stop, now and for good. Too late does no harm."""
        if self._descriptor >= 0:
            os.eventfd_write(self._descriptor, 1)

    def close(self) -> None:
        """Give the descriptor back; the caller sees to it that nobody tells any more."""
        descriptor, self._descriptor = self._descriptor, -1
        with contextlib.suppress(OSError):
            os.close(descriptor)
