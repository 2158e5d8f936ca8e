"""Preview over the network: for whoever sees the product in the catalogue, before anything is agreed."""

from functools import partial

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


def sandbox_of(dataspace: Dataspace) -> SandboxClient:
    """The provider's sandbox, called by the consumer."""
    membership = dataspace.consumer.app.state.membership
    authorise = partial(membership.authorise, dataspace.provider.did)
    return SandboxClient(f"http://{HOSPITAL}", dataspace.network, authorise=authorise)


def test_what_the_catalogue_does_not_show_is_unknown(dataspace: Dataspace) -> None:
    product = dataspace.publish().identifier
    dataspace.provider.client.withdraw(product)
    with pytest.raises(RemoteProblem) as unknown:
        sandbox_of(dataspace).dry_run(product, BY_SEX)
    assert unknown.value.status == 404
    with pytest.raises(RemoteProblem) as nobody:
        SandboxClient(f"http://{HOSPITAL}", dataspace.network).dry_run(product, BY_SEX)
    assert nobody.value.status == 401
