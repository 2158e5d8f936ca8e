"""Computations asked for from here: runs in a provider's sandbox, and sums over several providers' encrypted numbers.

A run's answer counts only with its receipt: the provider's signature over what was asked, under which permit, and the
digest of what came out. An answer that its receipt does not prove is refused, whatever it says.
"""

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from connector.contracts import store
from connector.contracts.errors import (
    AggregationIncomplete,
    AnswerInvalid,
    JobLost,
    NotADataAddress,
    TransferNotStarted,
)
from connector.contracts.store import Asked
from connector.fulfilment import SANDBOX_PATH, permit_in
from connector.management.following import Followed, Following
from connector.protocol.callbacks import check_callback, peer_transport
from connector.protocol.engine import Engine
from connector.protocol.processes import Process, Role
from connector.protocol.transfer import State
from hexi.canonical import Clock, Json, digest, digest_bytes, instant
from hexi.database import Database
from hexi.errors import DataspaceError, Malformed, RemoteProblem
from hexi.keys import read_unverified
from ledger.documents import SignedDocument, verify_document
from privacy.disclosure import ROUNDING
from privacy.homomorphic import SumKey, new_job
from registry.identity import Identity
from registry.trust import Trust
from sandbox.client import AggregationClient, SandboxClient
from sandbox.errors import RunUnknown as NoSuchRun
from sandbox.messages import JobAnswer, from_base64
from sandbox.outputs import output_digest
from sandbox.permits import Permit, read_permit
from sandbox.queries.query import SQL_MODE, SUM_MODE
from sandbox.requests import EncryptedSum, RunRequest, seal_request

RUN, SUM = "run", "encrypted-sum"
HELD = "held"
RECEIPT_TYPE = "run-receipt"

# An encrypted sum over fewer would tell each contributor the other's number. The aggregation point refuses it as well.
MINIMUM_CONTRIBUTORS = 3
# Encrypted sums in work at once: each holds a secret key in memory, and the oldest unfinished one gives way.
MAX_JOBS = 64


@dataclass(frozen=True)
class Access:
    """What a started transfer gives: whose sandbox, at which service, and the permit for it (read, and as signed)."""

    provider: str
    service: str
    permit: Permit
    jws: str = field(repr=False)


@dataclass(frozen=True)
class Question:
    """A run asked for: its access, id, query or program, purpose, and what an encrypted sum adds."""

    access: Access
    run: str
    query: str
    purpose: str | None
    encrypted_sum: EncryptedSum | None = None

    @property
    def mode(self) -> str:
        """A permit is for one mode; an encrypted sum says so itself."""
        return SUM_MODE if self.encrypted_sum else next(iter(self.access.permit.operations), SQL_MODE)


@dataclass(frozen=True)
class _Job:
    """An encrypted sum in work. The key lives here and nowhere else, so a job dies with the process."""

    key: SumKey
    runs: Mapping[str, str]


class Computations:
    """Asks for runs and encrypted sums, and checks what comes back."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        identity: Identity,
        trust: Trust,
        aggregation: AggregationClient,
        point: str,
        clock: Clock,
        *,
        authorise: Callable[[str], str],
        unsafe_allow_loopback: bool,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._database = database
        self._engine = engine
        self._identity = identity
        self._trust = trust
        self._aggregation = aggregation
        self._point = point
        self._clock = clock
        self._authorise = authorise
        self._unsafe_allow_loopback = unsafe_allow_loopback
        self._transport = transport or peer_transport(unsafe_allow_loopback=unsafe_allow_loopback)
        self._following = Following(authorise, unsafe_allow_loopback=unsafe_allow_loopback, transport=transport)
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()

    def run(self, transfer: str, query: str, purpose: str | None, run: str | None) -> dict[str, Any]:
        """The answer to `query` under the permit of `transfer`. The same run id again gives the stored answer; where
        the run is held for review, the provider is asked again how it stands.

        Raises `TransferNotStarted`, `RequestIdTaken`, `NotADataAddress`, `AnswerInvalid`, and what the sandbox answers.
        """
        question, asked = self._question(transfer, query, purpose, run)
        return self._ask(question, asked, None)

    def submit(self, transfer: str, query: str, purpose: str | None, run: str | None) -> dict[str, Any]:
        """The same as a job that waits at the provider; the same run id again is the same job. Raises as `run` does."""
        question, asked_digest = self._question(transfer, query, purpose, run)
        asked = self._keep(question, asked_digest)
        job = self._client(question.access).submit(question.access.jws, asked.request)
        return self._with_answer(question.access, job)

    def job(self, transfer: str, run: str) -> dict[str, Any]:
        """A job of ours as it stands, with its answer once there is one, which is proved and kept.

        Raises `TransferNotStarted`, `RunUnknown`, `AnswerInvalid`, and what the sandbox answers.
        """
        access = self._access(transfer)
        return self._with_answer(access, self._client(access).job(run))

    def jobs(self, transfer: str) -> list[dict[str, Any]]:
        """Our newest jobs at the provider of `transfer`, without their answers."""
        return [{**job.to_json(), "answer": None} for job in self._client(self._access(transfer)).jobs().jobs]

    def follow(self, transfer: str, run: str, after: int) -> Followed:
        """What happens to a job of ours after its event number `after`, as its provider tells it, until it ends.

        Raises `TransferNotStarted`, `RunUnknown`; and when it is read, what `Following.events` raises.
        """
        access = self._access(transfer)
        with self._database.reading() as session:
            store.asked(session, RUN, run)
        return self._following.events(access.provider, access.service, run, after)

    def cancel(self, transfer: str, run: str) -> dict[str, Any]:
        """End a job of ours. Raises as `job` does."""
        access = self._access(transfer)
        return self._with_answer(access, self._client(access).cancel(run))

    def answer(self, run: str) -> dict[str, Any] | None:
        """The stored answer of a run, or None while there is none. Raises `RunUnknown`."""
        with self._database.reading() as session:
            answer: dict[str, Any] | None = store.asked(session, RUN, run).answer
            return answer

    def withdraw(self, transfer: str, run: str) -> dict[str, Any]:
        """Give up a run that its provider holds for review; twice is once. Its answer, a refusal.

        Raises `TransferNotStarted`, `RunUnknown`, `AnswerInvalid`, and what the sandbox answers.
        """
        access = self._access(transfer)
        with self._database.reading() as session:
            asked = store.asked(session, RUN, run)
        if asked.answer is None:
            answer = self._client(access).withdraw(run).to_json()
            return self._proved(answer, Question(access, run, "", None), asked.request)
        stored: dict[str, Any] = asked.answer
        return stored

    def encrypted_sum(self, transfers: Sequence[str], query: str, job: str | None) -> dict[str, Any]:
        """The sum of every provider's number, rounded; no single number is ever seen, neither here nor underway.

        A job whose contributors do not all release gives no total and says who did not, and why. The same job
        again continues where it stood. Raises `TransferNotStarted`, `AggregationIncomplete`, and what sandboxes and
        space answer.
        """
        accesses = {access.provider: access for access in map(self._access, transfers)}
        if len(accesses) < MINIMUM_CONTRIBUTORS or len(accesses) < len(transfers):
            raise Malformed(f"an encrypted sum needs transfers from {MINIMUM_CONTRIBUTORS} or more different providers")
        job_id = job or f"urn:uuid:{uuid.uuid4()}"
        asked = Asked(job_id, digest({"transfers": sorted(transfers), "query": query}), "", None)
        with self._database.transaction() as session:
            known = store.add_asked(session, SUM, asked, instant(self._clock()))
        if known.answer is not None:
            done: dict[str, Any] = known.answer
            return done
        self._begin(job_id, accesses, fresh=known is asked)
        answer = self._sum(job_id, self._jobs[job_id], accesses, query)
        with self._database.transaction() as session:
            store.set_answer(session, job_id, answer)
        with self._lock:
            self._jobs.pop(job_id, None)
        return answer

    def _sum(self, job_id: str, job: _Job, accesses: Mapping[str, Access], query: str) -> dict[str, Any]:
        context, contributors = job.key.public_context, list(accesses)
        self._aggregation.open(job_id, contributors, context)
        details = EncryptedSum(
            job=job_id,
            point=self._point,
            contributors=tuple(contributors),
            context=digest_bytes(context),
        )
        answers = {
            provider: self._ask(
                Question(access, job.runs[provider], query, access.permit.purpose, details),
                digest({"job": job_id, "query": query, "permit": access.permit.id}),
                context,
            )
            for provider, access in accesses.items()
        }
        refused = [
            {"contributor": provider, "reasons": answer["reasons"]}
            for provider, answer in answers.items()
            if answer["verdict"] != "released"
        ]
        receipts = [answer["receipt"] for answer in answers.values()]
        total, proof = (None, None) if refused else self._total(job_id, job)
        return {
            "job": job_id,
            "total": total,
            "contributors": contributors,
            "runs": dict(job.runs),
            "refused": refused,
            "receipts": receipts,
            "receipt": proof,
        }

    def _total(self, job_id: str, job: _Job) -> tuple[int, Json]:
        """The decrypted, rounded total, and the operator's signed word on how it was added up."""
        done = self._aggregation.view(job_id)
        if done.total is None:
            raise AggregationIncomplete("not every contribution has arrived; ask again with the same job id")
        return job.key.decrypt(from_base64(done.total), ROUNDING), done.receipt

    def _begin(self, job_id: str, providers: Iterable[str], *, fresh: bool) -> None:
        """Make the job's key, or find it. Raises `JobLost` when the process that made it has ended."""
        with self._lock:
            if job_id in self._jobs:
                return
            if not fresh:
                raise JobLost("the process that began this sum has ended, and its key with it; take a fresh job id")
            if len(self._jobs) >= MAX_JOBS:
                self._jobs.pop(next(iter(self._jobs)))
            self._jobs[job_id] = _Job(new_job(), {provider: f"urn:uuid:{uuid.uuid4()}" for provider in providers})

    def _access(self, transfer: str) -> Access:
        """What `transfer` gives now. (1) We are its consumer. (2) It has started. (3) Its data address is a sandbox.

        (4) That sandbox is on the provider's own host, so that nobody is led to send requests elsewhere.
        """
        with self._database.reading() as session:
            process: Process = self._engine.transfer(session, transfer)
        if process.role is not Role.CONSUMER or process.state != State.STARTED:  # (1) (2)
            raise TransferNotStarted(f"the transfer is {process.state}; runs need one of ours that has STARTED")
        jws = permit_in(process.data_address)
        if jws is None or process.data_address is None:  # (3)
            raise NotADataAddress("the transfer does not lead to a sandbox")
        endpoint = str(process.data_address.get("endpoint", ""))
        home = self._trust.participant(process.counterparty).dsp_url
        if urlsplit(endpoint)[:2] != urlsplit(home)[:2]:  # (4)
            raise NotADataAddress(f"the sandbox offered is not on the host of {process.counterparty}")
        check_callback(endpoint, unsafe_allow_loopback=self._unsafe_allow_loopback)
        return Access(process.counterparty, endpoint.removesuffix(SANDBOX_PATH), read_permit(jws), jws)

    def _ask(self, question: Question, asked_digest: str, context: bytes | None) -> dict[str, Any]:
        asked = self._keep(question, asked_digest)
        if asked.answer is not None:
            stored: dict[str, Any] = asked.answer
            return stored
        client = SandboxClient(question.access.service, transport=self._transport)
        answer = client.run(question.access.jws, asked.request, context).to_json()
        return self._proved(answer, question, asked.request)

    def _with_answer(self, access: Access, job: JobAnswer) -> dict[str, Any]:
        """A job with the answer of its run: the stored one, or the provider's, proved and kept from now on."""
        with self._database.reading() as session:
            asked = store.asked(session, RUN, job.run)
        answer = asked.answer
        # A job that ended otherwise has an answer too, a refusal, if it had begun to compute.
        if answer is None and job.finished is not None:
            try:
                answer = self._client(access).answer(job.run).to_json()
            except RemoteProblem as problem:
                if problem.code != NoSuchRun.code:
                    raise
            else:
                answer = self._proved(answer, Question(access, job.run, "", None), asked.request)
        return {**job.to_json(), "answer": answer}

    def _question(self, transfer: str, query: str, purpose: str | None, run: str | None) -> tuple[Question, str]:
        """What is asked under `transfer`, and the digest by which the same question is known again."""
        access = self._access(transfer)
        purpose = purpose if purpose is not None else access.permit.purpose
        asked = digest({"transfer": transfer, "query": query, "purpose": purpose})
        return Question(access, run or f"urn:uuid:{uuid.uuid4()}", query, purpose), asked

    def _client(self, access: Access) -> SandboxClient:
        """The provider's sandbox, which is told who asks."""
        return SandboxClient(
            access.service, transport=self._transport, authorise=lambda: self._authorise(access.provider)
        )

    def _keep(self, question: Question, asked_digest: str) -> Asked:
        """The question, kept before it is sent; asked before, it keeps its signed request."""
        fresh = Asked(question.run, asked_digest, self._signed(question), None)
        with self._database.transaction() as session:
            return store.add_asked(session, RUN, fresh, instant(self._clock()))

    def _proved(self, answer: dict[str, Any], question: Question, request: str) -> dict[str, Any]:
        """The answer, once its receipt proves it, kept. One that is held has nothing to prove yet, nor to keep."""
        if answer["verdict"] != HELD:
            self._check(answer, question, request)
            with self._database.transaction() as session:
                store.set_answer(session, question.run, answer)
        return answer

    def _signed(self, question: Question) -> str:
        request = RunRequest(
            run=question.run,
            permit=question.access.permit.id,
            mode=question.mode,
            query=question.query,
            purpose=question.purpose,
            at=instant(self._clock()),
            encrypted_sum=question.encrypted_sum,
        )
        return seal_request(request, self._identity.key, self._identity.kid)

    def _check(self, answer: Json, question: Question, request: str) -> None:
        """Raise `AnswerInvalid` unless the receipt proves `answer`.

        (1) It is a run receipt, signed by the provider alone. (2) It is about this run, request, permit, product and
        agreement. (3) Its outcome is the verdict of the answer. (4) Its output digest is that of what came.
        """
        try:
            document = verify_document(
                SignedDocument.from_json(answer["receipt"]), self._trust.resolve, of_type=RECEIPT_TYPE
            )
        except (KeyError, TypeError) as error:
            raise AnswerInvalid("the sandbox answered without a receipt") from error
        except DataspaceError as error:
            if error.status >= 500:
                raise
            raise AnswerInvalid(f"the receipt does not hold: {error.detail}") from error
        permit = question.access.permit
        expected = {
            "parties": [question.access.provider],  # (1)
            "run": question.run,  # (2)
            "request": digest(read_unverified(request)),
            "permit": permit.id,
            "product": permit.product,
            "agreement": permit.agreement,
            "outcome": answer.get("verdict"),  # (3)
            "output": _output_digest(answer),  # (4)
        }
        for name, value in expected.items():
            if document.get(name) != value:
                raise AnswerInvalid(f"the receipt proves another {name} than that of the answer")


def _output_digest(answer: Mapping[str, Json]) -> str | None:
    if answer.get("ciphertext"):  # of an encrypted sum: the number went to the aggregation point, or may have gone
        return str(answer["ciphertext"])
    return output_digest(answer) if answer.get("verdict") == "released" else None
