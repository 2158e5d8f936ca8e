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
from privacy.differencing import leaves_few
from registry.controlled import Controlled
from sandbox import store
from sandbox.buckets import in_bucket
from sandbox.controlled.answers import control, plain
from sandbox.controlled.questions import Question, review
from sandbox.datasets import Dataset, pin
from sandbox.errors import JobFailed
from sandbox.execution import JOB_FAILED, execute, limits_of, refused, released
from sandbox.isolation.processes import Job
from sandbox.isolation.spares import Spares
from sandbox.lane import End, Hold, Result, Work
from sandbox.lanes.tables import TOO_CLOSE, is_too_close
from sandbox.messages import RunAnswer
from sandbox.outputs import EntitySets, Output, read_cells, rules_of
from sandbox.reasons import Reason, Refusal
from sandbox.requests import RunRequest
from sandbox.settings import SandboxSettings
from sandbox.tables import QuerySetRow

NOT_NAMED = Reason(
    "sandbox.not-a-named-analyst",
    "this product is asked by analysts whom its provider named, and you are none of them; ask the provider",
)


class ControlledLane:
    """Queries under a product's controlled policy."""

    def __init__(self, database: Database, settings: SandboxSettings) -> None:
        self._database = database
        self._settings = settings
        self._spares = Spares()

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
            if not store.charge_query_set(session, _asked(work, group), policy.query_sets):
                return refused(work, _used_up(group, work.question.query_sets, policy))
        if known is not None:
            return _stored(work, known)
        with in_bucket(self._settings.bucket_seconds, work, last=False):
            executed = execute(work, _job(work, self._settings), self._settings, self._spares)
            if isinstance(executed, Reason):
                return refused(work, executed)
            return _controlled(work, *executed, hold=policy.airlock)

    def finish(self, work: Work[Question], computed: Result, end: End[Question]) -> RunAnswer:
        """See `Lane`."""
        with in_bucket(self._settings.bucket_seconds, work), self._database.transaction() as session:
            output = computed.output
            if output is not None and output.compared is not None:
                pin(session, *work.key, str(computed.happened.data_digest))
                close = is_too_close(session, work, output.compared) or _leaves_few(session, work, output.compared)
                if close and computed.hold is None:
                    computed = refused(work, TOO_CLOSE, computed.happened.isolation)
                else:
                    store.add_cells(session, *work.key, output.sets)
                if computed.hold is not None:
                    computed = replace(computed, hold=_with_closeness(computed.hold, close=close))
            return end(session, work, replace(computed, happened=replace(computed.happened, disclosure=_rules(work))))


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
        output, report = answer.output, answer.report(rules)
    if isinstance(output, Reason):
        return refused(work, output, isolation)
    lineage: dict[str, Json] = {"rules": question.report(), "sql": question.job_sql}
    return Result(released(work, isolation, output.digest), output, Hold(report, lineage) if hold else None)


def _leaves_few(session: Session, work: Work[Question], sets: EntitySets) -> bool:
    """Whether cells that were left out for being few come out again as what others leave over."""
    minimum = work.dataset.product.disclosure.minimum_entities
    return any(
        leaves_few(new, store.cells(session, work.permit.product, basis), minimum) for basis, new in sets.items()
    )


def _with_closeness(hold: Hold, *, close: bool) -> Hold:
    says = "differs by a few entities from a release or an answer held before, or from several of them together"
    says = says if close else "nothing too close"
    found: dict[str, Json] = {"rule": "differencing", "passed": not close, "says": says}
    return replace(hold, report=(*hold.report, found))


def _asked(work: Work[Question], group: str) -> QuerySetRow:
    product, version = work.key
    question = work.question
    return QuerySetRow(
        product=product,
        consumers=group,
        version=version,
        query_digest=question.digest,
        cells=question.query_sets,
        run=work.request.run,
    )


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
            # Over persons everything is read as text and typed by the query: what does not fit is missing, no error.
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


def _used_up(group: str, cost: int, policy: Controlled) -> Reason:
    return Reason(
        "sandbox.query-sets-used-up",
        f"this question asks for {cost} cells, and {group} has not that many left of the {policy.query_sets} that this "
        "product gives one group of analysts; ask for fewer groups, or the provider for a new product",
    )
