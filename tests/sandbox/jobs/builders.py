"""A clinic with a queue before its sandbox."""

from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from hexi.database import Database
from ledger.entries import Kind
from sandbox.jobs.consumers import Jobs
from sandbox.jobs.queue import Queue
from sandbox.jobs.scheduling import Limits
from sandbox.jobs.worker import Worker
from sandbox.permits import seal_permit
from sandbox.requests import seal_request
from tests.builders import SettableClock
from tests.sandbox.builders import Clinic, identity

BY_COUNTY = "SELECT county, count(*) AS n FROM visits GROUP BY county"


class Kept:
    """Evidence in a table, which every process counts in: one row a receipt."""

    def __init__(self, database: Database) -> None:
        self.engine = database.engine
        with self.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS receipts (run text)")

    def __call__(self, session: Session, kind: Kind, subject: str, document: str, facts: dict[str, str | int]) -> None:
        session.connection().execute(text("INSERT INTO receipts VALUES (:run)"), {"run": subject})

    def counted(self) -> Counter[str]:
        """Receipts by run."""
        with self.engine.connect() as connection:
            return Counter(run for (run,) in connection.exec_driver_sql("SELECT run FROM receipts"))


# A worker as any host would run one: a process that knows of the queue what stands in the database. It is given the
# database's URL, the clinic's folder and how many jobs it executes at a time.
WORKER = """
import sys
from tests.sandbox.jobs.builders import serve

serve(*sys.argv[1:])
"""


def serve(url: str, folder: str, jobs: str) -> None:
    """Work until told to stop. Its clock is a minute ahead, so the leases of the dead have run out for it at once."""
    database = Database(url)
    queued = Queued(database, Path(folder))
    queued.clock.advance(seconds=60)
    queued.clinic.evidence = Kept(database)
    queued.worker(jobs=int(jobs)).serve()


class Queued:
    """A clinic, its queue, and consumers who send jobs."""

    def __init__(self, database: Database, folder: Path, limits: Limits = Limits(), **disclosure: Any) -> None:
        database.migrate("sandbox")
        self.database = database
        self.clock = SettableClock()
        self.clinic = Clinic(database, folder, self.clock, **disclosure)
        self.queue = Queue(database, self.clock, limits)
        self.jobs = Jobs(database, self.queue, self.clinic.sandbox, self.clock)
        self.consumers = {"planner": self.clinic.planner}

    def worker(self, jobs: int = 1) -> Worker:
        """Another process over the same database, as far as this one can tell."""
        return Worker(
            self.database, Queue(self.database, self.clock, self.queue.limits), self.clinic.again(), jobs=jobs
        )

    def documents(self, query: str = BY_COUNTY, consumer: str = "planner", **changes: Any) -> tuple[str, str, str]:
        """(run, permit, request) of a consumer's, signed."""
        if consumer not in self.consumers:
            self.consumers[consumer] = identity(consumer)
            self.clinic.people.add(self.consumers[consumer])
        asker, permit = self.consumers[consumer], f"urn:uuid:permit-of-{consumer}"
        jws = seal_permit(
            self.clinic.permit(id=permit, holder=asker.did, runs=10_000),
            self.clinic.identity.key,
            self.clinic.identity.kid,
        )
        request = self.clinic.request(query, permit=permit, **changes)
        return request.run, jws, seal_request(request, asker.key, asker.kid)

    def submit(self, query: str = BY_COUNTY, consumer: str = "planner") -> str:
        """The run of a new job."""
        run, permit, request = self.documents(query, consumer)
        self.jobs.submit(permit, request)
        return run

    def did(self, consumer: str = "planner") -> str:
        return self.consumers[consumer].did

    def state(self, run: str, consumer: str = "planner") -> str:
        return str(self.jobs.job(run, self.did(consumer)).state)

    def told(self, run: str, consumer: str = "planner") -> list[str]:
        """The states that the job's events tell of."""
        return [str(event.state) for event in self.jobs.events(run, self.did(consumer))]

    def used(self, consumer: str = "planner") -> int:
        """How many runs of the consumer's permit are gone."""
        from sandbox import store

        with self.database.reading() as session:
            return store.permit(session, f"urn:uuid:permit-of-{consumer}").used

    def receipts(self) -> int:
        return len(self.clinic.evidence.entries)
