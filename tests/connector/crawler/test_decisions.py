"""What to ask next, what an answer means, and what a page says: rules, as truth tables."""

import base64
import uuid
from dataclasses import replace
from typing import Any

import pytest

from connector.catalogue.datasets import formats_of, offers_of
from connector.crawler.datasets import MAX_KEYWORD_CHARACTERS, MAX_TITLE_CHARACTERS, read_dataset
from connector.crawler.pages import Answer, is_at, read_page
from connector.crawler.states import TRANSITIONS, Event, Peer, PeerState, Progress, next_state
from connector.crawler.steps import Question, failure_of, instead, question
from hexi.canonical import encode
from tests.connector.crawler.peers import catalogue, dataset

DID, ADDRESS = "did:web:a.example", "https://a.example/dsp/2025-1"
ASKED = f"{ADDRESS}/catalog/request"
NEXT = f"{ASKED}?p=2"
IDLE = Peer(DID, "2026-11-23T08:00:00.000Z")
READ = replace(IDLE, first=f"{ASKED}?p=1", tag='"r1"')
UNDER_WAY = replace(READ, state=PeerState.CRAWLING, progress=Progress("2026-11-23T08:00:00.000Z", NEXT))
OPENING, FOLLOWING = Question(ASKED, posted=True, opening=True), Question(NEXT, posted=False, opening=False)
CHECKING = Question(f"{ASKED}?p=1", posted=False, opening=True, tag='"r1"')


def test_every_state_knows_what_can_happen_to_it() -> None:
    for state in set(PeerState) - {PeerState.GONE}:
        for event in (Event.PAGE, Event.COMPLETED, Event.FAILED, Event.LEFT):
            assert next_state(state, event)
        with pytest.raises(ValueError, match="returned"):
            next_state(state, Event.RETURNED)
    assert {event for state, event in TRANSITIONS if state is PeerState.GONE} == {Event.LEFT, Event.RETURNED}
    with pytest.raises(ValueError, match="unchanged"):  # what is kept is a mixture then, of which no tag speaks
        next_state(PeerState.CRAWLING, Event.UNCHANGED)


@pytest.mark.parametrize(
    ("peer", "address", "asked"),
    [
        (IDLE, ADDRESS, OPENING),
        (READ, ADDRESS, CHECKING),
        (UNDER_WAY, ADDRESS, FOLLOWING),
        # It has moved: what it told us at the old place leads nowhere now.
        (READ, "https://b.example/dsp", Question("https://b.example/dsp/catalog/request", posted=True, opening=True)),
        (
            replace(UNDER_WAY, tag="", first=""),
            "https://b.example/dsp",
            Question("https://b.example/dsp/catalog/request", posted=True, opening=True),
        ),
    ],
)
def test_what_is_asked_next(peer: Peer, address: str, asked: Question) -> None:
    assert question(peer, address) == asked


@pytest.mark.parametrize(
    ("asked", "status", "other"),
    [
        (OPENING, 400, replace(OPENING, plain=True)),
        (replace(OPENING, plain=True), 400, None),
        (OPENING, 401, None),
        (OPENING, 500, None),
        (CHECKING, 304, None),
        (CHECKING, 400, OPENING),
        (CHECKING, 404, OPENING),
        (CHECKING, 503, None),
        (FOLLOWING, 405, replace(FOLLOWING, posted=True)),
        (FOLLOWING, 400, None),
        (replace(FOLLOWING, posted=True), 405, None),
        (OPENING, 200, None),
    ],
)
def test_how_else_it_is_put(asked: Question, status: int, other: Question | None) -> None:
    assert instead(asked, status, ADDRESS) == other


@pytest.mark.parametrize(
    ("asked", "status", "passing"),
    [(OPENING, 200, None), (CHECKING, 304, None), (OPENING, 304, False), (OPENING, 401, False), (OPENING, 404, False)]
    + [(FOLLOWING, status, True) for status in (408, 425, 429, 500, 503)]
    + [(FOLLOWING, 302, False)],
)
def test_which_failures_pass(asked: Question, status: int, passing: bool | None) -> None:
    failure = failure_of(asked, Answer(status))
    assert (failure.passing if failure else None) is passing


@pytest.mark.parametrize(
    ("link", "taken"),
    [
        (NEXT, True),
        (ADDRESS, True),
        (f"{ADDRESS}-else/catalog", False),
        ("https://a.example/catalog", False),
        ("http://a.example/dsp/2025-1/x", False),
        ("https://a.example:443/dsp/2025-1/x", True),
        ("https://a.example:8443/dsp/2025-1/x", False),
        (f"{ADDRESS}/x y", False),
        (f"{ADDRESS}/x\n", False),
        (f"{ADDRESS}/é", False),
        ("https://user@a.example/dsp/2025-1/x", False),
        (f"{ADDRESS}/../../x", False),
        (f"{ADDRESS}/%2E%2E/x", False),
        (f"{ADDRESS}/x#y", False),
        ("https://a.example:x/dsp/2025-1", False),
        ("", False),
    ],
)
def test_only_links_to_the_peers_own_endpoint_are_followed(link: str, taken: bool) -> None:
    assert is_at(link, ADDRESS) is taken


@pytest.mark.parametrize(
    ("header", "following"),
    [
        (f'<{NEXT}>; rel="next"', NEXT),
        (f"<{NEXT}>;rel=next", NEXT),
        (f'<{ASKED}?p=0>; rel="prev", <{NEXT}>; title="a, b"; REL="Next last"', NEXT),
        ("<?p=2>; rel=next", NEXT),
        (f'<{NEXT}>; rel="nextish"', ""),
        (f"<{NEXT}>", ""),
        ("rel=next", ""),
        ("", ""),
    ],
)
def test_how_links_are_read(header: str, following: str) -> None:
    content = encode(catalogue(DID, [dataset("d0")]))
    assert read_page(Answer(200, content, link=header), ASKED, DID, ADDRESS).next == following


@pytest.mark.parametrize(
    ("tag", "kept"),
    [('"r1"', '"r1"'), ('W/"r1"', 'W/"r1"'), ("r1", ""), ('"é"', ""), (f'"{"x" * 1_000}"', ""), ("", "")],
)
def test_only_what_is_an_etag_is_kept_and_sent_back(tag: str, kept: str) -> None:
    content = encode(catalogue(DID, [dataset("d0")]))
    assert read_page(Answer(200, content, tag=tag), ASKED, DID, ADDRESS).tag == kept


def test_what_stands_where_a_dataset_should_is_counted() -> None:
    page = read_page(Answer(200, encode(catalogue(DID, ["d0", dataset("d1"), 7]))), ASKED, DID, ADDRESS)
    assert (page.datasets, page.left_out, page.left_out_why) == (3, 2, "a dataset is an object")
    alone = encode(catalogue(DID, []) | {"dataset": dataset("d0")})
    assert read_page(Answer(200, alone), ASKED, DID, ADDRESS).datasets == 1
    none = {name: item for name, item in catalogue(DID, []).items() if name != "dataset"}
    assert read_page(Answer(200, encode(none)), ASKED, DID, ADDRESS).datasets == 0


def edc_offer(definition: str) -> dict[str, Any]:
    """An offer as Eclipse EDC names it: definition, asset and something new in each answer."""
    parts = (definition, "asset", str(uuid.uuid4()))
    return {"@id": ":".join(base64.b64encode(part.encode()).decode() for part in parts), "permission": []}


def edc_dataset(endpoint: str = "https://edc.example/protocol", **more: Any) -> dict[str, Any]:
    """A dataset as Eclipse EDC writes it: the service stands in each distribution, under a new name each time."""
    service = {"@id": str(uuid.uuid4()), "@type": "DataService", "endpointURL": endpoint}
    distribution = [{"format": "HttpData-PUSH", "accessService": service}]
    return dataset("asset", **{"distribution": distribution, "hasPolicy": edc_offer("c1"), **more})


def test_what_edc_makes_up_anew_does_not_change_a_dataset_but_another_definition_does() -> None:
    first, again = (read_dataset(edc_dataset()) for _ in range(2))
    assert first.digest == again.digest
    assert first.dataset != again.dataset
    for other in (edc_dataset(hasPolicy=edc_offer("c2")), edc_dataset("https://elsewhere.example/dsp")):
        assert read_dataset(other).digest != first.digest
    for mine in ("a:b:c", "urn:uuid:1", f"urn:uuid:{uuid.uuid4()}"):
        others = [read_dataset(dataset("a", hasPolicy=[{"@id": name}])).digest for name in (mine, mine[:-1])]
        assert others[0] != others[1]


def test_a_dataset_is_found_by_what_it_says_in_whatever_words() -> None:
    ours = {
        "@id": "d0",
        "http://purl.org/dc/terms/title": [{"@value": "门诊", "@language": "zh"}, {"@value": "Visits"}],
        "http://www.w3.org/ns/dcat#keyword": ["Cardio", "Cardio", 7],
        "http://www.w3.org/ns/dcat#theme": {"@id": "C0000"},
        "distribution": {"format": {"@id": "HttpData-PULL"}},
        "hasPolicy": {"@id": "o1", "permission": []},
    }
    found = read_dataset(ours)
    assert (found.title, found.names, found.theme) == ("门诊 / Visits", ("门诊", "visits"), "C0000")
    assert found.keywords == ("cardio",)
    assert formats_of(ours) == ("HttpData-PULL",)
    assert offers_of(ours) == ({"@type": "Offer", "@id": "o1", "permission": [], "target": "d0"},)
    edcs = read_dataset({"@id": "a1", "edc:name": "Visits", "edc:description": "of\npatients"})
    assert (edcs.title, edcs.words) == ("Visits", "visits\nof patients\na1")
    growing = read_dataset(dataset("a1", keyword="\ufdfa" * 200, title="\ufdfa" * 1_000))
    assert (len(growing.keywords[0]), len(growing.names[0])) == (MAX_KEYWORD_CHARACTERS, MAX_TITLE_CHARACTERS)
    nameless = read_dataset({"@id": "a1"})
    assert (nameless.title, nameless.names) == ("a1", ("", ""))
