"""Runs that wait: from the consumer's connector to the provider's queue, a worker, and back with a proved answer."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connector.cli import app
from connector.computing import computing_worker
from connector.settings import ConnectorSettings
from hexi.canonical import parse
from hexi.cli import REFUSED
from hexi.errors import Malformed, RemoteProblem
from sandbox.lanes import programs
from tests.connector.test_commands import Hexi, hexi
from tests.connector.test_held_runs import PROGRAM, reviewer
from tests.simulator import Dataspace

__all__ = ["hexi"]

BY_SEX = "SELECT sex, count(*) AS n FROM visits GROUP BY sex"
RUN, OTHER, THIRD = (f"urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-{n:012d}" for n in (1, 2, 3))


@pytest.fixture
def transfer(dataspace: Dataspace) -> str:
    agreement = dataspace.agree(dataspace.publish().identifier).agreement
    return dataspace.transfer(agreement).id


def test_a_job_comes_back_with_its_answer_and_proof(dataspace: Dataspace, transfer: str) -> None:
    consumer, worker = dataspace.consumer.client, dataspace.provider.app.state.computing.worker
    sent = consumer.jobs.submit(transfer, BY_SEX, run=RUN)
    assert (sent.run, sent.state, sent.answer) == (RUN, "queued", None)
    assert consumer.jobs.submit(transfer, BY_SEX, run=RUN) == sent
    assert worker.step()
    done = consumer.jobs.show(transfer, RUN)
    assert done.answer is not None
    assert (done.state, done.answer.rows) == ("done", (("f", 100), ("m", 100)))
    assert consumer.answer(RUN).answer == done.answer  # proved by its receipt, and kept
    assert consumer.run(transfer, BY_SEX, run=RUN) == done.answer
    assert [job.run for job in consumer.jobs.list(transfer)] == [RUN]
    dataspace.settle()
    assert [entry.kind for entry in dataspace.provider.client.evidence()].count("run-completed") == 1


def test_a_job_is_cancelled_before_and_after(dataspace: Dataspace, transfer: str) -> None:
    consumer = dataspace.consumer.client
    consumer.jobs.submit(transfer, BY_SEX, run=RUN)
    cancelled = consumer.jobs.cancel(transfer, RUN)
    assert (cancelled.state, cancelled.answer) == ("cancelled", None)
    assert dataspace.provider.app.state.computing.worker.step() is False
    consumer.jobs.submit(transfer, BY_SEX, run=OTHER)
    dataspace.provider.app.state.computing.worker.step()
    with pytest.raises(RemoteProblem) as ended:
        consumer.jobs.cancel(transfer, OTHER)
    assert ended.value.code == "sandbox.job-ended"
    with pytest.raises(RemoteProblem) as unknown:
        consumer.jobs.show(transfer, "urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-000000000009")
    assert unknown.value.code == "sandbox.job-unknown"


def test_jobs_from_the_command_line(dataspace: Dataspace, transfer: str, hexi: Hexi) -> None:
    assert "queued" in hexi("job", "submit", transfer, BY_SEX, "--run", RUN).stdout
    assert RUN in hexi("job", "list", transfer).stdout
    dataspace.provider.app.state.computing.worker.step()
    shown = parse(hexi("job", "show", transfer, RUN, "--wait", "--json").stdout)
    assert (shown["state"], shown["answer"]["rows"][0]) == ("done", ["f", 100])
    hexi("job", "submit", transfer, "SELECT person, count(*) FROM visits GROUP BY person", "--run", OTHER, code=REFUSED)
    hexi("job", "submit", transfer, "SELECT count(*) FROM visits", "--run", THIRD)
    assert "cancelled" in hexi("job", "cancel", transfer, THIRD).stdout


def test_a_program_waits_is_held_and_comes_back(
    dataspace: Dataspace, hexi: Hexi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = dataspace.publish(modes=["sandbox-program"])
    agreement = str(dataspace.agree(product.identifier).agreement)
    transfer = dataspace.consumer.client.transfer(agreement, "HexiSandbox-Program").id
    dataspace.settle()
    (tmp_path / "p.py").write_text(PROGRAM)
    submit = ("job", "submit", transfer, "--program", str(tmp_path / "p.py"), "--run", RUN)
    assert "queued" in hexi(*submit).stdout
    assert "queued" in hexi(*submit).stdout  # the same job
    monkeypatch.setattr(programs.time, "sleep", lambda _: None)
    assert dataspace.provider.app.state.computing.worker.step()
    shown = hexi("job", "show", transfer, RUN, "--wait", "--json")
    assert (parse(shown.stdout)["state"], parse(shown.stdout)["answer"]["verdict"]) == ("done", "held")
    assert [line.split()[1] for line in shown.stderr.splitlines()] == ["queued", "running", "done"]
    reviewer(dataspace).vote(RUN, "approve", "two groups of a hundred")
    answer = dataspace.consumer.client.jobs.show(transfer, RUN).answer
    assert answer is not None
    assert [row[:2] for row in answer.outputs[0]["rows"]] == [["f", 100], ["m", 100]]
    (tmp_path / "p.py").write_text("def")
    refused = hexi("job", "submit", transfer, "--program", str(tmp_path / "p.py"), "--run", OTHER, code=REFUSED)
    assert "sandbox.program-unreadable" in refused.stdout
    (tmp_path / "p.py").write_bytes(b"\xff")
    for wrong in ((), (BY_SEX, "--program", str(tmp_path / "p.py")), ("--program", str(tmp_path / "p.py"))):
        with pytest.raises(Malformed):
            hexi("job", "submit", transfer, *wrong)


@pytest.mark.process
def test_a_worker_of_its_own_executes_what_the_connector_took_on(dataspace: Dataspace, transfer: str) -> None:
    consumer, home = dataspace.consumer.client, dataspace.home / "hospital"
    consumer.jobs.submit(transfer, BY_SEX, run=RUN)
    environment = {"HEXI_CONNECTOR_PORT": "8081", "HEXI_CONNECTOR_SPACE_URL": "http://127.0.0.1:8080"}
    words = [str(Path(sys.executable).parent / "hexi"), "connector", "worker", "--home", str(home)]
    with subprocess.Popen(words, env={**os.environ, **environment}, stderr=subprocess.PIPE) as worker:
        try:
            done = consumer.jobs.show(transfer, RUN)
            until = time.monotonic() + 60
            while done.finished is None and worker.poll() is None and time.monotonic() < until:
                time.sleep(0.1)
                done = consumer.jobs.show(transfer, RUN)
        finally:
            worker.terminate()
            said = worker.communicate(timeout=30)[1]
    assert done.answer is not None, said.decode()
    assert done.answer.rows == (("f", 100), ("m", 100))  # its receipt holds: the consumer has checked it
    assert worker.returncode == 0
    dataspace.settle()
    assert [entry.kind for entry in dataspace.provider.client.evidence()].count("run-completed") == 1


def test_a_worker_without_the_connectors_secrets_does_not_begin(tmp_path: Path) -> None:
    settings = ConnectorSettings(home=tmp_path, port=8181)
    with pytest.raises(Malformed, match=r"identity\.pem"), computing_worker(settings):
        pass
    assert list(tmp_path.iterdir()) == []
    assert CliRunner().invoke(app, ["worker", "--home", str(tmp_path)]).exit_code != 0
