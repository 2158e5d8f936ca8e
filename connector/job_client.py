"""Calls about jobs, over the management API of the connector that sends them."""

import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from urllib.parse import quote

from connector.management.answers import CatalogueProduct, Job, Jobs
from hexi.canonical import Json
from hexi.client import ServiceClient, Unreachable
from hexi.errors import RemoteProblem
from sandbox.client import job_events
from sandbox.messages import JobEvent
from sandbox.preview import DryRun, TwinFormat, TwinSidecar
from sandbox.queries.query import SQL_MODE

# How long is waited, in seconds, before a job is followed again whose stream broke off.
AGAIN_SECONDS = 1.0


class JobClient:
    """Runs that wait at their provider. Take it from `connector.client.ConnectorClient.jobs`."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def submit(self, transfer: str, query: str, *, purpose: str | None = None, run: str | None = None) -> Job:
        """Let a query or a program wait at the provider's sandbox; the same `run` id again is the same job."""
        asked: dict[str, Json] = {"transfer": transfer, "query": query, "purpose": purpose, "run": run}
        return self._service.read(Job, self._service.post("/jobs", asked))

    def dry_run(self, product: str, query: str, mode: str = SQL_MODE) -> DryRun:
        """What would come of a query, or of a program (`mode`), over a product, before anything is agreed."""
        asked: dict[str, Json] = {"product": product, "query": query, "mode": mode}
        return self._service.read(DryRun, self._service.post("/dry-runs", asked))

    def described(self, product: str) -> CatalogueProduct:
        """A product of the space, as its provider signed it: what a dry run looks at, and a twin is drawn from."""
        return self._service.read(CatalogueProduct, self._service.get(f"/catalogue/{quote(product, safe='')}"))

    def twin(self, product: str) -> TwinSidecar:
        """What the synthetic twin of a product of the space is drawn from, and its tables."""
        return self._service.read(TwinSidecar, self._service.get(f"/twins/{quote(product, safe='')}"))

    def twin_table(self, product: str, table: str, format_: TwinFormat = TwinFormat.CSV) -> bytes:
        """A table of a twin."""
        path = f"/twins/{quote(product, safe='')}/tables/{quote(table, safe='')}"
        return self._service.raw("GET", path, params={"format": format_.value}).content

    def show(self, transfer: str, run: str) -> Job:
        """A job as it stands; its `answer` is None while there is none."""
        return self._service.read(Job, self._service.get(_at(run), {"transfer": transfer}))

    def events(self, transfer: str, run: str, after: int = 0) -> Generator[JobEvent, None, None]:
        """What happens to a job after event number `after`, as it happens; it ends with the job, or where its
        provider's stream breaks off. `wait` goes on then.
        """
        with closing(job_events(self._service, f"{_at(run)}/events", after, {"transfer": transfer})) as told:
            yield from (event for event in told if event is not None)

    def wait(self, transfer: str, run: str, seen: Callable[[JobEvent], None] = lambda _: None) -> Job:
        """The job once it has ended; `seen` gets what happens until then. What cannot be followed is looked at."""
        after = 0
        while True:
            with suppress(RemoteProblem, Unreachable):
                for event in self.events(transfer, run, after):
                    after = event.number
                    seen(event)
            job = self.show(transfer, run)  # which raises what is not otherwise in a moment
            if job.finished is not None:
                return job
            time.sleep(AGAIN_SECONDS)

    def list(self, transfer: str) -> tuple[Job, ...]:
        """Our newest jobs at the provider of a transfer."""
        return self._service.read(Jobs, self._service.get("/jobs", {"transfer": transfer})).items

    def cancel(self, transfer: str, run: str) -> Job:
        """End a job."""
        return self._service.read(Job, self._service.post(f"{_at(run)}/cancellation", {"transfer": transfer}))


def _at(run: str) -> str:
    return f"/jobs/{quote(run, safe='')}"
