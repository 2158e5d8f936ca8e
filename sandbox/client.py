"""Calls to a sandbox, to its reviewers' desk, and to an aggregation point."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from urllib.parse import quote

import httpx

from hexi.canonical import Json, parse
from hexi.client import ServiceClient, Unreachable
from hexi.errors import Malformed
from sandbox.airlock.messages import ReviewBody, ReviewSummary
from sandbox.messages import (
    AggregationAnswer,
    ContributionAnswer,
    JobAnswer,
    JobEvent,
    JobList,
    RunAnswer,
    from_base64,
    to_base64,
)
from sandbox.preview import DryRun, TwinFormat, TwinSidecar
from sandbox.queries.query import SQL_MODE

Authorise = Callable[[], str]


class SandboxClient:
    """`base_url` is the address of the service the sandbox is part of, without ``/sandbox``."""

    def __init__(
        self, base_url: str, transport: httpx.BaseTransport | None = None, *, authorise: Authorise | None = None
    ) -> None:
        self._service = ServiceClient(base_url, "the sandbox", authorise=authorise, transport=transport)

    def run(self, permit: str, request: str, context: bytes | None = None) -> RunAnswer:
        """Send a run, or the same run again. Raises `RemoteProblem`, `Unreachable`."""
        body = {"permit": permit, "request": request, "context": to_base64(context) if context else None}
        return self._service.read(RunAnswer, self._service.post("/sandbox/runs", body))

    def answer(self, run: str) -> RunAnswer:
        """The answer to an earlier run of ours. Raises `RemoteProblem`, `Unreachable`."""
        return self._service.read(RunAnswer, self._service.get(f"/sandbox/runs/{quote(run, safe='')}"))

    def withdraw(self, run: str) -> RunAnswer:
        """Give up a run of ours that is held for review. Raises `RemoteProblem`, `Unreachable`."""
        return self._service.read(
            RunAnswer, self._service.post(f"/sandbox/runs/{quote(run, safe='')}/withdrawal", None)
        )

    def dry_run(self, product: str, query: str, mode: str = SQL_MODE) -> DryRun:
        """What would come of a query, before anything is agreed. Raises `RemoteProblem`, `Unreachable`."""
        body = {"product": product, "query": query, "mode": mode}
        return self._service.read(DryRun, self._service.post("/sandbox/dry-runs", body))

    def twin(self, product: str) -> TwinSidecar:
        """What the synthetic twin of a product is drawn from. Raises `RemoteProblem`, `Unreachable`."""
        return self._service.read(TwinSidecar, self._service.get(f"/sandbox/twins/{quote(product, safe='')}"))

    def twin_table(self, product: str, table: str, format_: TwinFormat) -> bytes:
        """A table of the twin. Raises `RemoteProblem`, `Unreachable`."""
        path = f"/sandbox/twins/{quote(product, safe='')}/tables/{quote(table, safe='')}"
        return self._service.raw("GET", path, params={"format": format_.value}).content

    def submit(self, permit: str, request: str, context: bytes | None = None) -> JobAnswer:
        """Send a run to wait for a worker, or the same again. Raises `RemoteProblem`, `Unreachable`."""
        body = {"permit": permit, "request": request, "context": to_base64(context) if context else None}
        return self._service.read(JobAnswer, self._service.post("/sandbox/jobs", body))

    def job(self, run: str) -> JobAnswer:
        """A job of ours. Raises `RemoteProblem`, `Unreachable`."""
        return self._service.read(JobAnswer, self._service.get(_job(run)))

    def jobs(self) -> JobList:
        """Our newest jobs. Raises `RemoteProblem`, `Unreachable`."""
        return self._service.read(JobList, self._service.get("/sandbox/jobs"))

    def cancel(self, run: str) -> JobAnswer:
        """End a job of ours. Raises `RemoteProblem`, `Unreachable`."""
        return self._service.read(JobAnswer, self._service.post(f"{_job(run)}/cancel"))

    def events(self, run: str, after: int = 0) -> Iterator[JobEvent]:
        """What happens to a job of ours after event number `after`, as it happens, until it ends.

        Raises `RemoteProblem`, `Unreachable`; whoever asks again after the last event had misses nothing.
        """
        with closing(self.follow(run, after)) as told:
            yield from (event for event in told if event is not None)

    def follow(self, run: str, after: int = 0) -> Generator[JobEvent | None, None, None]:
        """As `events`; None is a sign of life: the first comes when the provider has begun to tell."""
        return job_events(self._service, f"{_job(run)}/events", after)

    def close(self) -> None:
        """Close the connections."""
        self._service.close()


class ReviewClient:
    """A reviewer's calls. `token` is the reviewer's own, told when the provider added them."""

    def __init__(self, base_url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self._service = ServiceClient(base_url, "the sandbox", authorise=lambda: f"Bearer {token}", transport=transport)

    def reviews(self, *, every: bool = False) -> list[ReviewSummary]:
        """What waits for reviewers, oldest first; with `every` the newest of every state."""
        found = self._service.get("/sandbox/reviews", {"all": "true"} if every else None)
        return [ReviewSummary.model_validate(one) for one in found]

    def look(self, run: str) -> ReviewBody:
        """A held output, and all there is to see about it."""
        return self._service.read(ReviewBody, self._service.get(f"/sandbox/reviews/{quote(run, safe='')}"))

    def vote(self, run: str, decision: str, reason: str) -> ReviewSummary:
        """``approve`` or ``reject``, with a reason."""
        path = f"/sandbox/reviews/{quote(run, safe='')}/votes"
        return self._service.read(ReviewSummary, self._service.post(path, {"decision": decision, "reason": reason}))


def job_events(
    service: ServiceClient, path: str, after: int, params: Mapping[str, str] | None = None
) -> Generator[JobEvent | None, None, None]:
    """The events of a job that `service` tells at `path`; None for a sign of life. Raises as `SandboxClient.events`."""
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": str(after)} if after else {})}
    with service.lines(path, headers, params) as lines:
        yield None
        for line in lines:
            if line.startswith("data:"):
                yield service.read(JobEvent, _json(line.removeprefix("data:")))
            elif line.startswith(":"):
                yield None


def _json(text: str) -> Json:
    try:
        return parse(text)
    except Malformed as error:
        raise Unreachable("a stream of events tells something that is not JSON") from error


def _job(run: str) -> str:
    return f"/sandbox/jobs/{quote(run, safe='')}"


class AggregationClient:
    """`base_url` is the address of the service the point is part of, without ``/aggregations``."""

    def __init__(self, base_url: str, authorise: Authorise, transport: httpx.BaseTransport | None = None) -> None:
        self._service = ServiceClient(base_url, "the aggregation point", authorise=authorise, transport=transport)

    def open(self, job: str, contributors: Sequence[str], context: bytes) -> AggregationAnswer:
        """Open a job and become its planner."""
        body = {"job": job, "contributors": list(contributors), "context": to_base64(context)}
        return self._service.read(AggregationAnswer, self._service.post("/aggregations", body))

    def contribute(self, job: str, ciphertext: bytes, run: str, terms: str) -> ContributionAnswer:
        """Contribute an encrypted number on these `terms`; sending it twice is harmless."""
        body = {"ciphertext": to_base64(ciphertext), "run": run, "terms": terms}
        return self._service.read(
            ContributionAnswer, self._service.post(f"/aggregations/{quote(job, safe='')}/contributions", body)
        )

    def view(self, job: str) -> AggregationAnswer:
        """Our job."""
        return self._service.read(AggregationAnswer, self._service.get(f"/aggregations/{quote(job, safe='')}"))

    def total(self, job: str) -> bytes | None:
        """The encrypted total, once it is there."""
        total = self.view(job).total
        return from_base64(total) if total else None
