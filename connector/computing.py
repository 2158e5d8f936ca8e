"""The sandbox of a connector, put together: runs, the queue before them, and the worker that executes what waits.

    with computing_worker(settings_of(home)) as worker:
        worker.start()

A worker may also stand alone, on any host that reaches the connector's database, its home (the key that signs receipts
and the secret that noise is drawn from) and the files of its products under the same names.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import APIRouter

import sandbox.algorithms.api
import sandbox.api
import sandbox.jobs.api
from connector.contracts import publishing
from connector.contracts.evidence import Evidence
from connector.protocol.peers import of_the_space
from connector.settings import ConnectorSettings
from connector.space import space_of
from hexi.canonical import Clock, system_clock
from hexi.database import Database
from hexi.errors import Malformed
from registry.identity import KEY_FILE as IDENTITY_FILE
from registry.identity import Identity, did_web
from registry.trust import Trust
from sandbox.algorithms.repository import Algorithms
from sandbox.cubes.noise_key import KEY_FILE as NOISE_FILE
from sandbox.cubes.noise_key import noise_key
from sandbox.jobs.consumers import Jobs
from sandbox.jobs.queue import Queue
from sandbox.jobs.worker import Worker
from sandbox.lane import Contribute
from sandbox.runs import Evidence as Record
from sandbox.runs import Sandbox
from sandbox.settings import SandboxSettings


@dataclass(frozen=True)
class Computing:
    """What a connector computes with."""

    sandbox: Sandbox
    jobs: Jobs
    worker: Worker
    algorithms: Algorithms

    @classmethod
    def over(
        cls,
        settings: ConnectorSettings,
        database: Database,
        identity: Identity,
        trust: Trust,
        record: Record,
        contribute: Contribute,
        clock: Clock,
    ) -> "Computing":
        """The sandbox over the connector's database and products."""
        limits = SandboxSettings(aggregation_point=settings.aggregation_point)
        runs = Sandbox(
            database,
            identity,
            trust,
            publishing.dataset,
            record,
            clock,
            limits,
            contribute=contribute,
            key=noise_key(settings.home),
        )
        queue = Queue(database, clock)
        worker = Worker(database, queue, runs, jobs=limits.jobs)
        algorithms = Algorithms(database, identity.did, publishing.dataset, record, clock, limits)
        return cls(runs, Jobs(database, queue, runs, clock, worker.wake), worker, algorithms)

    def routers(self) -> tuple[APIRouter, ...]:
        """The routes under /sandbox."""
        return (
            sandbox.api.create_router(self.sandbox),
            sandbox.jobs.api.create_router(self.jobs),
            sandbox.algorithms.api.create_router(self.algorithms),
        )


@contextmanager
def computing_worker(settings: ConnectorSettings, clock: Clock = system_clock) -> Iterator[Worker]:
    """The worker of a connector, without the connector. What it records is delivered by the connector's outbox.

    Raises `Malformed` where the connector's folder is not there with both of its secrets: with others of its own making
    this worker would sign as a stranger, and draw a second noise over the same data.
    """
    if not all((settings.home / name).exists() for name in (IDENTITY_FILE, NOISE_FILE)):
        raise Malformed(
            f"{settings.home} lacks {IDENTITY_FILE} or {NOISE_FILE}; a worker works for a connector and needs its "
            "folder: serve the connector once, and give the worker a copy or a mount of its --home"
        )
    identity = Identity.load(settings.home, did_web(settings.url))
    database = Database(settings.database)
    database.migrate("sandbox")
    database.migrate("connector")
    space = space_of(settings, identity, clock, None, of_the_space)
    evidence = Evidence(identity, settings.operator, f"{settings.space_url.rstrip('/')}/ledger/entries", clock)
    try:
        yield Computing.over(
            settings, database, identity, space.peers.trust, evidence.record, space.contribute, clock
        ).worker
    finally:
        database.dispose()
