"""The witness: a thread that keeps the chain up with the log.

The log is the outbox: what it holds and the chain does not, goes to the chain, at start and whenever the log has grown.
An in-process chain forgets at exit; the first look after a start writes everything to the new one.
"""

import threading
from dataclasses import dataclass, field

import structlog

from hexi.database import Database
from ledger.anchors import catch_up
from ledger.chain import Chain
from ledger.log import Log

log = structlog.get_logger("marketplace.witness")

# How long a starting service is left alone before the chain is started, in seconds: an EVM takes all of one core.
FIRST_LOOK_SECONDS = 1.0
# How long a stopping service waits for the chain to finish what it does, in seconds.
STOP_SECONDS = 5.0


@dataclass
class Witness:
    """Tells `chain` what `log` holds, every `seconds` if there is something new."""

    database: Database
    log: Log
    chain: Chain
    seconds: float
    _told: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def on_chain(self, index: int) -> bool:
        """Whether the chain was told of the rights registered at this place in the log."""
        return index <= self.chain.rights_seen

    def look(self) -> bool:
        """Bring the chain up to the log, if the log has grown; whether the chain is up to it now.

        A chain that fails is only reported: it is tried again at the next look, and nobody waits for it meanwhile.
        """
        try:
            with self.database.reading() as session:
                size = self.log.size(session)
            if size > self._told:
                self._told = max(self._told, catch_up(self.database, self.log, self.chain).size)
        except Exception as error:  # noqa: BLE001 - whatever it is, the witness goes on, and the log has everything
            # The code only: a message may carry the node's address, and with it somebody's key to it.
            log.warning("the chain is behind the log", why=getattr(error, "code", type(error).__name__))
            return False
        return True

    def start(self) -> None:
        """Look soon, and from now on."""
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; wait for the look under way."""
        self._stop.set()
        if self._thread:
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        pause = FIRST_LOOK_SECONDS
        while not self._stop.wait(pause):
            self.look()
            pause = self.seconds
