"""The protocol's addresses: who may ask, what is refused how, and that a repetition changes nothing."""

import re

import httpx
import pytest

from connector.protocol.messages import CONTEXT
from hexi.canonical import Json, encode
from tests.asgi import ASGITransport
from tests.connector.pair import Pair, offer

BASE = "/dsp/2025-1"
CONSUMER = "did:web:consumer"


def request(**changes: Json) -> dict[str, Json]:
    body = {
        "@context": [CONTEXT],
        "@type": "ContractRequestMessage",
        "@id": "urn:uuid:m1",
        "consumerPid": "urn:uuid:c1",
        "offer": offer(),
        "callbackAddress": "http://consumer.test/dsp/2025-1/",
    }
    return {**body, **changes}


def follow_up(type_: str, pid: str, **changes: Json) -> dict[str, Json]:
    body = {"@context": [CONTEXT], "@type": type_, "@id": "urn:uuid:m2", "providerPid": pid}
    return {**body, "consumerPid": "urn:uuid:c1", **changes}


@pytest.fixture
def provider_pid(pair: Pair) -> str:
    """A negotiation at the provider, in REQUESTED, where it stays."""
    pair.provider.script.negotiations = {}
    answer = pair.provider.call("POST", f"{BASE}/negotiations/request", request(), by=CONSUMER)
    assert answer.status_code == 201
    return str(answer.json()["providerPid"])


def state(pair: Pair, pid: str) -> str:
    answer = pair.provider.call("GET", f"{BASE}/negotiations/{pid}", by=CONSUMER)
    assert answer.status_code == 200
    return str(answer.json()["state"])


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_version_document_is_public(pair: Pair, slash: str) -> None:
    answer = pair.provider.call("GET", f"/.well-known/dspace-version{slash}")
    assert answer.json() == {"protocolVersions": [{"version": "2025-1", "path": BASE, "binding": "HTTPS"}]}


@pytest.mark.parametrize("slash", ["", "/"])
def test_addresses_work_with_and_without_a_trailing_slash(pair: Pair, slash: str) -> None:
    pair.provider.script.negotiations = {}
    answer = pair.provider.call("POST", f"{BASE}/negotiations/request{slash}", request(), by=CONSUMER)
    assert answer.status_code == 201
    pid = answer.json()["providerPid"]
    assert pair.provider.call("GET", f"{BASE}/negotiations/{pid}{slash}", by=CONSUMER).status_code == 200
    ending = follow_up("ContractNegotiationTerminationMessage", pid)
    assert pair.provider.call("POST", f"{BASE}/negotiations/{pid}/termination{slash}", ending, by=CONSUMER).is_success


def test_the_same_request_again_is_the_same_process(pair: Pair, provider_pid: str) -> None:
    for again in (request(), request(**{"@id": "urn:uuid:another-attempt"}), request(**{"@id": None})):
        answer = pair.provider.call("POST", f"{BASE}/negotiations/request", again, by=CONSUMER)
        assert (answer.status_code, answer.json()["providerPid"]) == (201, provider_pid)
    assert len(pair.provider.processes()) == 1


def test_the_same_pid_for_something_else_is_refused(pair: Pair, provider_pid: str) -> None:
    other = request(**{"@id": "urn:uuid:m9", "offer": offer("dataset-2")})
    answer = pair.provider.call("POST", f"{BASE}/negotiations/request", other, by=CONSUMER)
    assert (answer.status_code, answer.json()["code"]) == (400, "connector.process-taken")


def test_the_same_pid_of_another_participant_is_another_process(pair: Pair, provider_pid: str) -> None:
    answer = pair.provider.call("POST", f"{BASE}/negotiations/request", request(), by="did:web:stranger")
    assert answer.status_code == 201
    assert answer.json()["providerPid"] != provider_pid


def test_nobody_is_asked_who_they_are(pair: Pair, provider_pid: str) -> None:
    answer = pair.provider.call("GET", f"{BASE}/negotiations/{provider_pid}")
    assert answer.status_code == 401
    assert answer.json()["@type"] == "ContractNegotiationError"


def test_a_process_of_somebody_else_does_not_exist(pair: Pair, provider_pid: str) -> None:
    path = f"{BASE}/negotiations/{provider_pid}"
    ending = follow_up("ContractNegotiationTerminationMessage", provider_pid)
    seen = [
        pair.provider.call("GET", path, by="did:web:stranger"),
        pair.provider.call("POST", f"{path}/termination", ending, by="did:web:stranger"),
        pair.provider.call("GET", f"{BASE}/negotiations/urn:uuid:nobody", by=CONSUMER),
        pair.provider.call("GET", f"{BASE}/transfers/{provider_pid}", by=CONSUMER),
    ]
    assert [answer.status_code for answer in seen] == [404] * 4
    assert {answer.json()["reason"][0] for answer in seen} == {"there is no such process"}
    assert state(pair, provider_pid) == "REQUESTED"


def test_an_illegal_message_is_a_400_in_the_protocols_words(pair: Pair, provider_pid: str) -> None:
    message = follow_up("ContractAgreementVerificationMessage", provider_pid)
    path = f"{BASE}/negotiations/{provider_pid}/agreement/verification"
    answer = pair.provider.call("POST", path, message, by=CONSUMER)
    assert answer.status_code == 400
    assert answer.json() == {
        "@context": [CONTEXT],
        "@type": "ContractNegotiationError",
        "providerPid": provider_pid,
        "consumerPid": "urn:uuid:c1",
        "code": "connector.transition-illegal",
        "reason": ["the consumer cannot send 'verification' while the negotiation is REQUESTED"],
    }
    assert state(pair, provider_pid) == "REQUESTED"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"providerPid": "urn:uuid:other"}, "connector.pid-mismatch"),
        ({"consumerPid": "urn:uuid:other"}, "connector.pid-mismatch"),
        ({"consumerPid": None}, "connector.message-malformed"),
        ({"@type": "TransferTerminationMessage"}, "connector.message-malformed"),
    ],
)
def test_a_message_must_name_its_process(pair: Pair, provider_pid: str, changes: dict[str, Json], code: str) -> None:
    message = follow_up("ContractNegotiationTerminationMessage", provider_pid, **changes)
    answer = pair.provider.call("POST", f"{BASE}/negotiations/{provider_pid}/termination", message, by=CONSUMER)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert state(pair, provider_pid) == "REQUESTED"


@pytest.mark.parametrize("message_id", ["urn:uuid:m2", None])
def test_a_repeated_message_is_answered_alike_and_changes_nothing(
    pair: Pair, provider_pid: str, message_id: str | None
) -> None:
    message = follow_up("ContractNegotiationTerminationMessage", provider_pid, **{"@id": message_id})
    path = f"{BASE}/negotiations/{provider_pid}/termination"
    assert [pair.provider.call("POST", path, message, by=CONSUMER).status_code for _ in range(3)] == [200] * 3
    assert pair.provider.script.states(provider_pid) == ["REQUESTED", "TERMINATED"]
    another = {**message, "@id": "urn:uuid:m3"}
    assert pair.provider.call("POST", path, another, by=CONSUMER).status_code == 400


def test_a_message_id_is_good_for_one_process(pair: Pair, provider_pid: str) -> None:
    second = pair.provider.call(
        "POST", f"{BASE}/negotiations/request", request(consumerPid="urn:uuid:c2"), by=CONSUMER
    ).json()["providerPid"]
    ending = follow_up("ContractNegotiationTerminationMessage", provider_pid)
    assert pair.provider.call("POST", f"{BASE}/negotiations/{provider_pid}/termination", ending, by=CONSUMER).is_success
    reused = {**ending, "providerPid": second, "consumerPid": "urn:uuid:c2"}
    answer = pair.provider.call("POST", f"{BASE}/negotiations/{second}/termination", reused, by=CONSUMER)
    assert answer.status_code == 400
    assert state(pair, second) == "REQUESTED"


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("catalog/request", "CatalogError"),
        ("negotiations/request", "ContractNegotiationError"),
        ("transfers/request", "TransferError"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"no json", b'{"a":1,"a":2}', b"[]", b'{"@type":"X"}'])
def test_what_cannot_be_read_is_a_400(pair: Pair, path: str, type_: str, content: bytes) -> None:
    import httpx

    from tests.asgi import ASGITransport

    with httpx.Client(transport=ASGITransport(pair.provider.app), base_url=pair.provider.url) as client:
        answer = client.post(f"{BASE}/{path}", content=content, headers={"Authorization": CONSUMER})
    assert (answer.status_code, answer.json()["@type"]) == (400, type_)


@pytest.mark.parametrize(
    "address",
    ["ftp://consumer.test", "http://user:secret@consumer.test", "http://consumer.test/?q=1", "nowhere", "http://"],
)
def test_a_callback_address_we_would_not_call_is_refused(pair: Pair, address: str) -> None:
    answer = pair.provider.call("POST", f"{BASE}/negotiations/request", request(callbackAddress=address), by=CONSUMER)
    assert (answer.status_code, answer.json()["code"]) == (400, "connector.callback-refused")
    assert "secret" not in answer.text


def test_a_request_without_a_callback_address_is_refused(pair: Pair) -> None:
    answer = pair.provider.call("POST", f"{BASE}/negotiations/request", request(callbackAddress=None), by=CONSUMER)
    assert answer.status_code == 400


def dataset(number: int) -> dict[str, object]:
    policy = {"@id": "o", "@type": "Offer", "permission": [{"action": "use"}]}
    distribution = [{"@type": "Distribution", "format": "HexiSandbox-SQL"}]
    return {"@id": f"d{number}", "@type": "Dataset", "hasPolicy": [policy], "distribution": distribution}


def test_the_catalogue(pair: Pair) -> None:
    asking = {"@context": CONTEXT, "@type": "CatalogRequestMessage"}
    empty = pair.provider.call("POST", f"{BASE}/catalog/request", asking, by=CONSUMER).json()
    assert "dataset" not in empty
    assert empty["participantId"] == "did:web:provider"
    pair.provider.script.datasets = [dataset(1)]
    full = pair.provider.call("POST", f"{BASE}/catalog/request", asking, by=CONSUMER).json()
    assert full["dataset"][0]["distribution"][0]["accessService"] == full["service"][0]["@id"]
    assert full["service"][0]["endpointURL"] == f"http://provider.test{BASE}"
    one = pair.provider.call("GET", f"{BASE}/catalog/datasets/d1", by=CONSUMER).json()
    assert (one["@id"], one["@type"], one["@context"]) == ("d1", "Dataset", [CONTEXT])
    none = pair.provider.call("GET", f"{BASE}/catalog/datasets/d9", by=CONSUMER)
    assert (none.status_code, none.json()["@type"]) == (404, "CatalogError")
    assert set(none.json()) == {"@context", "@type", "code", "reason"}


def test_a_page_names_its_neighbours_and_is_not_sent_twice(pair: Pair) -> None:
    script = pair.provider.script
    script.datasets = [dataset(number) for number in range(3)]
    script.revision = "r1"
    asking = {"@context": CONTEXT, "@type": "CatalogRequestMessage", "filter": [{"limit": 1, "offset": 1}]}

    second = pair.provider.call("POST", f"{BASE}/catalog/request", asking, by=CONSUMER)

    assert [one["@id"] for one in second.json()["dataset"]] == ["d1"]
    assert set(second.links) == {"next", "previous"}
    onward = second.links["next"]["url"].removeprefix("http://provider.test")
    plain = {"@context": CONTEXT, "@type": "CatalogRequestMessage"}
    for third in (
        pair.provider.call("POST", onward, plain, by=CONSUMER),
        pair.provider.call("GET", onward, by=CONSUMER),
    ):
        assert [one["@id"] for one in third.json()["dataset"]] == ["d2"]
        assert set(third.links) == {"previous"}
    known = {"If-None-Match": third.headers["etag"]}
    assert pair.provider.call("GET", onward, by=CONSUMER, headers=known).status_code == 304
    script.revision = "r2"
    assert pair.provider.call("GET", onward, by=CONSUMER, headers=known).status_code == 200


def test_a_first_page_links_to_where_its_etag_speaks_of_the_whole_catalogue(pair: Pair) -> None:
    script = pair.provider.script
    script.datasets = [dataset(number) for number in range(3)]
    asking = {"@context": CONTEXT, "@type": "CatalogRequestMessage", "filter": [{"limit": 2}]}
    uncounted = pair.provider.call("POST", f"{BASE}/catalog/request", asking, by=CONSUMER)
    assert set(uncounted.links) == {"next"}
    script.revision = "r1"

    first = pair.provider.call("POST", f"{BASE}/catalog/request", asking, by=CONSUMER)

    again = first.links["urn:hexi:catalogue-revision"]["url"].removeprefix("http://provider.test")
    fetched = pair.provider.call("GET", again, by=CONSUMER)
    assert (fetched.json(), fetched.headers["etag"]) == (first.json(), first.headers["etag"])
    known = {"If-None-Match": first.headers["etag"]}
    assert pair.provider.call("GET", again, by=CONSUMER, headers=known).status_code == 304
    script.revision = "r2"
    assert pair.provider.call("GET", again, by=CONSUMER, headers=known).status_code == 200


@pytest.mark.parametrize("filter_", [{"colour": "red"}, [{"limit": 0}], "SELECT"])
def test_what_the_catalogue_cannot_be_asked_is_a_catalog_error(pair: Pair, filter_: object) -> None:
    asking = {"@context": CONTEXT, "@type": "CatalogRequestMessage", "filter": filter_}

    refused = pair.provider.call("POST", f"{BASE}/catalog/request", asking, by=CONSUMER)

    assert (refused.status_code, refused.json()["@type"]) == (400, "CatalogError")
    assert refused.json()["code"] == "connector.filter-unsupported"


def test_a_link_that_no_server_wrote_is_a_catalog_error(pair: Pair) -> None:
    for token in ("x", "x" * 20_001):
        refused = pair.provider.call("GET", f"{BASE}/catalog/request?continuationToken={token}", by=CONSUMER)
        assert (refused.status_code, refused.json()["@type"]) == (400, "CatalogError"), refused.text


def test_every_route_but_the_version_document_asks_who_calls(pair: Pair) -> None:
    paths = pair.provider.app.openapi()["paths"]
    routes = [(method, path) for path, methods in paths.items() if path.startswith(BASE) for method in methods]
    assert len(routes) == 18
    for method, path in routes:
        answer = pair.provider.call(method.upper(), re.sub(r"\{\w+\}", "x", path), {})
        assert answer.status_code == 401, (method, path)


def test_a_refused_message_is_refused_again(pair: Pair, provider_pid: str) -> None:
    message = follow_up("ContractAgreementVerificationMessage", provider_pid)
    path = f"{BASE}/negotiations/{provider_pid}/agreement/verification"
    assert [pair.provider.call("POST", path, message, by=CONSUMER).status_code for _ in range(3)] == [400] * 3


# The second is sent as an escape; as it stands no UTF-8 can write it.
NUL, HALF_A_PAIR = "urn:x:\x00", "urn:x:half-a-pair"


@pytest.mark.parametrize(
    "changes",
    [
        {"consumerPid": NUL},
        {"consumerPid": HALF_A_PAIR},
        {"@id": NUL},
        {"offer": offer(NUL)},
        {"offer": offer("x" * 3_000)},
        {"offer": {**offer(), "@id": "x" * 3_000}},
        {"callbackAddress": "http://consumer.test/\r\nHost: other"},
        {"urn:hexi:purpose": HALF_A_PAIR},
    ],
    ids=["nul", "surrogate", "nul-message", "nul-target", "long-target", "long-offer", "lines", "surrogate-extension"],
)
def test_what_no_database_can_hold_is_a_400(pair_on_both: Pair, changes: dict[str, Json]) -> None:
    content = encode(request(**changes)).replace(b"half-a-pair", b"\\ud800")
    with httpx.Client(transport=ASGITransport(pair_on_both.provider.app), base_url="http://provider.test") as client:
        answer = client.post(f"{BASE}/negotiations/request", content=content, headers={"Authorization": CONSUMER})
    assert (answer.status_code, answer.json()["@type"]) == (400, "ContractNegotiationError")
    assert pair_on_both.provider.processes() == []


@pytest.mark.parametrize("agreement", [NUL, "x" * 3_000])
@pytest.mark.parametrize("member", ["agreementId", "format"])
def test_the_same_of_a_transfer(pair_on_both: Pair, member: str, agreement: str) -> None:
    asked = {"agreementId": "urn:x:1", "format": "HttpData-PULL", member: agreement}
    body = {**request(), "@type": "TransferRequestMessage", **asked}
    answer = pair_on_both.provider.call("POST", f"{BASE}/transfers/request", body, by=CONSUMER)
    assert (answer.status_code, answer.json()["@type"]) == (400, "TransferError")


@pytest.mark.parametrize("identifier", [NUL, "x" * 3_000])
def test_an_agreement_with_such_an_identifier_is_a_400(pair_on_both: Pair, identifier: str) -> None:
    pid = pair_on_both.consumer.negotiate(pair_on_both.provider)
    agreed = {"@id": identifier, "@type": "Agreement", "target": "t", "assigner": "a", "assignee": "b"}
    body = {
        "@context": [CONTEXT],
        "@type": "ContractAgreementMessage",
        "providerPid": "urn:uuid:p1",
        "consumerPid": pid,
        "agreement": agreed | {"permission": [{"action": "use"}]},
    }
    path = f"{BASE}/negotiations/{pid}/agreement"
    assert pair_on_both.consumer.call("POST", path, body, by="did:web:provider").status_code == 400


def test_an_address_with_a_nul_in_it_is_no_server_error(pair_on_both: Pair) -> None:
    answer = pair_on_both.provider.call("GET", f"{BASE}/negotiations/%00", by=CONSUMER)
    assert answer.status_code in {400, 404}
