"""The threads that crawl, until told to stop.

One question occupies one thread, and a peer is asked one question at a time, whoever waits longest first. Half of the
threads leave peers alone that were slow the last time, so that however many of those there are, the others are crawled.
"""

import threading
from collections.abc import Callable

import structlog

from connector.crawler.crawler import Crawler
from connector.crawler.roster import Roster
from hexi.errors import DataspaceError

log = structlog.get_logger("connector.crawler")

# How often a thread looks for a peer that came due by itself, in seconds.
IDLE_SECONDS = 2.0
# How soon the registry is read again where it could not be, in seconds.
RETRY_SECONDS = 30.0
# How long stopping waits for questions under way, in seconds; what is cut off then is asked again after the restart.
STOP_SECONDS = 2.0


class CrawlWorker:
    """`parallel` threads over `crawler`, for the peers of `roster`; and one that follows the registry, if it should."""

    def __init__(self, crawler: Crawler, roster: Roster, *, follows_registry: bool, parallel: int) -> None:
        self._stopping = threading.Event()
        self._work = roster.work
        quick = parallel // 2
        self._threads = [
            threading.Thread(target=self._crawl, args=(crawler, n < quick), name=f"connector-crawl-{n}", daemon=True)
            for n in range(parallel)
        ]
        if follows_registry:
            self._threads.append(
                threading.Thread(target=self._follow, args=(roster,), name="connector-crawl-roster", daemon=True)
            )

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End. Nothing is lost: a crawl goes on at the page it had come to."""
        self._stopping.set()
        self._work.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS / len(self._threads))

    def _crawl(self, crawler: Crawler, quick: bool) -> None:
        while not self._stopping.is_set():
            self._work.clear()  # before looking: whoever is hastened from here on sets it again
            if not self._tried(lambda: crawler.step(quick=quick)) and not self._stopping.is_set():
                self._work.wait(IDLE_SECONDS)

    def _follow(self, roster: Roster) -> None:
        while not self._stopping.is_set():
            read = self._tried(roster.follow_registry)
            self._stopping.wait(roster.every if read else min(roster.every, RETRY_SECONDS))

    def _tried(self, does: Callable[[], bool]) -> bool:
        try:
            return does()
        except DataspaceError as error:
            log.warning("the registry's list was not read", why=error.detail)
        except Exception as error:
            log.error("crawling failed unexpectedly", exc_info=error)
        return False
