"""From one connector to another, fetched and pushed: whole, once, resumed, and refused where it has to be."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector.deliveries import store
from connector.planes import Refused
from connector.planes.http_push import read_destination
from connector.protocol.transfer import Start, Suspend
from connector.usage import store as usage_store
from hexi.canonical import instant
from hexi.errors import RemoteProblem
from tests.connector.planes.delivery import CONTENT, Offered
from tests.simulator import HOSPITAL, PLANNER, Dataspace

PULL, PUSH = "HttpData-PULL", "HttpData-PUSH"


@pytest.fixture
def offered(dataspace: Dataspace, tmp_path: Path) -> Offered:
    path = tmp_path / "visits.csv"
    path.write_bytes(CONTENT)
    return Offered(dataspace, path)


class Meddling(httpx.BaseTransport):
    """The network, with `meddle(request, answer)` between; whoever uses it was given it in place of the network."""

    def __init__(self, network: httpx.BaseTransport, meddle: Callable[[httpx.Request, httpx.Response], Any]) -> None:
        self.network, self.meddle, self.requests = network, meddle, list[httpx.Request]()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self.network.handle_request(request)
        return self.meddle(request, answer) or answer


def meddle(offered: Offered, member: Any, change: Callable[[httpx.Request, httpx.Response], Any]) -> Meddling:
    deliveries = member.app.state.deliveries
    transport = Meddling(offered.space.network, change)
    client = httpx.Client(transport=transport)
    object.__setattr__(deliveries.downloads, "client", client)
    object.__setattr__(deliveries.pushes, "client", client)
    return transport


def cut(times: int, at: int) -> Callable[[httpx.Request, httpx.Response], Any]:
    """Let the first `times` answers with data break off after `at` bytes."""
    left = [times]

    def change(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        if request.method != "GET" or answer.status_code not in {200, 206}:
            return None
        content, cut_here = answer.read(), left[0] > 0
        left[0] -= 1
        stream = httpx.ByteStream(content[:at] if cut_here else content)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=stream)

    return change


@pytest.mark.parametrize("format_", [PULL, PUSH])
def test_a_file_arrives_whole_and_both_ends_complete(offered: Offered, tmp_path: Path, format_: str) -> None:
    target = tmp_path / "arrived.csv"
    transfer = offered.ask(format_, to=str(target))
    offered.work()
    assert target.read_bytes() == CONTENT
    assert offered.states(transfer) == ("COMPLETED", "COMPLETED")
    seen = offered.space.consumer.client.delivery(transfer)
    assert (seen.state, seen.bytes, seen.size) == ("DONE", len(CONTENT), len(CONTENT))
    assert seen.digest == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    with offered.space.provider.app.state.engine.database.reading() as session:
        grant = usage_store.grant(session, next(offered.space.provider.client.transfers()).id)
    assert grant is not None
    assert (grant.count, grant.volume, str(grant.state)) == (1, len(CONTENT), "ENDED")
    assert [path.name for path in tmp_path.glob("arrived*")] == ["arrived.csv"]


def test_a_delivery_without_a_place_lies_below_the_home(offered: Offered) -> None:
    transfer = offered.ask(PULL)
    client = offered.space.consumer.client
    assert client.fetch(transfer) == client.fetch(transfer)
    offered.work()
    path = Path(client.delivery(transfer).path)
    assert path.read_bytes() == CONTENT
    assert path.parts[-3:] == ("received", transfer.removeprefix("urn:uuid:"), "data.csv")
    assert [d.transfer for d in client.deliveries()] == [transfer]


def test_an_interrupted_download_is_resumed_where_it_was(offered: Offered, tmp_path: Path) -> None:
    network = meddle(offered, offered.space.consumer, cut(2, 1000))
    transfer = offered.ask(PULL, to=str(tmp_path / "arrived"))
    offered.work()
    ranges = [request.headers.get("Range") for request in network.requests if request.method == "GET"]
    assert ranges == [None, "bytes=1000-", "bytes=2000-"]
    assert (tmp_path / "arrived").read_bytes() == CONTENT
    assert offered.states(transfer) == ("COMPLETED", "COMPLETED")


def test_changed_content_is_fetched_anew_and_never_mixed(offered: Offered, tmp_path: Path) -> None:
    broken = cut(1, 1000)

    def change(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        changed = broken(request, answer)
        offered.file.write_bytes(b"x" * 5000)
        return changed

    meddle(offered, offered.space.consumer, change)
    offered.ask(PULL, to=str(tmp_path / "arrived"))
    offered.work()
    assert (tmp_path / "arrived").read_bytes() == b"x" * 5000


def test_bytes_changed_on_the_way_never_get_the_final_name(offered: Offered, tmp_path: Path) -> None:
    def change(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        content = answer.read()
        if request.method != "GET":
            return None
        return httpx.Response(200, headers=answer.headers, stream=httpx.ByteStream(b"\xff" + content[1:]))

    meddle(offered, offered.space.consumer, change)
    transfer = offered.ask(PULL, to=str(tmp_path / "arrived"))
    offered.work()
    seen = offered.space.consumer.client.delivery(transfer)
    assert (seen.state, "was announced" in str(seen.error)) == ("FAILED", True)
    assert not (tmp_path / "arrived").exists()
    assert (tmp_path / "arrived.mismatch").stat().st_size == len(CONTENT)
    assert offered.states(transfer) == ("STARTED", "STARTED")
    meddle(offered, offered.space.consumer, lambda request, answer: None)
    offered.space.consumer.client.fetch(transfer)
    offered.work()
    assert (tmp_path / "arrived").read_bytes() == CONTENT


def test_an_expired_token_is_renewed_by_the_way(offered: Offered, tmp_path: Path) -> None:
    transfer = offered.ask(PULL)
    offered.space.clock.advance(minutes=20)
    offered.space.consumer.client.fetch(transfer, str(tmp_path / "arrived"))
    offered.work()
    assert (tmp_path / "arrived").read_bytes() == CONTENT
    assert offered.states(transfer) == ("COMPLETED", "COMPLETED")


def at_provider(offered: Offered, action: Any) -> None:
    engine = offered.space.provider.app.state.engine
    with engine.database.transaction() as session:
        engine.act_transfer(session, next(offered.space.provider.client.transfers()).id, action)
    offered.space.settle()


@pytest.mark.parametrize("format_", [PULL, PUSH])
def test_a_suspension_holds_the_delivery_and_a_resumption_goes_on(
    offered: Offered, tmp_path: Path, format_: str
) -> None:
    transfer = offered.ask(format_, to=str(tmp_path / "arrived"))
    at_provider(offered, Suspend("pause", ["a pause"]))
    offered.work()
    assert offered.states(transfer) == ("SUSPENDED", "SUSPENDED")
    assert offered.space.consumer.client.delivery(transfer).state == "WAITING"
    at_provider(offered, Start())
    offered.work()
    assert (tmp_path / "arrived").read_bytes() == CONTENT
    assert offered.states(transfer) == ("COMPLETED", "COMPLETED")


@pytest.mark.parametrize("format_", [PULL, PUSH])
def test_a_stop_ends_it_before_anything_leaves(offered: Offered, tmp_path: Path, format_: str) -> None:
    transfer = offered.ask(format_, to=str(tmp_path / "arrived"))
    offered.space.provider.client.end_transfer(next(offered.space.provider.client.transfers()).id, "enough")
    offered.space.settle()
    offered.work()
    assert offered.states(transfer) == ("TERMINATED", "TERMINATED")
    seen = offered.space.consumer.client.delivery(transfer)
    assert (seen.transfer_state, seen.bytes, "enough" in seen.reason) == ("TERMINATED", 0, True)


def test_a_push_is_resumed_where_the_destination_stands(offered: Offered, tmp_path: Path) -> None:
    """The first part arrives only half: the pusher goes away in its midst."""
    left = [1]

    def change(request: httpx.Request, answer: httpx.Response) -> None:
        return None

    network = meddle(offered, offered.space.provider, change)
    whole = network.handle_request

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH" and left[0]:
            left[0] = 0
            half = httpx.Request("PATCH", request.url, headers=request.headers, content=request.read()[:4000])
            whole(half)
            raise httpx.ReadError("gone", request=request)
        return whole(request)

    object.__setattr__(network, "handle_request", handle)
    transfer = offered.ask(PUSH, to=str(tmp_path / "arrived"))
    offered.work()
    offsets = [r.headers["Upload-Offset"] for r in network.requests if r.method == "PATCH"]
    assert offsets == ["0", "4000"]
    assert (tmp_path / "arrived").read_bytes() == CONTENT
    assert offered.states(transfer) == ("COMPLETED", "COMPLETED")


@pytest.mark.parametrize("format_", [PULL, PUSH])
def test_one_participant_does_not_take_all_the_threads(offered: Offered, tmp_path: Path, format_: str) -> None:
    transfers = [offered.ask(format_, to=str(tmp_path / f"arrived-{n}")) for n in range(3)]
    member = offered.space.consumer if format_ == PULL else offered.space.provider
    lease: Any = store.lease_download if format_ == PULL else store.lease_push
    save: Any = store.save_arrival if format_ == PULL else store.save_push
    now, later = (instant(offered.space.clock() + timedelta(minutes=n)) for n in (0, 10))
    with member.app.state.database.transaction() as session:
        first, second, third = (lease(session, now, later, "holder", 2) for _ in transfers)
        assert (first is not None, second is not None, third) == (True, True, None)
        save(session, replace(first, state=store.JobState.DONE, due=later, holder=None))
        assert lease(session, now, later, "holder", 2) is not None


def test_any_endpoint_gets_one_post_with_what_it_wants_to_see(offered: Offered) -> None:
    got: list[httpx.Request] = []

    class Sink:
        def __call__(self, request: httpx.Request) -> httpx.Response:
            got.append(request)
            return httpx.Response(200)

    meddle(offered, offered.space.provider, lambda request, answer: None)
    client = httpx.Client(transport=httpx.MockTransport(Sink()))
    object.__setattr__(offered.space.provider.app.state.deliveries.pushes, "client", client)
    edc = "https://w3id.org/edc/v0.0.1/ns/"
    pairs = {"type": "HttpData", "baseUrl": "http://127.0.0.1:9/sink", "authKey": "X-Api-Key", "authCode": "secret"}
    told = [{"@type": "EndpointProperty", "name": edc + name, "value": value} for name, value in pairs.items()]
    address = {"@type": "DataAddress", "endpointType": "HttpData", "endpointProperties": told}
    transfer = offered.ask(PUSH, destination=address)
    offered.work()
    assert [(r.method, str(r.url), r.headers["X-Api-Key"], r.read()) for r in got] == [
        ("POST", "http://127.0.0.1:9/sink", "secret", CONTENT)
    ]
    assert offered.states(transfer) == ("COMPLETED", "COMPLETED")
    assert "secret" not in str(list(offered.space.provider.client.transfers()))


def test_a_refusal_by_the_destination_ends_the_transfer_with_its_reason(offered: Offered) -> None:
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(403, json={"detail": "not here"})))
    object.__setattr__(offered.space.provider.app.state.deliveries.pushes, "client", client)
    transfer = offered.ask(PUSH, destination={"baseUrl": "http://127.0.0.1:9/sink"})
    offered.work()
    assert offered.states(transfer) == ("TERMINATED", "TERMINATED")
    reason = offered.space.consumer.client.transfer_status(transfer).reason
    assert list(reason) == ["connector.push-refused", "the destination answered 403: not here"]


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"baseUrl": "http://192.168.0.1/admin"},
        {"baseUrl": "https://127.0.0.1/admin"},
        {"baseUrl": "https://[::1]/admin"},
        {"baseUrl": "https://169.254.169.254/latest/meta-data"},
        {"baseUrl": "file:///etc/passwd"},
        {"baseUrl": "https://user:pass@sink.example/"},
        {"baseUrl": "https://sink.example/", "method": "DELETE"},
        {"baseUrl": "https://sink.example/", "authKey": "Host", "authCode": "inside.example"},
        {"baseUrl": "https://sink.example/", "authKey": "Content-Length", "authCode": "0"},
        {"baseUrl": "https://sink.example/", "authKey": "X-A: b\r\nX-C", "authCode": "d"},
        {"baseUrl": "https://sink.example/", "authKey": "X-A", "authCode": "b\r\nHost: inside"},
    ],
)
def test_a_destination_that_misleads_us_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        read_destination(told, unsafe_allow_loopback=False)


def test_a_bad_destination_ends_the_transfer_at_once(offered: Offered) -> None:
    transfer = offered.ask(PUSH, destination={"baseUrl": "ftp://elsewhere/"})
    assert offered.states(transfer) == ("TERMINATED", "TERMINATED")
    assert offered.space.consumer.client.transfer_status(transfer).reason[0] == "connector.destination-refused"


@pytest.mark.parametrize(
    "address",
    [
        {"@type": "DataAddress", "endpointType": "HttpData", "endpoint": 9},
        {
            "@type": "DataAddress",
            "endpointType": "HttpData",
            "endpointProperties": {"baseUrl": "https://sink.example/"},
        },
        {"@type": "DataAddress", "endpointType": "HttpData", "endpointProperties": [{"name": "n", "value": "v"}]},
    ],
)
def test_a_data_address_that_the_schemas_would_refuse_is_not_sent(offered: Offered, address: dict[str, Any]) -> None:
    with pytest.raises(RemoteProblem) as refused:
        offered.ask(PUSH, destination=address)
    assert refused.value.code == "connector.message-malformed"
    assert list(offered.space.consumer.client.transfers()) == []


class Sent:
    """A push that is expected, and whoever knows its token."""

    def __init__(self, offered: Offered) -> None:
        self.offered = offered
        self.transfer = offered.ask(PUSH)
        engine = offered.space.provider.app.state.engine
        with engine.database.reading() as session:
            push = store.push(session, next(offered.space.provider.client.transfers()).id)
        assert push is not None
        self.token = push.destination["authCode"]
        self.http = httpx.Client(transport=offered.space.network, base_url=f"http://{PLANNER}")

    def send(self, method: str, content: bytes = b"", **headers: str) -> httpx.Response:
        shown = {"Authorization": self.token} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(method, "/deliveries", content=content, headers=shown)


def test_what_is_pushed_here_must_fit(offered: Offered) -> None:
    sent = Sent(offered)
    assert sent.send("POST", b"x", Authorization="Bearer guess").json()["code"] == "connector.delivery-token-invalid"
    assert sent.send("PATCH", b"x").json()["code"] == "hexi.malformed"
    assert sent.send("PATCH", b"x", Upload_Offset="-1").json()["code"] == "hexi.malformed"
    beyond = sent.send("PATCH", b"x", Upload_Offset="9", Upload_Length="10")
    assert (beyond.json()["code"], beyond.json()["offset"]) == ("connector.offset-conflict", 0)
    large = sent.send("PATCH", b"x", Upload_Offset="0", Upload_Length=str(2**50))
    assert (large.status_code, large.json()["code"]) == (413, "connector.delivery-too-large")
    short = sent.send("PATCH", b"abc", Upload_Offset="0", Upload_Length="6")
    assert short.json()["code"] == "connector.upload-stalled"
    assert sent.send("HEAD").headers["Upload-Offset"] == "3"
    assert sent.send("PATCH", b"def", Upload_Offset="3", Upload_Length="6").status_code == 204
    assert (sent.send("HEAD").headers["Upload-Complete"], sent.send("HEAD").headers["Upload-Offset"]) == ("?1", "6")
    for other in (b"again!", b"abcdefg", b"abc"):
        assert sent.send("POST", other).json()["code"] == "connector.delivery-closed"
    assert sent.send("PATCH", b"f", Upload_Offset="5", Upload_Length="6").json()["code"] == "connector.delivery-closed"
    assert sent.send("POST", b"abcdef").status_code == 204, "the first answer may have been lost"
    seen = offered.space.consumer.client.delivery(sent.transfer)
    assert Path(seen.path).read_bytes() == b"abcdef"


def test_a_plain_post_of_unknown_length_is_taken_and_a_wrong_digest_is_not(offered: Offered) -> None:
    sent = Sent(offered)
    digest = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
    assert sent.send("POST", b"abc", Repr_Digest=digest).json()["code"] == "connector.digest-mismatch"
    assert offered.space.consumer.client.delivery(sent.transfer).state == "FAILED"
    assert sent.http.post("/deliveries", content=iter([b"ab", b"c"]), headers={"Authorization": sent.token}).is_success
    assert Path(offered.space.consumer.client.delivery(sent.transfer).path).read_bytes() == b"abc"


def test_nothing_is_taken_once_the_transfer_is_over(offered: Offered) -> None:
    sent = Sent(offered)
    offered.space.consumer.client.end_transfer(sent.transfer, "no longer wanted")
    offered.space.settle()
    assert sent.send("POST", b"abc").json()["code"] == "connector.delivery-closed"


def test_a_place_that_is_taken_is_said_so_beforehand(offered: Offered, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    for place in (str(tmp_path / "taken"), "relative", str(tmp_path / "no" / "folder")):
        with pytest.raises(RemoteProblem) as refused:
            offered.space.consumer.client.transfer(offered.agreement, PULL, to=place)
        assert refused.value.code == "connector.place-taken"
    assert list(offered.space.consumer.client.transfers()) == []


def test_a_data_address_cannot_send_us_anywhere(offered: Offered, tmp_path: Path) -> None:
    tokens = offered.space.consumer.app.state.deliveries.tokens
    object.__setattr__(tokens, "unsafe_allow_loopback", False)
    transfer = offered.ask(PULL, to=str(tmp_path / "arrived"))
    offered.work()
    seen = offered.space.consumer.client.delivery(transfer)
    assert (seen.state, "none to call" in str(seen.error), HOSPITAL in str(seen.error)) == ("FAILED", True, False)


@pytest.mark.parametrize("format_", [PULL, PUSH])
def test_programs_are_told_once_that_a_delivery_is_done(offered: Offered, tmp_path: Path, format_: str) -> None:
    consumer, provider = offered.space.consumer.client, offered.space.provider.client
    hooks = [end.subscribe("http://127.0.0.1:9300/events", ["hexi.delivery.*"]) for end in (consumer, provider)]
    transfer = offered.ask(format_, to=str(tmp_path / "arrived.csv"))
    offered.work()
    offered.work()
    (told,) = consumer.event_deliveries(hooks[0].id)
    seen = consumer.delivery(transfer)
    assert (told.event["type"], told.event["subject"]) == ("hexi.delivery.done", transfer)
    assert told.event["data"] == {
        "transfer": transfer,
        "way": seen.way,
        "incoming": True,
        "state": "DONE",
        "size": len(CONTENT),
        "digest": seen.digest,
        "path": seen.path,
        "error": None,
    }
    pushed = [(one.event["type"], one.event["data"]["incoming"]) for one in provider.event_deliveries(hooks[1].id)]
    assert pushed == ([] if format_ == PULL else [("hexi.delivery.done", False)])


def test_programs_are_told_why_a_delivery_failed(offered: Offered, tmp_path: Path) -> None:
    def refuse(request: httpx.Request, _: httpx.Response) -> httpx.Response | None:
        return httpx.Response(403, json={"detail": "not you"}) if request.method == "GET" else None

    meddle(offered, offered.space.consumer, refuse)
    client = offered.space.consumer.client
    hook = client.subscribe("http://127.0.0.1:9300/events", ["hexi.delivery.failed"])
    transfer = offered.ask(PULL, to=str(tmp_path / "arrived.csv"))
    offered.work()
    (told,) = client.event_deliveries(hook.id)
    assert (told.event["data"]["error"], told.event["data"]["path"]) == (client.delivery(transfer).error, None)
    assert "not you" in told.event["data"]["error"]
