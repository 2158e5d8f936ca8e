"""Runs that are held for review, from the consumer's question to the provider's reviewers and back."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

import sandbox.client
from hexi.canonical import encode, parse
from hexi.cli import REFUSED
from hexi.errors import RemoteProblem
from sandbox.airlock.states import ReviewState
from sandbox.algorithms import client as algorithm_client
from sandbox.algorithms.algorithm import EXAMPLE
from sandbox.client import ReviewClient
from sandbox.lane import End, Hold, Result, Work
from sandbox.lanes import programs
from sandbox.lanes.tables import TableLane
from sandbox.messages import RunAnswer
from sandbox.settings import SandboxSettings
from tests.connector.test_commands import Hexi, hexi
from tests.simulator import HOSPITAL, Dataspace

__all__ = ["hexi"]

BY_SEX = "SELECT sex, count(*) AS n FROM visits GROUP BY sex"
RUN, OTHER = (f"urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-{n:012d}" for n in (1, 2))


class _Holding(TableLane):
    """The controlled lane, with people looking at every answer."""

    def finish(self, work: Work[Any], computed: Result, end: End[Any]) -> RunAnswer:
        return super().finish(work, computed, lambda session, _, found: end(session, work, replace(found, hold=Hold())))


@pytest.fixture
def transfer(dataspace: Dataspace) -> str:
    """A started transfer of a product whose answers are all held."""
    held = dataspace.provider.app.state.sandbox
    held._lanes.__dict__["_table_lane"] = _Holding(dataspace.provider.app.state.database, SandboxSettings())
    agreement = dataspace.agree(dataspace.publish().identifier).agreement
    return dataspace.transfer(agreement).id


def reviewer(dataspace: Dataspace, name: str = "wang") -> ReviewClient:
    token = dataspace.provider.client.airlock.add_reviewer(name).token
    return ReviewClient(f"http://{HOSPITAL}", str(token), dataspace.network)


def test_a_held_run_is_released_by_a_reviewer(dataspace: Dataspace, transfer: str) -> None:
    consumer, wang = dataspace.consumer.client, reviewer(dataspace)
    asked = partial(consumer.run, transfer, BY_SEX, run=RUN)
    assert [(asked().verdict, asked().receipt)] == [("held", None)]
    assert consumer.answer(RUN).answer is None
    assert [one.run for one in dataspace.provider.client.airlock.reviews()] == [RUN] == [r.run for r in wang.reviews()]
    assert wang.look(RUN).output == {"columns": ["sex", "n"], "rows": [["f", 100], ["m", 100]], "outputs": []}
    assert wang.vote(RUN, "approve", "two large groups").state is ReviewState.APPROVED
    assert asked().rows == (("f", 100), ("m", 100))
    assert consumer.answer(RUN).answer is not None
    dataspace.settle()
    kinds = {entry.kind for entry in dataspace.provider.client.evidence()}
    assert {"run-held", "run-reviewed", "run-completed"} <= kinds


def test_a_held_run_is_given_up_once(dataspace: Dataspace, transfer: str) -> None:
    consumer = dataspace.consumer.client
    assert consumer.run(transfer, BY_SEX, run=RUN).verdict == "held"
    answers = [consumer.withdraw_run(transfer, RUN) for _ in range(2)]
    assert [reason.code for answer in answers for reason in answer.reasons] == ["sandbox.output-withdrawn"] * 2
    with pytest.raises(RemoteProblem) as unknown:
        consumer.withdraw_run(transfer, OTHER)
    assert unknown.value.code == "connector.run-unknown"
    assert dataspace.provider.client.airlock.reviews() == []
    assert [one.state for one in dataspace.provider.client.airlock.reviews(every=True)] == [ReviewState.WITHDRAWN]


def test_only_reviewers_review(dataspace: Dataspace, transfer: str) -> None:
    dataspace.consumer.client.run(transfer, BY_SEX, run=RUN)
    management = dataspace.provider.app.state.management_token
    with httpx.Client(transport=dataspace.network, base_url=f"http://{HOSPITAL}/sandbox") as http:
        for shown in ("", "Bearer ", "Bearer wang", f"Bearer {management}", "Basic x"):
            for method, path in (("GET", "/reviews"), ("GET", f"/reviews/{RUN}"), ("POST", f"/reviews/{RUN}/votes")):
                body = {"decision": "approve", "reason": "x"} if method == "POST" else None
                answer = http.request(method, path, json=body, headers={"Authorization": shown})
                assert (answer.status_code, answer.json()["code"]) == (401, "sandbox.reviewer-unknown")
    wang = reviewer(dataspace)
    dataspace.provider.client.airlock.remove_reviewer("wang")
    with pytest.raises(RemoteProblem) as gone:
        wang.look(RUN)
    assert gone.value.status == 401


def test_reviews_from_the_command_line(
    dataspace: Dataspace, transfer: str, hexi: Hexi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.client, "ReviewClient", partial(ReviewClient, transport=dataspace.network))
    held = hexi("run", transfer, BY_SEX, "--run", RUN, code=REFUSED)
    assert ("held" in held.stdout, f"--run {RUN}" in held.stderr) == (True, True)
    added = parse(hexi("reviewer", "add", "wang", "--json", home="provider").stdout)
    assert added["token"] not in hexi("reviewer", "list", home="provider").stdout
    monkeypatch.setenv("HEXI_REVIEWER_TOKEN", added["token"])
    assert RUN in hexi("review", "list", home="provider").stdout
    assert parse(hexi("review", "show", RUN, "--json", home="provider").stdout)["output"]["rows"][0] == ["f", 100]
    for words in (("review", "show", RUN), ("review", "list", "--url", f"http://{HOSPITAL}")):
        assert RUN in hexi(*words, home="provider").stdout
    assert BY_SEX in hexi("review", "show", RUN, home="provider").stdout
    assert "rejected" in hexi("review", "reject", RUN, "--reason", "too fine", home="provider").stdout
    assert "too fine" in hexi("run", transfer, BY_SEX, "--run", RUN, code=REFUSED).stdout
    hexi("run", transfer, BY_SEX, "--run", OTHER, code=REFUSED)
    assert "approved" in hexi("review", "approve", OTHER, "--reason", "fine", home="provider").stdout
    assert "100" in hexi("run", transfer, BY_SEX, "--run", OTHER).stdout
    assert "100" in hexi("review", "show", OTHER, home="provider").stdout  # among what was released earlier
    third = RUN[:-1] + "3"
    hexi("run", transfer, BY_SEX, "--run", third, code=REFUSED)
    for _ in range(2):
        assert "output-withdrawn" in hexi("withdraw-run", transfer, third, code=REFUSED).stdout
    assert "wang" in hexi("reviewer", "remove", "wang", home="provider").stdout


PROGRAM = """# hexi: seconds=10
import hexi_outputs
visits = hexi_outputs.table("visits")
shown = visits.groupby("sex").agg(n=("person", "nunique"), cost=("cost", "mean")).reset_index()
hexi_outputs.release_table("by_sex", shown, {"sex": "dimension", "n": "count", "cost": "number"})
"""


def test_a_program_under_contract_is_held_and_released(
    dataspace: Dataspace, hexi: Hexi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs.time, "sleep", lambda _: None)
    product = dataspace.publish(modes=["sandbox-program"])
    agreement = str(dataspace.agree(product.identifier).agreement)
    started = dataspace.consumer.client.transfer(agreement, "HexiSandbox-Program")
    dataspace.settle()
    (tmp_path / "p.py").write_text(PROGRAM)
    asked = partial(hexi, "run", started.id, "--program", str(tmp_path / "p.py"), "--run", RUN)
    assert "sandbox.held-for-review" in asked(code=REFUSED).stdout
    wang = reviewer(dataspace)
    seen = wang.look(RUN)
    assert seen.output is not None
    assert seen.lineage is not None
    assert seen.lineage["source"] == PROGRAM
    wang.vote(RUN, "approve", "two groups of a hundred")
    assert "by_sex" in asked().stdout
    answer = dataspace.consumer.client.answer(RUN).answer
    assert answer is not None
    assert [row[:2] for row in answer.outputs[0]["rows"]] == [["f", 100], ["m", 100]]
    refused = dataspace.consumer.client.run(started.id, "def", run=OTHER)
    assert refused.reasons[0].code == "sandbox.program-unreadable"


def test_an_algorithm_is_submitted_tried_judged_and_run(
    dataspace: Dataspace, hexi: Hexi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs.time, "sleep", lambda _: None)
    monkeypatch.setattr(
        algorithm_client, "JudgeClient", partial(algorithm_client.JudgeClient, transport=dataspace.network)
    )
    product = dataspace.publish(modes=["sandbox-program"])
    provider, author = dataspace.provider.did, dataspace.consumer.did
    columns = [{"name": "sex", "type": "dimension"}, {"name": "n", "type": "count"}, {"name": "cost", "type": "number"}]
    outputs = [{"kind": "table", "name": "by_sex", "columns": columns}]
    about = {"author": author, "products": [product.identifier], "parameters": []}
    described = {**EXAMPLE, **about, "outputs": outputs, "source": PROGRAM}
    (tmp_path / "a.json").write_bytes(encode(described))
    submitted = parse(hexi("algorithm", "submit", str(tmp_path / "a.json"), "--provider", provider, "--json").stdout)
    name = submitted["digest"]
    for person, organisation in (("wang", None), ("cy", "did:web:institute.example")):
        token = dataspace.provider.client.airlock.add_reviewer(person, organisation, [product.identifier]).token
        monkeypatch.setenv("HEXI_REVIEWER_TOKEN", str(token))
        if person == "wang":
            assert name in hexi("algorithm", "pending", home="provider").stdout
            asked = ("--product", product.identifier, "--version", str(product.version))
            assert "tried" in hexi("algorithm", "try", name, *asked, home="provider").stdout
        assert PROGRAM in hexi("algorithm", "examine", name, home="provider").stdout
        hexi("algorithm", "approve", name, "--reason", "counts and means", home="provider")
    assert name in hexi("algorithm", "list", home="provider").stdout
    assert "accepted" in hexi("algorithm", "list", "--provider", provider).stdout
    assert "counts and means" in hexi("algorithm", "show", name, "--provider", provider).stdout
    dataspace.settle()
    assert [entry.subject for entry in dataspace.provider.client.evidence(kind="algorithm-accepted")] == [name]

    agreement = str(dataspace.agree(product.identifier).agreement)
    started = dataspace.consumer.client.transfer(agreement, "HexiSandbox-Program")
    dataspace.settle()
    text = encode({"algorithm": name}).decode()
    assert dataspace.consumer.client.run(started.id, text, run=RUN).verdict == "held"
    wang = reviewer(dataspace)
    wang.vote(RUN, "approve", "as accepted")
    receipt = dataspace.consumer.client.run(started.id, text, run=RUN).receipt
    assert receipt is not None
    assert receipt["document"]["program"]["algorithm"] == name
    with pytest.raises(RemoteProblem) as late:
        hexi("algorithm", "reject", name, "--reason", "late", home="provider")
    assert late.value.code == "sandbox.voted-already"
    for _ in range(2):
        assert "withdrawn" in hexi("algorithm", "withdraw", name, "--provider", provider).stdout
    assert "withdrawn" in hexi("algorithm", "show", name, home="provider").stdout
