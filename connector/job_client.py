"""Calls about jobs, over the management API of the connector that sends them."""

from urllib.parse import quote

from connector.management.answers import Job, Jobs
from hexi.canonical import Json
from hexi.client import ServiceClient
from sandbox.preview import DryRun, TwinFormat, TwinSidecar


class JobClient:
    """Runs that wait at their provider. Take it from `connector.client.ConnectorClient.jobs`."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def submit(self, transfer: str, query: str, *, purpose: str | None = None, run: str | None = None) -> Job:
        """Let a query wait at the provider's sandbox; the same `run` id again is the same job."""
        asked: dict[str, Json] = {"transfer": transfer, "query": query, "purpose": purpose, "run": run}
        return self._service.read(Job, self._service.post("/jobs", asked))

    def dry_run(self, product: str, query: str) -> DryRun:
        """What would come of a query over a product of the space, before anything is agreed."""
        return self._service.read(DryRun, self._service.post("/dry-runs", {"product": product, "query": query}))

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

    def list(self, transfer: str) -> tuple[Job, ...]:
        """Our newest jobs at the provider of a transfer."""
        return self._service.read(Jobs, self._service.get("/jobs", {"transfer": transfer})).items

    def cancel(self, transfer: str, run: str) -> Job:
        """End a job."""
        return self._service.read(Job, self._service.post(f"{_at(run)}/cancellation", {"transfer": transfer}))


def _at(run: str) -> str:
    return f"/jobs/{quote(run, safe='')}"
