"""A worker's work done by hand: what its threads do, one step at a time, in an order that a test chooses."""

from connector.protocol.dispatch import Outcome
from connector.protocol.worker import Worker
from tests.connector.pair import End


class Hand:
    """Sends what `end` hands over in memory from now on, and records what came of it."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.end.engine.ready.open()
        self._worker = Worker(end.engine)
        self._outcomes: list[Outcome] = []

    def send(self) -> bool:
        """Send the next message that waits in memory; whether there was one."""
        ready = self.end.engine.ready
        if ready.is_empty() or (item := ready.get()) is None:
            return False
        answered = False
        try:
            answer = self.end.engine.dispatcher.attempt(item)
            answered = answer.status is not None
            self._outcomes.append((item, answer))
        finally:
            ready.sent(item, answered=answered)
        return True

    def record(self) -> bool:
        """Record what came of the oldest message sent, unless a reply has settled it; whether there was one."""
        if not self._outcomes:
            return False
        outcome = self._outcomes.pop(0)
        if not self._worker._is_settled(outcome):
            self.end.engine.dispatcher.record([outcome])
        self.end.engine.ready.forget(outcome[0])
        return True

    def lose(self) -> None:
        """What is in memory is gone, and nothing more comes there."""
        ready = self.end.engine.ready
        ready.close()
        for outcome in self._outcomes:
            ready.forget(outcome[0])
        self._outcomes.clear()
        while (item := ready.get()) is not None:
            ready.sent(item, answered=True)
            ready.forget(item)
