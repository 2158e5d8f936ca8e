"""The threads that carry out pushes and downloads, until told to stop.

One delivery occupies one thread, so a few of them bound how much is under way at once; the messages of the protocol
have threads of their own (`connector.protocol.worker`) and are never held up by a large file.
"""

import threading
from collections.abc import Callable, Sequence

import structlog

log = structlog.get_logger("connector.data")

# Deliveries under way at once in this process, of each kind. A single one can fill a core with encryption.
THREADS = 4
# How many of them one participant may have: a slow reader, or a slow writer, must not hold up all the others.
SHARE = THREADS - 1
# How often somebody looks for work of a kind, in seconds.
IDLE_SECONDS = 0.5
# How long stopping waits for a delivery to notice, in seconds; what is cut off then is resumed after the restart.
STOP_SECONDS = 2.0


class DeliveryWorker:
    """Threads over `steps`; each takes one piece of work and says whether there was any.

    Of the threads of a kind that have nothing to do, one looks and the others wait for their turn.
    """

    def __init__(self, steps: Sequence[Callable[[], bool]], *, threads: int = THREADS) -> None:
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(step, turn), name=f"connector-delivery-{number}", daemon=True)
            for step, turn in ((step, threading.Lock()) for step in steps)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End. Nothing is lost: what is under way is resumed where it stands."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS / len(self._threads))

    def _run(self, step: Callable[[], bool], turn: threading.Lock) -> None:
        while not self._stopping.is_set():
            try:
                worked = step()
            except Exception as error:
                log.error("a delivery failed unexpectedly", exc_info=error)
                worked = False
            if not worked:
                with turn:
                    self._stopping.wait(IDLE_SECONDS)
