"""The repository at work: what is submitted, tried, judged, taken back. One transaction a step."""

from collections.abc import Callable, Collection

from sqlmodel import Session

from hexi.canonical import Clock, encode, instant, parse
from hexi.database import Database
from ledger.entries import Kind
from sandbox.airlock.decisions import Reviewer, may_see
from sandbox.algorithms import store
from sandbox.algorithms.algorithm import Algorithm, read_algorithm
from sandbox.algorithms.messages import AlgorithmBody, AlgorithmSummary, Judged, JudgementBody, Trial, TrialBody
from sandbox.algorithms.states import OPEN, AlgorithmState, Judge, Judgement, decide, next_state
from sandbox.algorithms.tables import AlgorithmRow, JudgementRow, TrialRow
from sandbox.datasets import Dataset
from sandbox.errors import AlgorithmConflict, AlgorithmInvalid, AlgorithmUnknown, VotedAlready
from sandbox.settings import SandboxSettings

# As in `sandbox.runs`: what a product version is made of; and writing down that something happened.
Datasets = Callable[[Session, str, int], Dataset]
Evidence = Callable[[Session, Kind, str, str, dict[str, str | int]], None]


class Algorithms:
    """The algorithms of the provider `did`."""

    def __init__(
        self,
        database: Database,
        did: str,
        datasets: Datasets,
        evidence: Evidence,
        clock: Clock,
        settings: SandboxSettings | None = None,
    ) -> None:
        self._database = database
        self._did = did
        self._datasets = datasets
        self._evidence = evidence
        self._clock = clock
        self._settings = settings or SandboxSettings()

    def submit(self, algorithm: Algorithm, author: str) -> AlgorithmBody:
        """Keep an algorithm of `author`'s; the same again is the same.

        Raises `AlgorithmConflict`, and `AlgorithmInvalid` for one that names no products: nobody else could review it.
        Versions of a name count up and have one author: a name stays whose it is.
        """
        with self._database.transaction() as session:
            earlier = store.versions(session, algorithm.name)
            known = next((row for row in earlier if row.digest == algorithm.digest), None)
            # Before anything is answered: what reviewers said of an algorithm is for its author.
            if known is not None and algorithm.author == author:
                return _body(session, known)
            if not algorithm.products:
                raise AlgorithmInvalid(
                    "products: name the products of this provider that it is for, by their identifiers"
                )
            if algorithm.author != author or any(row.author != author for row in earlier):
                raise AlgorithmConflict(
                    f"{algorithm.name} is submitted by its author, who is the same for all versions"
                )
            if earlier and algorithm.version <= earlier[-1].version:
                raise AlgorithmConflict(f"the next version of {algorithm.name} is {earlier[-1].version + 1} or later")
            row = AlgorithmRow(
                digest=algorithm.digest,
                name=algorithm.name,
                version=algorithm.version,
                author=author,
                state=AlgorithmState.SUBMITTED,
                document=encode(algorithm.document()).decode(),
                submitted=instant(self._clock()),
            )
            store.save(session, row)
            return _body(session, row)

    def listing(self, caller: str) -> list[AlgorithmSummary]:
        """What is accepted, and what is `caller`'s; all of it for the provider itself."""
        with self._database.reading() as session:
            return [_summary(row) for row in store.algorithms(session, author=caller, every=caller == self._did)]

    def show(self, digest: str, caller: str) -> AlgorithmBody:
        """One with its whole story. Raises `AlgorithmUnknown`, also where it is not accepted and not `caller`'s."""
        with self._database.reading() as session:
            row = _row(session, digest)
            if caller not in {row.author, self._did} and row.state != AlgorithmState.ACCEPTED:
                raise _unknown(digest)
            return _body(session, row)

    # Reviewing ---------------------------------------------------------------------------------------------------

    def pending(self, reviewer: Reviewer) -> list[AlgorithmSummary]:
        """Those that are for `reviewer`, in every state: all for the provider's own, for others those whose products
        were all named for them.
        """
        with self._database.reading() as session:
            rows = store.algorithms(session, every=True)
            return [_summary(row) for row in rows if may_see(reviewer, self._did, _products(row))]

    def examine(self, reviewer: Reviewer, digest: str) -> AlgorithmBody:
        """One with its whole story. Raises `AlgorithmUnknown`, also where it is not for `reviewer`."""
        with self._database.reading() as session:
            return _body(session, self._for(reviewer, session, digest))

    def try_out(self, reviewer: Reviewer, digest: str, asked: TrialBody) -> AlgorithmBody:
        """Try it on a twin of one of its products. One that has passed on all of them may be judged.

        Raises `AlgorithmUnknown`, `AlgorithmInvalid`, and what programs raise.
        """
        from sandbox.algorithms.trial import try_out

        with self._database.reading() as session:
            algorithm = read_algorithm(parse(self._for(reviewer, session, digest).document))
            if not algorithm.is_for(asked.product):
                named = ", ".join(algorithm.products or ()) or "no product"
                raise AlgorithmInvalid(f"this algorithm is for {named}, and is tried on a twin of nothing else")
            dataset = self._datasets(session, asked.product, asked.version)
        passed, report, environment = try_out(algorithm, dataset, asked.parameters, self._settings)
        with self._database.transaction() as session:
            row = _row(session, digest)
            trial = TrialRow(
                digest=digest,
                number=store.next_trial(session, digest),
                product=asked.product,
                version=asked.version,
                parameters=encode(asked.parameters).decode(),
                environment=environment,
                passed=passed,
                report=encode(report).decode(),
                at=instant(self._clock()),
            )
            store.save(session, trial)
            if row.state == AlgorithmState.SUBMITTED and not _untried(session, row):
                self._move(session, row, AlgorithmState.TRIED)
            return _body(session, row)

    def judge(self, reviewer: Reviewer, digest: str, said: JudgementBody) -> AlgorithmBody:
        """What a person says of an algorithm: against it at any time, for it once it passed its trials. The same again
        changes nothing.

        Raises `AlgorithmUnknown`, `AlgorithmConflict`, `ReviewerExcluded`, `VotedAlready`.
        """
        with self._database.transaction() as session:
            row = self._for(reviewer, session, digest)
            before = store.judgements(session, digest)
            mine = next((one for one in before if one.reviewer == reviewer.name), None)
            if mine is not None:
                if (mine.agrees, mine.reason) == (said.agrees, said.reason):
                    return _body(session, row)
                raise VotedAlready(f"{reviewer.name} has judged this algorithm; another reviewer's word is needed")
            judgements = [Judgement(Judge(one.reviewer, one.organisation), one.agrees) for one in before]
            mine_too = Judgement(Judge(reviewer.name, reviewer.organisation), said.agrees)
            state = decide(row.author, [*judgements, mine_too])
            if row.state not in OPEN:
                raise AlgorithmConflict(f"an algorithm that is {row.state} is not judged any more")
            if said.agrees and row.state == AlgorithmState.SUBMITTED:
                missing = ", ".join(_untried(session, row))
                raise AlgorithmConflict(f"nobody agrees before it has passed a trial on a twin of: {missing}")
            judged = JudgementRow(
                digest=digest,
                reviewer=reviewer.name,
                organisation=reviewer.organisation,
                agrees=said.agrees,
                reason=said.reason,
                at=instant(self._clock()),
            )
            store.save(session, judged)
            self._move(session, row, state)
            return _body(session, row)

    def withdraw(self, digest: str, caller: str) -> AlgorithmBody:
        """Run it no more, says its author or the provider; twice is once.

        Raises `AlgorithmUnknown`, `AlgorithmConflict`.
        """
        with self._database.transaction() as session:
            row = _row(session, digest)
            if caller not in {row.author, self._did}:
                raise _unknown(digest)
            self._move(session, row, AlgorithmState.WITHDRAWN)
            return _body(session, row)

    def _for(self, reviewer: Reviewer, session: Session, digest: str) -> AlgorithmRow:
        row = _row(session, digest)
        if not may_see(reviewer, self._did, _products(row)):
            raise _unknown(digest)
        return row

    def _move(self, session: Session, row: AlgorithmRow, wanted: AlgorithmState) -> None:
        state = next_state(AlgorithmState(row.state), wanted)
        if state == AlgorithmState.ACCEPTED and row.state != state:
            facts: dict[str, str | int] = {"name": row.name, "version": row.version, "author": row.author}
            self._evidence(session, Kind.ALGORITHM_ACCEPTED, row.digest, row.digest, facts)
        row.state = state
        store.save(session, row)


def _row(session: Session, digest: str) -> AlgorithmRow:
    row = store.algorithm(session, digest)
    if row is None:
        raise _unknown(digest)
    return row


def _unknown(digest: str) -> AlgorithmUnknown:
    return AlgorithmUnknown(f"there is no algorithm {digest:.80} that you may see")


def _products(row: AlgorithmRow) -> Collection[str]:
    products: list[str] = parse(row.document).get("products", [])
    return products


def _untried(session: Session, row: AlgorithmRow) -> list[str]:
    """The products on whose twins it has passed no trial."""
    passed = {one.product for one in store.trials(session, row.digest) if one.passed}
    return [product for product in _products(row) if product not in passed]


def _summary(row: AlgorithmRow) -> AlgorithmSummary:
    return AlgorithmSummary(
        digest=row.digest, name=row.name, version=row.version, author=row.author, state=AlgorithmState(row.state)
    )


def _body(session: Session, row: AlgorithmRow) -> AlgorithmBody:
    trials = tuple(
        Trial(
            product=one.product,
            version=one.version,
            parameters=parse(one.parameters),
            passed=one.passed,
            report=tuple(parse(one.report)),
            environment=one.environment,
            at=one.at,
        )
        for one in store.trials(session, row.digest)
    )
    judgements = tuple(
        Judged(agrees=one.agrees, reason=one.reason, reviewer=one.reviewer, organisation=one.organisation, at=one.at)
        for one in store.judgements(session, row.digest)
    )
    algorithm = read_algorithm(parse(row.document))
    return AlgorithmBody(**dict(_summary(row)), algorithm=algorithm, trials=trials, judgements=judgements)
