"""The controlled policy of a product is accepted when it fits the tables, and refused, with the place named, if not."""

from typing import Any

import pytest

from registry.catalogue import read_product, to_dcat
from registry.codes import Mode
from registry.controlled import Level
from registry.errors import ProductInvalid
from registry.lanes import COMPUTED, lane_shown
from tests.registry.builders import column, product_document

POLICY: dict[str, Any] = {
    "type": "controlled-policy",
    "analysts": [{"group": "planning", "members": ["did:web:planner.example"]}],
    "querySets": 100,
}
COLUMNS = [
    column("person", role="entity-key"),
    column("sex", domain=["f", "m"]),
    column("cost", "number", "measure", range=[0, 10]),
    column("name", role="hidden"),
]
CODES = [column("code"), column("sex", domain=["f", "m"])]


def document(**policy: Any) -> dict[str, Any]:
    title = {"zh": "结算", "en": "Claims"}
    tables = [{"name": "claims", "title": title, "entityKey": "person", "columns": COLUMNS}]
    tables += [{"name": "codes", "title": title, "columns": CODES}] if policy.pop("codes", False) else []
    personal = policy.pop("personal", True)
    controlled = {**POLICY, **policy}
    return product_document(tables=tables, controlled=controlled, lattice=None, hasPersonalInformation=personal)


def test_levels_are_as_declared_and_else_by_role() -> None:
    product = read_product(document(codes=True, personal=False, levels={"claims.cost": "never"}))
    policy = product.controlled
    assert policy is not None
    levels = {f"{t.name}.{c.name}": policy.level(t, c) for t in product.tables for c in t.columns}
    assert levels == {
        "claims.person": Level.JOIN_ONLY,
        "claims.sex": Level.GROUP_BY,
        "claims.cost": Level.NEVER,
        "claims.name": Level.NEVER,
        "codes.code": Level.PLAINTEXT,
        "codes.sex": Level.PLAINTEXT,
    }
    assert policy.airlock
    assert read_product(product.document()) == product


@pytest.mark.parametrize(
    ("policy", "who"), [({}, "named-analysts"), ({"personal": False, "analysts": []}, "anybody-under-contract")]
)
def test_the_catalogue_says_who_may_ask_in_every_mode(policy: dict[str, Any], who: str) -> None:
    described = read_product({**document(airlock=False, **policy), "modes": list(COMPUTED)})
    shown = [one["dct:conformsTo"]["@id"] for one in to_dcat(described)["dcat:distribution"]]
    assert shown == [f"urn:hexi:lane:{lane}:{who}" for lane in ("controlled", "encrypted-sum", "programs")]


def test_the_catalogue_says_no_more_than_the_lane_where_no_policy_names_anybody() -> None:
    described = read_product({**product_document(), "lattice": None, "hasPersonalInformation": False})
    assert lane_shown(described, Mode.SANDBOX_SQL) == "urn:hexi:lane:tables"
    assert lane_shown(described, Mode.FILE) is None


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "persons_and_anybody": ({"analysts": []}, "analysts are named"),
    "persons_without_a_cap": ({"querySets": None}, "capped"),
    "a_column_nobody_has": ({"levels": {"claims.age": "never"}}, "claims.age"),
    "an_unknown_level": ({"levels": {"claims.sex": "sometimes"}}, "levels"),
    "an_entity_key_in_the_open": ({"levels": {"claims.person": "group-by"}}, "names single entities"),
    "an_entity_key_compared": ({"literals": ["claims.person"]}, "may not stand in literals"),
    "a_measure_compared": ({"literals": ["claims.cost"]}, "may not stand in literals"),
    "a_measure_joined": ({"joins": [["claims.cost", "claims.cost"]]}, "may not stand in joins"),
    "a_hidden_column_sensitive": ({"sensitive": ["claims.name"]}, "may not stand in sensitive"),
    "a_group_twice": ({"analysts": POLICY["analysts"] * 2}, "twice"),
    "joined_with_an_open_column": (
        {"codes": True, "personal": False, "joins": [["claims.sex", "codes.sex"]]},
        "same level",
    ),
    "no_column_name": ({"literals": ["sex"]}, "literals"),
    "an_analyst_without_a_did": ({"analysts": [{"group": "g", "members": ["planner"]}]}, "members"),
}


@pytest.mark.parametrize(("changes", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ProductInvalid) as refused:
        read_product(document(**changes))
    assert said in str(refused.value.context["errors"]) + refused.value.detail


def test_a_product_has_one_lane() -> None:
    from tests.attacks.clinic import LATTICE

    with pytest.raises(ProductInvalid, match="not in both"):
        read_product({**document(), "lattice": LATTICE})
