"""Algorithms from what they say of themselves to a run that names one by its digest."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from hexi.canonical import digest, encode
from hexi.database import Database
from hexi.errors import DataspaceError
from ledger.entries import Kind
from sandbox.airlock.decisions import Decision, Reviewer
from sandbox.algorithms import store
from sandbox.algorithms.algorithm import EXAMPLE, Algorithm, read_algorithm
from sandbox.algorithms.messages import AlgorithmBody, JudgementBody, TrialBody
from sandbox.algorithms.repository import Algorithms
from sandbox.algorithms.states import TRANSITIONS, AlgorithmState, Judge, Judgement, decide, next_state
from sandbox.algorithms.tables import AlgorithmRow
from sandbox.errors import (
    AlgorithmConflict,
    AlgorithmInvalid,
    AlgorithmUnknown,
    ReviewerExcluded,
    VotedAlready,
)
from sandbox.settings import SandboxSettings
from tests.sandbox.programs.test_programs import Programs, clinic

__all__ = ["clinic"]

SOURCE = """
import hexi_outputs
chosen = hexi_outputs.parameters()
visits = hexi_outputs.table(hexi_outputs.table_of(chosen["measure"]))
groups = visits.groupby(chosen["group"], observed=True)
shown = groups.agg(n=("person", "nunique"), mean=(chosen["measure"], "mean")).reset_index()
hexi_outputs.release_table("means", shown, {chosen["group"]: "dimension", "n": "count", "mean": "number"})
"""
UNIVERSITY, CLINIC, INSTITUTE = (f"did:web:{name}.example" for name in ("university", "clinic", "institute"))
# Of the clinic's own reviewers everything is seen, of others what was named for them: the builders' product is "p".
NAMED = frozenset({"p"})
ANN, BO, CY = Reviewer("ann", CLINIC), Reviewer("bo", CLINIC), Reviewer("cy", INSTITUTE, NAMED)
YES, NO = JudgementBody(agrees=True, reason="counts and means"), JudgementBody(agrees=False, reason="one person")
CHOSEN: dict[str, str | int] = {"group": "county", "measure": "cost"}


def described(**changes: Any) -> dict[str, Any]:
    columns = [
        {"name": name, "type": type_} for name, type_ in (("$group", "dimension"), ("n", "count"), ("mean", "number"))
    ]
    parameters = [{"name": "group", "type": "dimension"}, {"name": "measure", "type": "measure"}]
    outputs = [{"kind": "table", "name": "means", "columns": columns}]
    about = {"parameters": parameters, "outputs": outputs, "source": SOURCE, "author": UNIVERSITY, "products": ["p"]}
    return {**EXAMPLE, **about, **changes}


def algorithm(**changes: Any) -> Algorithm:
    return read_algorithm(described(**changes))


@pytest.fixture
def repository(clinic: Programs) -> Algorithms:
    return Algorithms(
        clinic.database,
        CLINIC,
        lambda *_: clinic.dataset,
        clinic.evidence,
        clinic.clock,
        SandboxSettings(program_overhead_seconds=0),
    )


def tried(repository: Algorithms, **changes: Any) -> AlgorithmBody:
    made = repository.submit(algorithm(**changes), UNIVERSITY)
    return repository.try_out(ANN, made.digest, TrialBody(product="p", version=3, parameters=CHOSEN))


def reference(name: str, **parameters: Any) -> str:
    return encode({"algorithm": name, "parameters": parameters or CHOSEN}).decode()


def test_a_run_names_an_accepted_algorithm_by_its_digest(clinic: Programs, repository: Algorithms) -> None:
    made = tried(repository)
    assert (made.state, [trial.passed for trial in made.trials]) == (AlgorithmState.TRIED, [True])
    refused = clinic.run(reference(made.digest))
    assert (refused.verdict, refused.reasons[0].code) == ("refused", "sandbox.algorithm-not-accepted")
    repository.judge(ANN, made.digest, YES)
    assert repository.judge(CY, made.digest, YES).state is AlgorithmState.ACCEPTED
    assert (Kind.ALGORITHM_ACCEPTED, made.digest) in {(kind, subject) for kind, subject, *_ in clinic.evidence.entries}

    answer = clinic.run(reference(made.digest))
    seen = clinic.sandbox.airlock.look(ANN, answer.run)
    assert seen.output is not None
    assert [row[:2] for row in seen.output["outputs"][0]["rows"]] == [["Huan", 40], ["Ning", 25]]
    assert seen.lineage is not None
    assert (seen.lineage["source"], seen.lineage["algorithm"]) == (SOURCE, made.digest)
    clinic.sandbox.airlock.vote(ANN, answer.run, Decision.APPROVE, "as accepted")
    document = clinic.sandbox.answer(answer.run, clinic.planner.did).receipt["document"]
    assert (document["program"]["algorithm"], document["program"]["parameters"]) == (made.digest, CHOSEN)

    repository.withdraw(made.digest, UNIVERSITY)
    assert clinic.run(reference(made.digest)).reasons[0].code == "sandbox.algorithm-not-accepted"


def test_no_row_of_a_product_is_read_for_a_trial(clinic: Programs, repository: Algorithms) -> None:
    shutil.copy(clinic.file, clinic.file.with_suffix(".kept"))
    clinic.file.unlink()
    assert tried(repository).trials[0].passed


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": "1"}, "shape of a table"),
        ({"source": "raise ValueError"}, "ended with an error"),
        ({"outputs": [*described()["outputs"], {"kind": "model", "name": "m", "family": "linear"}]}, "declares"),
        ({"source": SOURCE + "hexi_outputs.release_table('more', [{'n': 50}], {'n': 'count'})"}, "declares"),
    ],
)
def test_what_does_not_give_what_it_declares_fails_its_trial(
    repository: Algorithms, changes: dict[str, Any], says: str
) -> None:
    made = tried(repository, **changes)
    assert (made.state, made.trials[0].passed) == (AlgorithmState.SUBMITTED, False)
    assert says in made.trials[0].report[0]["says"]
    with pytest.raises(AlgorithmConflict, match="a trial on a twin of: p"):
        repository.judge(ANN, made.digest, YES)
    assert repository.judge(ANN, made.digest, NO).state is AlgorithmState.REJECTED


def test_what_reviewers_said_is_not_told_to_whoever_submits_the_same(repository: Algorithms) -> None:
    made = tried(repository)
    repository.judge(ANN, made.digest, YES)
    with pytest.raises(AlgorithmConflict):
        repository.submit(made.algorithm, "did:web:other.example")
    assert repository.submit(made.algorithm, UNIVERSITY).judgements


def test_two_people_of_two_organisations_and_not_the_authors(repository: Algorithms) -> None:
    made = tried(repository)
    assert repository.judge(ANN, made.digest, YES).state is AlgorithmState.PARTIALLY_REVIEWED
    assert repository.judge(BO, made.digest, YES).state is AlgorithmState.PARTIALLY_REVIEWED
    assert len(repository.judge(BO, made.digest, YES).judgements) == 2
    with pytest.raises(VotedAlready):
        repository.judge(BO, made.digest, NO)
    with pytest.raises(ReviewerExcluded):
        repository.judge(Reviewer("di", UNIVERSITY, NAMED), made.digest, YES)
    assert repository.judge(CY, made.digest, NO).state is AlgorithmState.REJECTED
    with pytest.raises(AlgorithmConflict):
        repository.judge(Reviewer("ed", INSTITUTE, NAMED), made.digest, YES)


@pytest.mark.parametrize("named", [(), ("another",), ("p",), ("p", "q"), ("p", "q", "r")])
def test_a_reviewer_of_another_organisation_sees_and_judges_what_is_for_products_named_for_them_alone(
    repository: Algorithms, named: tuple[str, ...]
) -> None:
    made = repository.submit(algorithm(products=["p", "q"]), UNIVERSITY)
    trials = [TrialBody(product=product, version=3, parameters=CHOSEN) for product in ("p", "q")]
    cy = Reviewer("cy", INSTITUTE, frozenset(named))
    calls: list[Callable[[], object]] = [
        lambda: repository.examine(cy, made.digest),
        *(partial(repository.try_out, cy, made.digest, trial) for trial in trials),
        lambda: repository.judge(cy, made.digest, YES),
        lambda: repository.judge(cy, made.digest, NO),
    ]
    if {"p", "q"} <= set(named):
        assert [one.digest for one in repository.pending(cy)] == [made.digest]
        for call in calls[:4]:
            call()
        assert repository.judge(ANN, made.digest, YES).state is AlgorithmState.ACCEPTED
        return
    assert repository.pending(cy) == []
    for call in calls:
        with pytest.raises(AlgorithmUnknown):
            call()
    assert repository.pending(ANN) == repository.listing(UNIVERSITY)
    assert (repository.examine(ANN, made.digest).trials, repository.examine(ANN, made.digest).judgements) == ((), ())


def test_it_is_tried_on_every_product_it_is_for_and_runs_over_no_other(
    clinic: Programs, repository: Algorithms
) -> None:
    made = repository.submit(algorithm(products=["q", "r"]), UNIVERSITY)
    with pytest.raises(AlgorithmInvalid, match="for q, r"):
        repository.try_out(ANN, made.digest, TrialBody(product="p", version=3, parameters=CHOSEN))
    for product, state in (("q", AlgorithmState.SUBMITTED), ("r", AlgorithmState.TRIED)):
        tried_on = TrialBody(product=product, version=3, parameters=CHOSEN)
        assert repository.try_out(ANN, made.digest, tried_on).state is state
    for one in (ANN, replace(CY, products=frozenset({"q", "r"}))):
        repository.judge(one, made.digest, YES)
    answer = clinic.run(reference(made.digest))  # of p
    assert [reason.code for reason in answer.reasons] == ["sandbox.algorithm-other-product"]


def test_one_that_names_no_products_is_not_taken_and_one_kept_before_runs_nowhere(
    clinic: Programs, repository: Algorithms
) -> None:
    with pytest.raises(AlgorithmInvalid, match="products"):
        repository.submit(algorithm(products=None), UNIVERSITY)
    kept = algorithm(products=None)
    assert "products" not in kept.document()  # whose digest is what it was
    row = AlgorithmRow(
        digest=kept.digest,
        name=kept.name,
        version=1,
        author=UNIVERSITY,
        state=AlgorithmState.ACCEPTED,
        document=encode(kept.document()).decode(),
        submitted="2026-11-01T00:00:00.000Z",
    )
    with clinic.database.transaction() as session:
        store.save(session, row)
    assert [reason.code for reason in clinic.run(reference(kept.digest)).reasons] == ["sandbox.algorithm-other-product"]
    assert (repository.pending(CY), len(repository.pending(ANN))) == ([], 1)
    assert repository.withdraw(kept.digest, CLINIC).state is AlgorithmState.WITHDRAWN


@pytest.mark.parametrize("judges", list(permutations([("ann", CLINIC), ("bo", CLINIC), ("cy", INSTITUTE)], 2)))
def test_what_two_judgements_come_to(judges: tuple[tuple[str, str], ...]) -> None:
    agreed = decide(UNIVERSITY, [Judgement(Judge(*one), True) for one in judges])
    two_organisations = len({organisation for _, organisation in judges}) == 2
    assert agreed is (AlgorithmState.ACCEPTED if two_organisations else AlgorithmState.PARTIALLY_REVIEWED)
    assert decide(UNIVERSITY, [Judgement(Judge(*judges[0]), True), Judgement(Judge(*judges[1]), False)]) == "rejected"


def test_ends_end() -> None:
    assert set(TRANSITIONS) == set(AlgorithmState)
    for end in (AlgorithmState.REJECTED, AlgorithmState.WITHDRAWN):
        with pytest.raises(AlgorithmConflict):
            next_state(end, AlgorithmState.ACCEPTED)


def test_a_name_stays_whose_it_is_and_versions_count_up(repository: Algorithms) -> None:
    first = repository.submit(algorithm(), UNIVERSITY)
    assert repository.submit(algorithm(), UNIVERSITY) == first
    assert first.digest == digest(algorithm().document())
    for changes, author in (
        ({"source": "2"}, UNIVERSITY),
        ({"version": 2}, CLINIC),
        ({"version": 2, "author": CLINIC}, CLINIC),
        ({"name": "other"}, CLINIC),
    ):
        with pytest.raises(AlgorithmConflict):
            repository.submit(algorithm(**changes), author)
    second = repository.submit(algorithm(version=2), UNIVERSITY)
    assert [one.digest for one in repository.listing(UNIVERSITY)] == [first.digest, second.digest]
    assert repository.listing(INSTITUTE) == []
    for call in (
        lambda: repository.show(first.digest, INSTITUTE),
        lambda: repository.examine(ANN, "sha256:0"),
        lambda: repository.withdraw(first.digest, INSTITUTE),
    ):
        with pytest.raises(AlgorithmUnknown):
            call()
    # The provider itself sees all that was sent to it.
    assert repository.show(first.digest, CLINIC).state is AlgorithmState.SUBMITTED
    assert repository.listing(CLINIC) == repository.listing(UNIVERSITY)
    assert repository.withdraw(first.digest, CLINIC).state is AlgorithmState.WITHDRAWN


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "def"},
        {"source": ""},
        {"outputs": []},
        {"outputs": [{"kind": "tree", "name": "t"}]},
        {"outputs": [{"kind": "model", "name": "m"}]},
        {"outputs": [{"kind": "table", "name": "t", "columns": [{"name": "$none", "type": "count"}]}]},
        {"outputs": [{"kind": "table", "name": "t"}]},
        {"parameters": [{"name": "group", "type": "dimension"}] * 2},
        {"parameters": [{"name": "a", "type": "choice"}]},
        {"parameters": [{"name": "a", "type": "integer", "minimum": 3, "maximum": 1}]},
        {"parameters": [{"name": "a", "type": "file"}]},
        {"version": 0},
        {"products": []},
        {"products": ["p", "p"]},
        {"author": "nobody"},
        {"extra": 1},
    ],
)
def test_descriptions_that_are_none(changes: dict[str, Any]) -> None:
    with pytest.raises(AlgorithmInvalid):
        algorithm(**changes)


def test_runs_that_name_no_algorithm_or_give_it_what_it_does_not_take(clinic: Programs, repository: Algorithms) -> None:
    made = tried(repository)
    for one in (ANN, CY):
        repository.judge(one, made.digest, YES)
    for text, code in (
        ("{", "sandbox.algorithm-reference"),
        ('{"algorithm": "x", "more": 1}', "sandbox.algorithm-reference"),
        ('{"algorithm": "x", "parameters": []}', "sandbox.algorithm-reference"),
        ('{"algorithm": "sha256:0"}', "sandbox.algorithm-not-accepted"),
        (reference(made.digest, group="county"), "sandbox.algorithm-parameters"),
        (reference(made.digest, group="name", measure="cost"), "sandbox.algorithm-parameters"),
        (reference(made.digest, group=["county"], measure="cost"), "sandbox.algorithm-parameters"),
        (reference(made.digest, group="county", measure="cost", more=1), "sandbox.algorithm-parameters"),
    ):
        answer = clinic.run(text)
        assert (answer.verdict, [reason.code for reason in answer.reasons]) == ("refused", [code]), text


def test_whole_numbers_and_choices_are_held_to_what_is_declared(clinic: Programs) -> None:
    parameters = [
        {"name": "top", "type": "integer", "minimum": 1, "maximum": 5},
        {"name": "how", "type": "choice", "choices": ["mean", "sum"]},
    ]
    outputs = [{"kind": "table", "name": "t", "columns": [{"name": "n", "type": "count"}]}]
    made = algorithm(parameters=parameters, outputs=outputs)
    assert made.why_not({"top": 5, "how": "sum"}, clinic.product) is None
    for given in ({"top": 6}, {"top": 0}, {"top": "3"}, {"top": True}, {"how": "max"}, {"how": 1}, {"how": ["sum"]}):
        assert made.why_not({"top": 1, "how": "sum", **given}, clinic.product)


def test_a_product_may_demand_algorithms(clinic: Programs) -> None:
    rules = clinic.product.disclosure.model_copy(update={"algorithms_only": True})
    clinic.product = clinic.product.model_copy(update={"disclosure": rules})
    clinic.dataset = type(clinic.dataset)(clinic.product, clinic.dataset.digest, clinic.dataset.tables)
    assert clinic.run("1").reasons[0].code == "sandbox.algorithms-only"


def test_on_postgresql_too(database: Database, tmp_path: Path) -> None:
    database.migrate("sandbox")
    kept = Programs(database, tmp_path)
    repository = Algorithms(database, CLINIC, lambda *_: kept.dataset, kept.evidence, kept.clock)
    made = repository.submit(algorithm(), UNIVERSITY)
    assert repository.show(made.digest, UNIVERSITY) == made
    with pytest.raises(DataspaceError):
        repository.judge(ANN, made.digest, YES)
