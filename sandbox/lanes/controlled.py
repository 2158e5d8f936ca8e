"""The controlled lane: SQL over the tables of products without persons, or by named analysts.

Before anything is computed, the cells asked for are charged to the group of analysts that asks; the same question asked
again costs nothing, and once it was released it gets the same answer. Unless the product says otherwise people look at
every answer before it leaves, also at one that another group got; what they are shown of it, nobody else is.
"""

from collections.abc import Mapping
from dataclasses import replace

from sqlmodel import Session

from hexi.canonical import Json, parse
from hexi.database import Database
from registry.controlled import Controlled
from sandbox import store
from sandbox.buckets import in_bucket
from sandbox.controlled.answers import control, plain, within
from sandbox.controlled.questions import Question, review
from sandbox.datasets import Dataset, pin
from sandbox.errors import JobFailed
from sandbox.execution import JOB_FAILED, execute, limits_of, refused, released
from sandbox.isolation.processes import Job
from sandbox.isolation.spares import Spares
from sandbox.lane import End, Hold, Result, Work
from sandbox.lanes.remembered import Remembered
from sandbox.lanes.tables import TOO_CLOSE, is_too_close, population_of
from sandbox.messages import RunAnswer
from sandbox.outputs import Output, Sketches, read_cells, rules_of
from sandbox.reasons import NOT_NAMED, Reason, Refusal
from sandbox.requests import RunRequest
from sandbox.settings import SandboxSettings
from sandbox.tables import QuerySetRow


class ControlledLane:
    """Queries under a product's controlled policy."""

    def __init__(self, database: Database, settings: SandboxSettings) -> None:
        self._database = database
        self._settings = settings
        self._spares = Spares()
        self._released = Remembered()

    def review(self, dataset: Dataset, request: RunRequest) -> Question | Refusal:
        """See `Lane`."""
        return review(request.query, dataset.product, request.mode)

    def compute(self, work: Work[Question]) -> Result:
        """What may leave, or be looked at; or a refusal. Raises as `sandbox.execution.execute` does."""
        policy = _policy(work)
        if (group := policy.group_of(work.permit.holder)) is None:
            return refused(work, NOT_NAMED)
        with self._database.transaction() as session:
            # What people let out was let out to those who asked, for their purpose: nobody looked at it for others.
            asking = group if policy.airlock else None
            known = store.answered_before(session, *work.key, work.question.digest, asking)
            if (spent := charge(session, work, group, work.question.digest)) is not None:
                return refused(work, spent)
        if known is not None:
            return _stored(work, known)
        with in_bucket(self._settings.bucket_seconds, work, last=False):
            return computed(work, self._settings, self._spares, hold=policy.airlock)

    def finish(self, work: Work[Question], computed: Result, end: End[Question]) -> RunAnswer:
        """See `Lane`."""
        with in_bucket(self._settings.bucket_seconds, work), self._database.transaction() as session:
            output = computed.output
            if output is not None and output.compared is not None:
                pin(session, *work.key, str(computed.happened.data_digest))
                close = is_close(session, work, self._released, output.compared, output.sets)
                if close and computed.hold is None:
                    computed = refused(work, TOO_CLOSE, computed.happened.isolation)
                else:
                    store.add_cells(session, work.key, population_of(work), output.sets)
                if computed.hold is not None:
                    computed = replace(computed, hold=_with_closeness(computed.hold, close=close))
            return end(session, work, replace(computed, happened=replace(computed.happened, disclosure=_rules(work))))


def computed(work: Work[Question], settings: SandboxSettings, spares: Spares | None = None, *, hold: bool) -> Result:
    """What came out of the tables, controlled, compared with nothing yet. Raises as `sandbox.execution.execute`."""
    executed = execute(work, _job(work, settings), settings, spares)
    return refused(work, executed) if isinstance(executed, Reason) else _controlled(work, *executed, hold=hold)


def charge(session: Session, work: Work[Question], group: str, question: str) -> Reason | None:
    """Take the cells from what is left to the group, once for each `question`; or why it may not be asked."""
    product, version = work.key
    cells, cap = work.question.query_sets, _policy(work).query_sets
    asked = QuerySetRow(
        product=product, consumers=group, version=version, query_digest=question, cells=cells, run=work.request.run
    )
    return None if store.charge_query_set(session, asked, cap) else _used_up(group, cells, cap)


def is_close(
    session: Session, work: Work[Question], released: Remembered, compared: Sketches, remembered: Sketches
) -> bool:
    """Whether the answer, with earlier ones, would be about a few entities only."""
    return is_too_close(session, work, compared) or _single_out(session, work, released, compared, remembered)


def _controlled(work: Work[Question], rows: list[list[Json]], isolation: Json, *, hold: bool) -> Result:
    question = work.question
    rules = replace(rules_of(work.dataset.product.disclosure), dominance=True)
    report: list[dict[str, Json]] = []
    output: Output | Reason
    if question.cells is None:
        output = plain(question.names, rows, rules)
    else:
        try:
            answer = control(question.cells, read_cells(question.cells, rows), rules)
        except JobFailed:
            return refused(work, JOB_FAILED, isolation)
        output, report = within(answer.output, rules), answer.report(rules)
    if isinstance(output, Reason):
        return refused(work, output, isolation)
    lineage: dict[str, Json] = {"rules": question.report(), "sql": question.job_sql}
    return Result(released(work, isolation, output.digest), output, Hold(report, lineage) if hold else None)


def _single_out(
    session: Session, work: Work[Question], released: Remembered, compared: Sketches, remembered: Sketches
) -> bool:
    """Whether a cell, with what was released before, can be added up to something about a few entities."""
    minimum = work.dataset.product.disclosure.minimum_entities
    for basis, new in compared.items():
        known = released.of(session, population_of(work), basis, minimum)
        for cell in new:
            if known.single_out(cell):
                return True
            # Where it will not be remembered, it is compared with cells of another kind only: a person's years, which
            # are different records, must not look like one cell in another.
            if basis in remembered:
                known.add(cell)
    return False


def _with_closeness(hold: Hold, *, close: bool) -> Hold:
    says = "differs by a few entities from a release or an answer held before, or from several of them together"
    says = says if close else "nothing too close"
    found: dict[str, Json] = {"rule": "differencing", "passed": not close, "says": says}
    return replace(hold, report=(*hold.report, found))


def _stored(work: Work[Question], body: str) -> Result:
    """The answer that was released for this very question before."""
    answer = parse(body)
    output = Output.from_json(answer)
    isolation = answer["receipt"]["document"]["isolation"]
    return Result(released(work, isolation, output.digest), output)


def _policy(work: Work[Question]) -> Controlled:
    # A product without the policy takes another lane; here it would let nobody in.
    return work.dataset.product.controlled or Controlled()


def _job(work: Work[Question], settings: SandboxSettings) -> Job:
    question = work.question
    files = {table.name: work.dataset.file(table.name) for table in question.tables}
    columns: dict[str, Mapping[str, str]] = {}
    for table in question.tables:
        if files[table.name].suffix.lower() == ".csv":
            # What makes cells is read as text and typed by the query: what does not fit is missing, no error.
            columns[table.name] = {
                column.name: "string" if question.cells else str(column.datatype) for column in table.columns
            }
    return Job(files, question.job_sql, limits_of(settings), columns, work.dataset.tables)


def _rules(work: Work[Question]) -> dict[str, Json]:
    """The rules it was held to, for the receipt."""
    disclosure = work.dataset.product.disclosure
    return work.question.report() | {
        "minimumEntities": disclosure.minimum_entities,
        "rounding": disclosure.rounding,
        "airlock": _policy(work).airlock,
    }


def _used_up(group: str, cost: int, cap: int | None) -> Reason:
    return Reason(
        "sandbox.query-sets-used-up",
        f"this question asks for {cost} cells, and {group} has not that many left of the {cap} that this "
        "product gives one group of analysts; ask for fewer groups, or the provider for a new product",
    )
