"""Preview over the network: for whoever sees the product in the catalogue, before anything is agreed."""

from functools import partial
from pathlib import Path

import pytest

from hexi.canonical import parse
from hexi.cli import REFUSED
from hexi.errors import RemoteProblem
from sandbox.client import SandboxClient
from tests.connector.test_commands import Hexi, hexi
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
