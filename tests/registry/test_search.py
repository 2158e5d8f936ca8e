"""Searching the catalogue, alike on SQLite and PostgreSQL."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text
from sqlmodel import select

from hexi.database import Database
from hexi.errors import RemoteProblem
from registry import search, store
from registry.catalogue import read_product
from registry.codes import Mode
from registry.identifiers import Kind, allocate
from registry.search import Query, terms
from registry.tables import CatalogueRow, DivisionRow
from registry.words import fold, grams, grams_of
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


def show(database: Database, name: str, changes: dict[str, Any], published: str, identifier: str = "") -> str:
    identifier = identifier or allocate(Kind.PRODUCT, OWNER, "6210").text
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
        theme=product.theme,
        region=product.region,
        personal=product.has_personal_information,
        words=search.words(product, en, zh),
        summary=store.canonical(search.summary(product, en, zh, "sha256:0", published)),
        modes="".join(f"|{mode.value}" for mode in product.modes) + "|",
    )
    with database.transaction() as session:
        store.replace_in_catalogue(session, row, store.canonical({"zh": zh, "en": en}))
    return identifier


@pytest.fixture
def catalogue(database: Database) -> Database:
    database.migrate("registry")
    for day, (name, changes) in enumerate(PRODUCTS.items(), 1):
        show(database, name, changes, f"2026-11-{day:02}T00:00:00.000Z")
    return database


def find(database: Database, newest: int = search.NEWEST, **asked: Any) -> list[str]:
    with database.reading() as session:
        return [item["description"]["en"] for item in store.search(session, Query(**asked), newest=newest).items]


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


@pytest.mark.parametrize("newest", [1, 2, search.NEWEST])
def test_what_is_asked_is_what_is_found(catalogue: Database, newest: int) -> None:
    for asked, expected in CASES:
        assert find(catalogue, newest, **asked) == expected, (asked, newest)


@pytest.mark.parametrize("newest", [1, search.NEWEST])
def test_following_a_page_finds_everything_once(catalogue: Database, newest: int) -> None:
    for asked in ({}, {"theme": "C0000"}, {"terms": terms("6916 621")}, {"personal": True, "region": "6210"}):
        everything, found, after = find(catalogue, newest, **asked), [], None
        while True:
            with catalogue.reading() as session:
                page = store.search(session, Query(**asked, limit=1, after=after), newest=newest)
            found += [item["description"]["en"] for item in page.items]
            assert (page.total is None) == (after is not None)
            after = page.next
            if after is None:
                break
        assert found == everything, asked


def test_what_is_frequent_is_estimated_and_said_to_be(catalogue: Database) -> None:
    with catalogue.reading() as session:
        found = store.search(session, Query(terms=terms("6916"), limit=1), newest=2)
    assert (found.total, found.exact, len(found.items)) == (4, False, 1)
    counted = {facet: {v.value: v.count for v in values} for facet, values in found.facets.items()}
    assert counted["provider"] == {PLANNER: 4}
    assert found.facets["provider"][0].label == {"zh": "县局", "en": "County bureau 100%"}
    with catalogue.reading() as session:
        certain = store.search(session, Query(terms=terms("6916"), limit=2), newest=2)
    assert (certain.total, certain.exact, len(certain.items)) == (4, True, 2)


TEXTS = st.text(st.sampled_from("ab医保AＢ %_\\'\n"), max_size=8)


@given(known=st.lists(TEXTS, min_size=1, max_size=5), asked=TEXTS)
def test_the_index_leaves_out_no_text_with_the_words(known: list[str], asked: str) -> None:
    sought = terms(asked)
    for kept in map(fold, known):
        if sought and all(word in kept for word in sought):
            assert frozenset[int]().union(*map(grams_of, sought)) <= grams(kept)


def test_what_is_counted_is_what_is_there_whatever_comes_and_goes(catalogue: Database) -> None:
    crops = find_identifier(catalogue, "crops")
    show(catalogue, "crops", {**PRODUCTS["crops"], "theme": "C0500"}, "2026-11-09T00:00:00.000Z", crops)
    assert find(catalogue) == ["crops", "water", "beds", "claims"]
    assert counted_within(catalogue, theme="C0500") == {"region": {"6201": 1, "6210": 1}, "total": 2}
    assert counted_within(catalogue, theme="B0000") == {"region": {}, "total": 0}
    show(catalogue, "crops", {**PRODUCTS["crops"], "theme": "C0500"}, "2026-11-10T00:00:00.000Z", crops)
    assert counted_within(catalogue, theme="C0500") == {"region": {"6201": 1, "6210": 1}, "total": 2}
    with catalogue.transaction() as session:
        store.remove_from_catalogue(session, crops)
        store.remove_from_catalogue(session, crops)
        store.remove_provider_from_catalogue(session, HOSPITAL)
    assert counted_within(catalogue) == {"region": {"6210": 1}, "total": 1}
    assert find(catalogue, 1, terms=terms("农作物")) == []
    with catalogue.transaction() as session:
        store.remove_provider_from_catalogue(session, PLANNER)
        assert session.exec(select(DivisionRow)).all() == []


def counted_within(database: Database, **asked: Any) -> dict[str, Any]:
    with database.reading() as session:
        found = store.search(session, Query(**asked))
    return {"region": {v.value: v.count for v in found.facets["region"]}, "total": found.total}


def find_identifier(database: Database, word: str) -> str:
    with database.reading() as session:
        return str(store.search(session, Query(terms=terms(word))).items[0]["identifier"])


def test_a_catalogue_from_before_is_taken_over(database: Database) -> None:
    """What migration 0002 makes of a catalogue as 0001 had it."""
    database.migrate("registry")
    downgrade_by_hand(database)
    database.migrate("registry")
    assert find(database) == ["newer", "older"]
    assert find(database, 1, terms=terms("医保")) == ["older"]
    assert counted_within(database, mode=Mode.FILE) == {"region": {"6210": 2}, "total": 2}
    show(database, "newest", PRODUCTS["claims"], "2026-11-11T00:00:00.000Z")
    assert find(database) == ["newest", "newer", "older"]


def downgrade_by_hand(database: Database) -> None:
    """Two products in the tables of 0001."""
    with database.transaction() as session:
        for name in ("registry_catalogue", "registry_catalogue_grams", "registry_catalogue_division"):
            session.execute(text(f"DROP TABLE {name}"))
        for statement in BEFORE:
            session.execute(text(statement))
        row = text(
            "INSERT INTO registry_catalogue VALUES"
            " (:id, 'did:web:a', '{\"zh\":\"甲\",\"en\":\"A\"}', 'C0312', '6210', :p, :words, :summary, :at)"
        )
        for name, words, day in (("newer", "水", 2), ("older", "门诊医保", 1)):
            summary = store.canonical({"description": {"en": name}})
            session.execute(row, {"id": name, "p": False, "words": words, "summary": summary, "at": f"2026-11-0{day}"})
            session.execute(text("INSERT INTO registry_catalogue_mode VALUES (:id, 'file')"), {"id": name})
        session.execute(text("UPDATE registry_version SET version_num = '0001'"))


_COLUMNS = ", ".join(f"{name} TEXT NOT NULL" for name in ("words", "summary", "published"))
BEFORE = (
    "CREATE TABLE registry_catalogue (identifier TEXT PRIMARY KEY, provider TEXT NOT NULL, provider_name TEXT NOT NULL,"
    f" theme TEXT NOT NULL, region TEXT NOT NULL, personal BOOLEAN NOT NULL, {_COLUMNS})",
    "CREATE INDEX registry_catalogue_order ON registry_catalogue (published, identifier)",
    *(
        f"CREATE INDEX ix_registry_catalogue_{facet} ON registry_catalogue ({facet})"
        for facet in ("provider", "theme", "region", "personal")
    ),
    "CREATE TABLE registry_catalogue_mode (identifier TEXT, mode TEXT, PRIMARY KEY (identifier, mode))",
    "CREATE INDEX registry_catalogue_mode_mode ON registry_catalogue_mode (mode, identifier)",
)


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


COSTS: list[tuple[dict[str, Any], int]] = [
    ({}, 3),  # which are on the page, what was counted before, the page
    ({"theme": "C0000", "facets": False}, 3),
    ({"terms": terms("医保"), "limit": 2}, 5),  # how many there are; the newest; all; providers' names; the page
    ({"terms": terms("6916"), "limit": 1}, 4),
    ({"terms": terms("nowhere")}, 3),
]


def test_a_search_takes_five_statements_at_most(catalogue: Database) -> None:
    statements: list[str] = []
    event.listen(catalogue.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    for asked, cost in COSTS:
        statements.clear()
        find(catalogue, 2, **asked)
        assert len([s for s in statements if not s.startswith("BEGIN")]) == cost, (asked, statements)


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
