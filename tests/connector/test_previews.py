"""Preview over the network: for whoever sees the product in the catalogue, before anything is agreed."""

from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from connector.job_client import JobClient
from hexi.canonical import digest, parse
from hexi.cli import DONE, REFUSED
from hexi.errors import Conflict, RemoteProblem
from sandbox.cli import HELD
from sandbox.cli import app as sandbox_commands
from sandbox.client import SandboxClient
from tests.connector.test_commands import Hexi, hexi
from tests.connector.test_held_runs import PROGRAM
from tests.simulator import HOSPITAL, Dataspace

__all__ = ["hexi"]

BY_SEX = "SELECT sex, count(*) AS n FROM visits GROUP BY sex"


def test_a_dry_run_before_any_agreement(dataspace: Dataspace, hexi: Hexi) -> None:
    product = dataspace.publish().identifier
    found = dataspace.consumer.client.jobs.dry_run(product, BY_SEX)
    assert (found.product, found.verdict, found.lane) == (product, "admissible", "tables")
    refused = dataspace.consumer.client.jobs.dry_run(product, "SELECT person, count(*) FROM visits GROUP BY person")
    assert (refused.verdict, refused.reasons[0].code) == ("refused", "sandbox.singling-out")
    other = sandbox_of(dataspace).dry_run(product, BY_SEX, "no-such-mode")
    assert [reason.code for reason in other.reasons] == ["sandbox.query-outside-permit"]
    assert "admissible" in hexi("dry-run", product, BY_SEX).stdout
    shown = parse(hexi("dry-run", product, "SELECT * FROM visits", "--json", code=REFUSED).stdout)
    assert shown["verdict"] == "refused"


def test_before_any_agreement_a_consumer_sees_that_only_named_analysts_may_ask_and_that_it_is_none(
    dataspace: Dataspace, hexi: Hexi
) -> None:
    def published(*members: str) -> str:
        analysts = [{"group": "planning", "members": list(members)}]
        policy = {"type": "controlled-policy", "analysts": analysts, "querySets": 400, "airlock": False}
        modes = ["sandbox-sql", "encrypted-sum", "sandbox-program"]
        return dataspace.publish(modes=modes, hasPersonalInformation=True, controlled=policy).identifier

    product, client = published("did:web:other.example"), dataspace.consumer.client
    (dataset,) = client.peer_catalogue(dataspace.provider.did).datasets
    assert dataset.lanes == {
        "HexiSandbox-SQL": "urn:hexi:lane:controlled:named-analysts",
        "HexiSandbox-EncryptedSum": "urn:hexi:lane:encrypted-sum:named-analysts",
        "HexiSandbox-Program": "urn:hexi:lane:programs:named-analysts",
    }
    assert "urn:hexi:lane:controlled:named-analysts" in hexi("offer", "find", dataspace.provider.did).stdout
    for shown in (hexi("catalogue"), hexi("product", "show", product, home="provider")):
        assert "analysts its provider named" in shown.stdout
    for asked in (BY_SEX, "SELECT person FROM visits"):
        refused = client.jobs.dry_run(product, asked)
        assert (refused.verdict, refused.reasons[0].code) == ("refused", "sandbox.not-a-named-analyst")
    assert len(refused.reasons) == 2  # and what a named analyst would read of that query
    assert "next version" in hexi("dry-run", product, BY_SEX, code=REFUSED).stderr
    assert published("did:web:other.example", dataspace.consumer.did) == product
    assert client.jobs.dry_run(product, BY_SEX).verdict == "admissible"


def test_a_dry_run_of_a_program_says_its_verdict(dataspace: Dataspace, hexi: Hexi, tmp_path: Path) -> None:
    product = dataspace.publish(modes=["sandbox-program"]).identifier
    found = dataspace.consumer.client.jobs.dry_run(product, PROGRAM, "sandbox-program")
    assert (found.verdict, found.lane) == ("admissible", "programs")
    assert "airlock" in {rule.rule for rule in found.rules}
    (tmp_path / "p.py").write_text("def")
    asked = ("dry-run", product, "--program", str(tmp_path / "p.py"), "--json")
    assert parse(hexi(*asked, code=REFUSED).stdout)["reasons"][0]["code"] == "sandbox.program-unreadable"
    as_sql = dataspace.consumer.client.jobs.dry_run(product, BY_SEX)
    assert [reason.code for reason in as_sql.reasons] == ["sandbox.query-outside-permit"]
    with pytest.raises(RemoteProblem) as unknown:
        dataspace.consumer.client.jobs.dry_run(product, BY_SEX, "encrypted-sum")
    assert unknown.value.status == 422


def test_queries_and_programs_are_tried_in_the_folder_of_a_twin(
    dataspace: Dataspace, hexi: Hexi, tmp_path: Path
) -> None:
    product, twin = dataspace.publish(modes=["sandbox-sql", "sandbox-program"]).identifier, tmp_path / "twin"
    hexi("twin", product, "--out", str(twin))
    hexi("twin", product, "--out", str(twin))  # the same again
    signed = parse((twin / "product.json").read_text())
    assert dataspace.consumer.client.jobs.described(product).document == signed["document"]
    assert digest(signed["document"]) == parse((twin / "twin.json").read_text())["productDigest"]

    def tried(*words: str, code: int = DONE) -> Result:
        result = CliRunner().invoke(sandbox_commands, ["try", "--tables", str(twin), *words])
        assert result.exit_code == code, result.output
        return result

    answer = parse(tried("--query", BY_SEX, "--json").stdout)
    assert (answer["verdict"], [row[0] for row in answer["rows"]]) == ("released", ["f", "m"])
    assert (
        "sandbox.singling-out" in tried("--query", "SELECT person, count(*) FROM visits GROUP BY person", code=1).stderr
    )
    (tmp_path / "p.py").write_text(PROGRAM)
    seen = parse(tried("--program", str(tmp_path / "p.py"), "--as-reviewer", "wang", "--json", code=HELD).stdout)
    assert seen["review"]["output"]["outputs"][0]["name"] == "by_sex"
    assert "said" not in seen


def test_a_twin_of_another_version_than_the_catalogue_is_not_written(
    dataspace: Dataspace, hexi: Hexi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = dataspace.publish().identifier
    stale = dataspace.consumer.client.jobs.described(product)
    dataspace.publish(title={"zh": "门诊", "en": "Visits"}, keywords=["next"])
    monkeypatch.setattr(JobClient, "described", lambda *_: stale.model_copy(update={"digest": "sha256:0"}))
    with pytest.raises(Conflict, match="ask again"):
        hexi("twin", product, "--out", str(tmp_path / "twin"))
    assert not (tmp_path / "twin").exists()


def test_a_twin_to_try_on_before_any_agreement(dataspace: Dataspace, hexi: Hexi, tmp_path: Path) -> None:
    product = dataspace.publish().identifier
    out = tmp_path / "twin"
    said = parse(hexi("twin", product, "--out", str(out), "--json").stdout)
    assert (said["source"], said["product"], said["rows"].keys()) == ("schema", product, {"visits"})
    header, *rows = (out / "visits.csv").read_text().splitlines()
    assert (header.split(",")[0], len(rows)) == ("person", said["rows"]["visits"])
    assert parse((out / "twin.json").read_text()) == said
    assert hexi("twin", product, "--out", str(out), "--format", "parquet").stdout
    assert (out / "visits.parquet").read_bytes()[:4] == b"PAR1"
    with pytest.raises(RemoteProblem) as unknown:
        dataspace.consumer.client.jobs.twin_table(product, "other")
    assert unknown.value.code == "sandbox.product-unusable"


def sandbox_of(dataspace: Dataspace) -> SandboxClient:
    """The provider's sandbox, called by the consumer."""
    membership = dataspace.consumer.app.state.membership
    authorise = partial(membership.authorise, dataspace.provider.did)
    return SandboxClient(f"http://{HOSPITAL}", dataspace.network, authorise=authorise)


def test_what_the_catalogue_does_not_show_is_unknown(dataspace: Dataspace) -> None:
    product = dataspace.publish().identifier
    dataspace.provider.client.withdraw(product)
    nobody = SandboxClient(f"http://{HOSPITAL}", dataspace.network)
    for sandbox, status in ((sandbox_of(dataspace), 404), (nobody, 401)):
        for ask in (partial(sandbox.dry_run, product, BY_SEX), partial(sandbox.twin, product)):
            with pytest.raises(RemoteProblem) as problem:
                ask()
            assert problem.value.status == status
