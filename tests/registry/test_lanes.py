"""A product has a lane in each mode it is offered in, or is not published; what was published before stays readable."""

from typing import Any

import pytest

from registry import registrar
from registry.catalogue import Product, read_product, to_dcat
from registry.errors import ProductInvalid
from registry.lanes import LaneName, NoLane, check_lanes, lane_of
from tests.registry.builders import LATTICE, Space, product_document, signed_product
from tests.registry.test_registrar import refused

SQL, SUM, PROGRAM = "sandbox-sql", "encrypted-sum", "sandbox-program"
NAMED = {"analysts": [{"group": "planning", "members": ["did:web:planner.example"]}], "querySets": 100}
PLAIN: dict[str, Any] = {"lattice": None, "hasPersonalInformation": False}
KINDS: dict[str, dict[str, Any]] = {
    "a cube": {"lattice": LATTICE},
    "a cube without persons": {"lattice": LATTICE, "hasPersonalInformation": False},
    "named analysts": {"lattice": None, "controlled": {**NAMED, "airlock": False}},
    "named analysts, looked at": {"lattice": None, "controlled": NAMED},
    "named analysts, bound columns": {
        "lattice": None,
        "controlled": {**NAMED, "airlock": False, "levels": {"claims.age": "compare-only"}},
    },
    "named analysts, a column never": {
        "lattice": None,
        "controlled": {**NAMED, "airlock": False, "levels": {"claims.age": "never"}},
    },
    "persons and nothing": {"lattice": None},
    "no persons": PLAIN,
}
# Kind: what answers SQL, an encrypted sum, a program; None is nothing.
LANES: dict[str, tuple[LaneName | None, LaneName | None, LaneName | None]] = {
    "a cube": (LaneName.LATTICE, None, None),
    "a cube without persons": (LaneName.LATTICE, None, None),
    "named analysts": (LaneName.CONTROLLED, LaneName.SUMS, LaneName.PROGRAMS),
    "named analysts, looked at": (LaneName.CONTROLLED, None, LaneName.PROGRAMS),
    "named analysts, bound columns": (LaneName.CONTROLLED, LaneName.SUMS, None),
    "named analysts, a column never": (LaneName.CONTROLLED, LaneName.SUMS, LaneName.PROGRAMS),
    "persons and nothing": (None, None, LaneName.PROGRAMS),
    "no persons": (LaneName.TABLES, LaneName.SUMS, LaneName.PROGRAMS),
}


def product(kind: str, *modes: str) -> Product:
    return read_product(product_document(**KINDS[kind], modes=list(modes)))


@pytest.mark.parametrize("kind", KINDS)
def test_product_and_mode_decide_the_lane_and_without_one_nothing_is_published(kind: str) -> None:
    for mode, expected in zip((SQL, SUM, PROGRAM), LANES[kind], strict=True):
        described = product(kind, mode)
        lane = lane_of(described, mode)
        if expected is not None:
            assert lane is expected
            check_lanes(described)
            continue
        assert isinstance(lane, NoLane)
        with pytest.raises(ProductInvalid) as no:
            check_lanes(described)
        assert no.value.context["errors"] == [{"where": "modes", "why": lane.why}]
        assert isinstance(lane_of(described, "by-post"), NoLane)


def test_the_refusal_says_the_ways_out_and_the_cube_first() -> None:
    with pytest.raises(ProductInvalid) as no:
        check_lanes(product("persons and nothing", SQL, SUM))
    said = no.value.detail
    assert said.index("lattice") < said.index("controlled")
    assert len(no.value.context["errors"]) == 2


def test_what_leaves_as_it_is_needs_no_lane() -> None:
    check_lanes(product("persons and nothing", "table"))


def test_publication_is_refused_and_what_was_published_before_stays(
    each_space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital = each_space.admit()
    identifier = hospital.allocate()
    bare = signed_product(identifier=identifier, lattice=None)
    assert refused(hospital.publish, bare) == "registry.product-invalid"
    assert hospital.search().total == 0
    with monkeypatch.context() as earlier:
        earlier.setattr(registrar, "check_lanes", lambda _: None)  # as it was before the rule
        receipt = hospital.publish(bare).receipt
    assert hospital.product(identifier).document == bare.document
    assert hospital.search().total == 1
    assert to_dcat(read_product(bare.document))["@id"] == identifier
    # A repetition that comes late changes nothing, and is answered; a new version is held to the rule.
    assert hospital.publish(bare).receipt == receipt
    assert refused(hospital.publish, signed_product(identifier=identifier, version=2, lattice=None)) == (
        "registry.product-invalid"
    )
    hospital.publish(signed_product(identifier=identifier, version=2))
