"""The catalogue: who sees what, what it can be asked, and pages that lead to everything."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event

from connector.catalogue import store as index
from connector.catalogue.audience import Audience, audience_of
from connector.catalogue.errors import FilterUnsupported
from connector.catalogue.question import MAX_PAGE, Wanted, page_of, read_filter, read_token, write_token
from connector.contracts import product_store
from connector.contracts.products import PublishedProduct
from connector.policies.evaluation import Situation, Stage, evaluate_terms
from hexi.canonical import encode
from hexi.database import Database
from ledger.documents import SignedDocument, sign_document
from registry.catalogue import read_product
from registry.identifiers import check_character
from tests.connector.business import CONSUMER, OPERATOR, PROVIDER, STRANGER, USE, description

NAMED = {"leftOperand": "participant", "operator": "eq", "rightOperand": CONSUMER.did}
LATER = {"leftOperand": "dateTime", "operator": "gteq", "rightOperand": "2027-01-01T00:00:00Z"}
PURPOSE = {"leftOperand": "purpose", "operator": "eq", "rightOperand": "research"}


def allowing(*constraints: dict[str, Any]) -> dict[str, Any]:
    return {"permission": [{"action": "use", "constraint": list(constraints)}]}


AUDIENCES = [
    (USE, Audience.EVERYBODY, set()),
    (allowing(PURPOSE), Audience.EVERYBODY, set()),
    (allowing(NAMED), Audience.LISTED, {CONSUMER.did}),
    (allowing(NAMED, PURPOSE), Audience.LISTED, {CONSUMER.did}),
    (allowing(LATER), Audience.JUDGED, set()),
    (allowing(LATER, NAMED), Audience.JUDGED, set()),
    (USE | {"prohibition": [{"action": "use", "constraint": [NAMED]}]}, Audience.JUDGED, set()),
    ({"permission": []}, Audience.NOBODY, set()),
    ({"permission": [{"action": "fly"}]}, Audience.NOBODY, set()),
]


@pytest.mark.parametrize(("terms", "audience", "listed"), AUDIENCES)
def test_the_audience_of_terms_agrees_with_their_evaluation(
    terms: dict[str, Any], audience: Audience, listed: set[str]
) -> None:
    assert audience_of(terms) == (audience, listed)
    if audience is Audience.JUDGED:
        return
    for did in (CONSUMER.did, OPERATOR.did, STRANGER.did):
        seen = audience is Audience.EVERYBODY or did in listed
        for hour in (datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)):
            assert evaluate_terms(terms, Situation(Stage.CATALOGUE, hour, did)).allowed == seen


@pytest.fixture
def offered(database: Database) -> Database:
    database.migrate("connector")
    return database


def publish(database: Database, number: int, *, version: int = 1, extension: str = "", **changes: Any) -> str:
    body = f"691620000000000000X6210{number:08d}"
    identifier = body + check_character(body) + extension
    document = description(**changes) | {
        "type": "data-product",
        "identifier": identifier,
        "version": version,
        "provider": PROVIDER.did,
        "parties": [PROVIDER.did],
        "rows": 1,
        "entities": 1,
        "quality": dict.fromkeys(
            ("normativity", "completeness", "accuracy", "consistency", "timeliness", "accessibility"), 1.0
        )
        | {"assessedAt": "2026-11-01"},
    }
    product = read_product(document)
    signature = sign_document(product.document(), PROVIDER.key, PROVIDER.kid)
    published = PublishedProduct("visits", product, SignedDocument(product.document(), {PROVIDER.did: signature}))
    with database.transaction() as session:
        product_store.add_product(session, published, "digest", "2026-11-23T12:00:00.000Z")
        product_store.mark_published(session, identifier, version, {}, "2026-11-23T12:00:00.000Z")
    return identifier


def seen(
    database: Database,
    wanted: Wanted,
    *,
    by: str = CONSUMER.did,
    admitting: dict[str, list[int]] | None = None,
    nearest: int = index.NEAREST,
) -> list[str]:
    with database.reading() as session:
        page = page_of(wanted, index.page(session, wanted, by, admitting or {}, nearest=nearest))
    return [dataset["@id"] for dataset in page.datasets]


def walk(database: Database, wanted: Wanted) -> Iterator[list[str]]:
    """Every page from `wanted` on, by its links, each link as it travels."""
    turned: Wanted | None = wanted
    while turned is not None:
        with database.reading() as session:
            page = page_of(turned, index.page(session, turned, CONSUMER.did, {}))
        yield [dataset["@id"] for dataset in page.datasets]
        turned = None if page.next is None else read_token(write_token(page.next))


def test_a_caller_sees_what_its_terms_allow_and_judged_ones_when_they_admit(offered: Database) -> None:
    everybody = publish(offered, 1)
    named = publish(offered, 2, policy=allowing(NAMED))
    hourly = publish(offered, 3, policy=allowing(LATER))
    with offered.reading() as session:
        judged = index.judged_offers(session)

    assert [[offer.odrl for offer in offers] for offers in judged.values()] == [[allowing(LATER)]]
    assert seen(offered, Wanted()) == [everybody, named]
    assert seen(offered, Wanted(), by=STRANGER.did) == [everybody]
    assert seen(offered, Wanted(), by=STRANGER.did, admitting={name: [0] for name in judged}) == [everybody, hourly]


@pytest.mark.parametrize("question", [{}, {"sortField": "id"}, {"sortField": "id", "sortOrder": "DESC"}])
def test_pages_lead_to_everything_once_and_back(offered: Database, question: dict[str, Any]) -> None:
    products = [publish(offered, number) for number in (5, 3, 1, 4, 2)]
    wanted = read_filter([{"limit": 2, **question}])
    expected = sorted(products, reverse="sortOrder" in question) if question else products

    pages = list(walk(offered, wanted))

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [one for page in pages for one in page] == expected
    with offered.reading() as session:
        second = page_of(wanted, index.page(session, wanted, CONSUMER.did, {})).next
        assert second is not None
        turned = page_of(second, index.page(session, second, CONSUMER.did, {}))
        assert turned.previous is not None
        back = page_of(turned.previous, index.page(session, turned.previous, CONSUMER.did, {}))
    assert [dataset["@id"] for dataset in back.datasets] == expected[:2]
    assert back.previous is None
    assert back.next == second


def test_a_new_version_takes_the_place_of_the_old_one(offered: Database) -> None:
    first = publish(offered, 1)
    other = publish(offered, 2)
    with offered.reading() as session:
        before = index.revision(session)
    publish(offered, 1, version=2, policy=allowing(NAMED), keywords=["neu"])

    assert seen(offered, Wanted()) == [first, other]
    assert seen(offered, Wanted(), by=STRANGER.did) == [other]
    assert seen(offered, read_filter({"keyword": "NEU"})) == [first]
    with offered.reading() as session:
        assert index.revision(session) == before + 1
        assert product_store.not_shown(session) == []


FOUND = [
    ({}, "ab"),
    ({"theme": "C0312"}, "b"),
    ({"theme": ["C0312", "C0000"]}, "ab"),
    ({"keyword": "Ｃardio"}, "b"),
    ({"keyword": ["cardio", "门诊"]}, "ab"),
    ({"name": "Visits"}, "a"),
    ({"text": "heart PATIENTS"}, "b"),
    ({"text": "100%"}, ""),
    ({"provider": PROVIDER.did}, "ab"),
    ({"participantId": STRANGER.did}, ""),
    ([{"offset": 1, "limit": 5}], "b"),
    ([{"range": {"from": 0, "to": 1}}], "a"),
    ([{"filterExpression": [{"operandLeft": "theme", "operator": "like", "operandRight": "C03%"}]}], "b"),
    (
        {
            "@type": "QuerySpec",
            "https://w3id.org/edc/v0.0.1/ns/filterExpression": [
                {
                    "https://w3id.org/edc/v0.0.1/ns/operandLeft": "https://w3id.org/edc/v0.0.1/ns/name",
                    "https://w3id.org/edc/v0.0.1/ns/operator": "=",
                    "https://w3id.org/edc/v0.0.1/ns/operandRight": "心脏",
                }
            ],
        },
        "b",
    ),
]


@pytest.mark.parametrize(("question", "found"), FOUND)
def test_what_the_catalogue_can_be_asked(offered: Database, question: Any, found: str) -> None:
    names = {
        publish(offered, 1, keywords=["门诊"]): "a",
        publish(
            offered,
            2,
            theme="C0312",
            title={"zh": "心脏", "en": "Heart"},
            description={"zh": "心脏", "en": "Patients with a heart disease"},
            keywords=["Cardio"],
        ): "b",
    }

    assert "".join(names[one] for one in seen(offered, read_filter(question))) == found
    assert "".join(names[one] for one in seen(offered, read_filter(question), nearest=1)) == found


def like(name: str, value: Any) -> Any:
    return {"filterExpression": [{"operandLeft": name, "operator": "like", "operandRight": value}]}


PATTERNS = [
    ("name", "門_ 50\\%", ""),
    ("name", "%50%", "a"),
    ("name", "50\\\\% of VISITS", ""),
    ("name", "50\\ of%", "a"),
    ("name", "_0\\ OF ｖisits", "a"),
    ("name", "\\%", ""),
    ("name", "%\\", ""),
    ("name", ["heart", "50%"], "ab"),
    ("id", "%x6210%", "ab"),
    ("id", "%X6210000000012", ""),
    ("id", "%x62100000000_%", "ab"),
    ("id", "%É%", "b"),
    ("id", "%é-7", "b"),
    ("theme", "c03%", "b"),
    ("theme", "C____", "ab"),
    ("region", "62%", "ab"),
]


@pytest.mark.parametrize("nearest", [1, index.NEAREST])
def test_patterns_mean_the_same_in_either_database(offered: Database, nearest: int) -> None:
    """Whatever the case, and with a backslash that is one: SQLite and PostgreSQL differ in both by themselves."""
    names = {
        publish(offered, 1, title={"zh": "门诊", "en": "50\\ of Visits"}): "a",
        publish(offered, 2, theme="C0312", title={"zh": "心脏", "en": "Heart"}, extension="•É-7"): "b",
    }
    for name, value, found in PATTERNS:
        asked = read_filter(like(name, value))
        assert "".join(names[one] for one in seen(offered, asked, nearest=nearest)) == found, (name, value)


def test_a_page_and_its_revision_are_of_one_moment(offered: Database) -> None:
    """A publication between two statements of a page is in none of them, or a peer would keep a wrong page as right."""
    first = publish(offered, 1)
    with offered.reading() as session:
        before = index.revision(session)
        second = publish(offered, 2)
        assert [key["@id"] for _, key in index.page(session, Wanted(), CONSUMER.did, {})] == [first]
        assert index.revision(session) == before
    assert seen(offered, Wanted()) == [first, second]


def test_a_page_takes_two_statements_at_most(offered: Database) -> None:
    publish(offered, 1)
    publish(offered, 2)
    statements: list[str] = []
    event.listen(offered.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    for question, cost in ({}, 1), ({"theme": "C0000"}, 1), ({"text": "visits"}, 2), ({"sortField": "id"}, 1):
        statements.clear()
        seen(offered, read_filter(question))
        assert len([one for one in statements if not one.startswith("BEGIN")]) == cost, question


def test_what_is_hidden_is_not_found_by_its_words(offered: Database) -> None:
    gone, kept = publish(offered, 1), publish(offered, 2)
    with offered.transaction() as session:
        index.hide(session, gone)
    publish(offered, 2, version=2, title={"zh": "床", "en": "Beds"})
    assert seen(offered, read_filter({"text": "beds"}), nearest=1) == [kept]
    assert seen(offered, read_filter({"text": "6916"}), nearest=1) == [kept]


REFUSED = [
    ("text", "an object of properties"),
    ([{}, {}], "not several"),
    ({"colour": "red"}, "'colour'"),
    ({"theme": 7}, "texts"),
    ({"theme": []}, "1 to"),
    ({"theme": "C" * 1000}, "characters"),
    ({"theme": "a\0b"}, "NUL"),
    ({"text": "\ud800"}, "Unicode"),
    ({"offset": -1}, "offset"),
    ({"offset": True}, "offset"),
    ({"limit": 0}, "limit"),
    ({"limit": "50"}, "limit"),
    ({"offset": 0, "colour": "red"}, "colour"),
    ({"sortField": "price"}, "price"),
    ({"filterExpression": ["theme"]}, "filterExpression"),
    ({"filterExpression": [{"operandLeft": "theme", "operator": "<", "operandRight": "C"}]}, "'<'"),
    ({"filterExpression": [{"operandLeft": "keyword", "operator": "like", "operandRight": "%"}]}, "patterns"),
    ({"filterExpression": [{"operandLeft": "theme", "operator": "=", "operandRight": "C"}] * 11}, "parts"),
]


@pytest.mark.parametrize(("question", "why"), REFUSED)
def test_what_it_cannot_be_asked_is_refused_by_name(question: Any, why: str) -> None:
    with pytest.raises(FilterUnsupported, match=why):
        read_filter(question)


def test_a_page_is_never_longer_than_the_cap() -> None:
    assert read_filter({"limit": 2**31 - 1}).limit == MAX_PAGE


def token(value: Any) -> str:
    return base64.urlsafe_b64encode(encode(value)).decode().rstrip("=")


GOOD = {"criteria": [], "byId": False, "descending": False, "offset": 0, "limit": 1, "after": None, "before": None}


@pytest.mark.parametrize(
    "forged",
    [
        "!",
        "",
        token([]),
        token({}),
        token(GOOD | {"after": "text where a number stands"}),
        token(GOOD | {"after": {"a": 1}}),
        token(GOOD | {"after": True}),
        token(GOOD | {"byId": True, "after": "a\0b"}),
        token(GOOD | {"limit": "x"}),
        token(GOOD | {"criteria": [["colour", "is", ["red"]]]}),
        token(GOOD | {"criteria": 5}),
    ],
)
def test_a_forged_token_is_refused(forged: str) -> None:
    with pytest.raises(FilterUnsupported):
        read_token(forged)
    assert read_token(token(GOOD | {"limit": 10**9})).limit == MAX_PAGE
