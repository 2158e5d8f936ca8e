"""A product about persons without a policy: not published, and where it was published before, not answered."""

from typing import Any

import pytest

from connector.contracts import products
from hexi.errors import RemoteProblem
from registry import registrar
from tests.simulator import Dataspace

PERSONS: dict[str, Any] = {"hasPersonalInformation": True}
LATTICE: dict[str, Any] = {
    "type": "lattice-policy",
    "entity": "person",
    "size": 200,
    "mincell": 20,
    "attributes": [{"name": "sex", "levels": [{"name": "sex", "labels": ["f", "m"]}]}],
    "measures": [{"name": "cost", "family": "money", "range": [0, 1000]}],
    "families": [{"name": "money", "mu": 0.33}],
}
BY_SEX = "SELECT sex, count(*) AS n FROM visits GROUP BY sex"


def test_persons_without_a_policy_are_not_published_and_a_cube_is_the_way_out(dataspace: Dataspace) -> None:
    with pytest.raises(RemoteProblem) as no:
        dataspace.publish(**PERSONS)
    assert (no.value.status, no.value.code) == (422, "registry.product-invalid")
    assert "lattice" in no.value.detail
    assert list(dataspace.provider.client.products()) == []
    with pytest.raises(RemoteProblem):
        dataspace.publish(**PERSONS, lattice=LATTICE, modes=["sandbox-sql", "sandbox-program"])
    product = dataspace.publish(**PERSONS, lattice=LATTICE).identifier
    transfer = dataspace.transfer(dataspace.agree(product).agreement).id
    answer = dataspace.consumer.client.run(transfer, BY_SEX)
    assert (answer.verdict, [row[0] for row in answer.rows]) == ("released", ["f", "m"])


def test_what_was_published_before_is_read_and_agreed_on_but_not_answered(
    dataspace: Dataspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        for place in (products, registrar):
            earlier.setattr(place, "check_lanes", lambda _: None)  # as it was before the rule
        product = dataspace.publish(**PERSONS).identifier
    provider, consumer = dataspace.provider.client, dataspace.consumer.client
    assert [one.identifier for one in provider.products()] == [product]
    assert consumer.catalogue("Visits").total == 1
    transfer = dataspace.transfer(dataspace.agree(product).agreement).id
    answer = consumer.run(transfer, BY_SEX)
    assert (answer.verdict, [one.code for one in answer.reasons]) == ("refused", ["sandbox.no-lane"])
    foretold = consumer.jobs.dry_run(product, BY_SEX)
    assert (foretold.verdict, foretold.lane, foretold.rules) == ("refused", "none", ())
    with pytest.raises(RemoteProblem) as no:  # also a new version of it
        dataspace.publish(**PERSONS, description={"zh": "新", "en": "New"})
    assert no.value.code == "registry.product-invalid"
