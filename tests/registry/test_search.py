"""Searching the catalogue, alike on SQLite and PostgreSQL."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from hexi.database import Database
from hexi.errors import RemoteProblem
from registry import search, store
from registry.catalogue import read_product
from registry.codes import Mode
from registry.identifiers import Kind, allocate
from registry.search import Query, terms
from registry.tables import CatalogueRow
from tests.registry.builders import HOSPITAL, OWNER, PLANNER, column, product_document

NAMES = {HOSPITAL: ("First Hospital", "第一医院"), PLANNER: ("County bureau 100%", "县局")}
TABLE = {"name": "t", "title": {"zh": "表", "en": "T"}, "columns": [column("n", "integer", "measure")]}
PLAIN = {"hasPersonalInformation": False, "tables": [TABLE]}

PRODUCTS: dict[str, dict[str, Any]] = {
    "claims": {"title": {"zh": "门诊医保结算", "en": "Outpatient claims"}, "keywords": ["医保", "DRG"]},
    "beds": {
        "title": {"zh": "床位使用", "en": "Bed_use 50%"},
        "theme": "C0112",
        "modes": ["sandbox-sql", "encrypted-sum"],
    },
    "crops": {
        "provider": PLANNER,
        "title": {"zh": "农作物", "en": "Crops"},
        "theme": "B0100",
        "region": "6201",
        **PLAIN,
    },
    "water": {
        "provider": PLANNER,
        "title": {"zh": "水质", "en": "Water"},
        "theme": "C0500",
        "modes": ["encrypted-sum"],
        **PLAIN,
    },
}


def show(database: Database, name: str, changes: dict[str, Any], published: str) -> str:
    identifier = allocate(Kind.PRODUCT, OWNER, "6210").text
    provider = changes.get("provider", HOSPITAL)
    product = read_product(
        product_document(
            **{
                "description": {"zh": name, "en": name},
                "keywords": [],
                "parties": [provider],
                **changes,
                "identifier": identifier,
            }
        )
    )
    en, zh = NAMES[provider]
    row = CatalogueRow(
        identifier=identifier,
        provider=provider,
        provider_name=store.canonical({"zh": zh, "en": en}),
        theme=product.theme,
        region=product.region,
        personal=product.has_personal_information,
        words=search.words(product, en, zh),
        summary=store.canonical(search.summary(product, en, zh, "sha256:0", published)),
        published=published,
    )
    with database.transaction() as session:
        store.replace_in_catalogue(session, row, [mode.value for mode in product.modes])
    return identifier


@pytest.fixture
def catalogue(database: Database) -> Database:
    database.migrate("registry")
    for day, (name, changes) in enumerate(PRODUCTS.items(), 1):
        show(database, name, changes, f"2026-11-{day:02}T00:00:00.000Z")
    return database


def find(database: Database, **asked: Any) -> list[str]:
    with database.reading() as session:
        return [item["description"]["en"] for item in store.search(session, Query(**asked)).items]


CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["water", "crops", "beds", "claims"]),
    ({"terms": terms("医保")}, ["claims"]),
    ({"terms": terms("drg")}, ["claims"]),
    ({"terms": terms("ＤＲＧ")}, ["claims"]),
    ({"terms": terms("OUTPATIENT 医保")}, ["claims"]),
    ({"terms": terms("outpatient crops")}, []),
    ({"terms": terms("第一医院")}, ["beds", "claims"]),
    ({"terms": terms("%")}, ["water", "crops", "beds"]),
    ({"terms": terms("50%")}, ["beds"]),
    ({"terms": terms("bed_")}, ["beds"]),
    ({"terms": terms("_")}, ["beds"]),
    ({"terms": terms("/")}, []),
    ({"terms": terms("' OR 1=1 --")}, []),
    ({"theme": "C0000"}, ["water", "beds", "claims"]),
    ({"theme": "C0100"}, ["beds", "claims"]),
    ({"theme": "C0112"}, ["beds"]),
    ({"theme": "D0000"}, []),
    ({"region": "6201"}, ["crops"]),
    ({"provider": PLANNER}, ["water", "crops"]),
    ({"personal": True}, ["beds", "claims"]),
    ({"personal": False}, ["water", "crops"]),
    ({"mode": Mode.ENCRYPTED_SUM}, ["water", "beds"]),
    ({"mode": Mode.ENCRYPTED_SUM, "personal": True, "terms": terms("床位")}, ["beds"]),
    ({"limit": 2}, ["water", "crops"]),
    ({"limit": 2, "offset": 2}, ["beds", "claims"]),
    ({"offset": 9}, []),
]


def test_what_is_asked_is_what_is_found(catalogue: Database) -> None:
    for asked, expected in CASES:
        assert find(catalogue, **asked) == expected, asked


def test_facets_count_everything_found_on_whatever_page(catalogue: Database) -> None:
    with catalogue.reading() as session:
        found = store.search(session, Query(theme="C0000", limit=1, offset=1))
    assert found.total == 3
    assert len(found.items) == 1
    counted = {facet: {v.value: v.count for v in values} for facet, values in found.facets.items()}
    assert counted == {
        "theme": {"C0100": 1, "C0112": 1, "C0500": 1},
        "region": {"6210": 3},
        "provider": {HOSPITAL: 2, PLANNER: 1},
        "mode": {"sandbox-sql": 2, "encrypted-sum": 2},
        "personal": {"true": 2, "false": 1},
    }
    labels = {v.value: v.label for values in found.facets.values() for v in values}
    assert labels[HOSPITAL] == {"zh": "第一医院", "en": "First Hospital"}
    assert labels["sandbox-sql"] == {"zh": "沙箱SQL", "en": "SQL in the sandbox"}


def test_facets_may_be_left_out(catalogue: Database) -> None:
    with catalogue.reading() as session:
        found = store.search(session, Query(theme="C0000", limit=1, facets=False))
    assert (found.total, len(found.items), any(found.facets.values())) == (3, 1, False)


def test_nothing_found_divides_into_nothing(catalogue: Database) -> None:
    with catalogue.reading() as session:
        found = store.search(session, Query(terms=("nowhere",)))
    assert found.total == 0
    assert set(found.facets) == set(search.FACETS)
    assert not any(found.facets.values())


def test_a_search_takes_two_statements(catalogue: Database) -> None:
    statements: list[str] = []
    event.listen(catalogue.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    find(catalogue, terms=("医保",), mode=Mode.SANDBOX_SQL)
    assert len([s for s in statements if not s.startswith("BEGIN")]) == 2


def test_who_leaves_the_catalogue_is_not_found(catalogue: Database) -> None:
    with catalogue.transaction() as session:
        store.remove_provider_from_catalogue(session, HOSPITAL)
    assert find(catalogue) == ["water", "crops"]
    assert find(catalogue, mode=Mode.SANDBOX_SQL) == ["crops"]


@given(st.text(max_size=300))
def test_any_text_is_a_search(text: str) -> None:
    found = terms(text)
    assert len(found) <= search.MAX_TERMS
    assert len(set(found)) == len(found)


def test_the_http_interface_bounds_what_is_asked(space: Any) -> None:
    client = space.client()
    assert client.search().total == 0
    for asked in ({"limit": 101}, {"limit": 0}, {"offset": -1}, {"theme": "x"}, {"mode": "sql"}, {"q": "x" * 201}):
        with pytest.raises(RemoteProblem) as refused:
            client.search(**asked)
        assert refused.value.status == 422
