"""The command groups at work: against connectors in memory, as people and scripts type them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from connector import client
from connector.cli import app
from connector.client import ConnectorClient
from hexi.canonical import encode, parse
from hexi.cli import DONE, REFUSED
from hexi.errors import Malformed, RemoteProblem
from tests.connector.business import USE
from tests.connector.planes.delivery import CONTENT, Offered
from tests.connector.planes.test_http_pull import Pull
from tests.simulator import Dataspace

Hexi = Callable[..., Result]


@pytest.fixture
def hexi(dataspace: Dataspace, monkeypatch: pytest.MonkeyPatch) -> Hexi:
    """Runs ``hexi connector ...``, as the member named last. While a command waits, messages are delivered."""
    for name, port in (("hospital", 8081), ("planner", 8082)):
        (dataspace.home / name / "connector.json").write_bytes(encode({"port": port}))
    monkeypatch.setattr(client, "ConnectorClient", partial(ConnectorClient, transport=dataspace.network))
    monkeypatch.setattr(client.time, "sleep", lambda _: dataspace.settle())

    def call(*words: str, home: str = "planner", code: int = DONE) -> Result:
        with capture_logs():  # the services', which stand in this process
            result = CliRunner().invoke(app, [*words, "--home", str(dataspace.home / name_of(home))])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return call


def name_of(home: str) -> str:
    return {"provider": "hospital"}.get(home, home)


def told(result: Result) -> Any:
    return parse(result.stdout)


def test_the_road_from_product_to_history(dataspace: Dataspace, hexi: Hexi) -> None:
    product = dataspace.publish().identifier
    assert product in hexi("product", "list", home="provider").stdout
    assert told(hexi("product", "show", product, "--json", home="provider"))["identifier"] == product

    negotiated = told(hexi("negotiate", "request", product, "--id", "one", "--json"))
    assert negotiated["state"] == "FINALIZED"
    assert told(hexi("negotiate", "request", product, "--id", "one", "--json"))["id"] == negotiated["id"]
    (agreement,) = told(hexi("agreement", "list", "--json"))
    assert told(hexi("agreement", "list", "--product", agreement["product"], "--json")) == [agreement]
    assert told(hexi("agreement", "list", "--state", "ENDED", "--json")) == []
    assert told(hexi("agreement", "show", agreement["id"], "--json"))["receipt"]

    transfer = told(hexi("transfer", "request", agreement["id"], "--json"))
    assert transfer["state"] == "STARTED"
    shown = hexi("transfer", "show", transfer["id"]).stdout
    assert "STARTED" in shown
    assert "peerId" not in shown
    assert [found["id"] for found in told(hexi("transfer", "list", "--state", "STARTED", "--json"))] == [transfer["id"]]
    lines = hexi("transfer", "history", transfer["id"]).stdout.splitlines()
    assert [line.split()[1:4] for line in lines[1:]] == [
        ["->", "TransferRequestMessage", "REQUESTED"],
        ["<-", "TransferStartMessage", "STARTED"],
    ]
    steps = told(hexi("negotiate", "history", negotiated["id"], "--json"))["items"]
    assert [step["state"] for step in steps] == ["REQUESTED", "AGREED", "VERIFIED", "FINALIZED"]


def test_a_refusal_has_its_reason_and_an_exit_code(dataspace: Dataspace, hexi: Hexi) -> None:
    agreement = str(dataspace.agree(dataspace.publish().identifier).agreement)
    refused = hexi("transfer", "request", agreement, "HttpData-PULL", code=REFUSED)
    assert "connector.format-unknown" in refused.stdout
    with pytest.raises(RemoteProblem) as unknown:
        hexi("transfer", "suspend", "urn:uuid:nobody")
    assert unknown.value.status == 404


def test_a_transfer_is_steered_and_followed(dataspace: Dataspace, hexi: Hexi, tmp_path: Path) -> None:
    path = tmp_path / "visits.bin"
    path.write_bytes(b"visits")
    pull = Pull(dataspace, {"type": "file", "path": str(path)})
    suspended = hexi("transfer", "suspend", pull.at_provider(), "--reason", "maintenance", home="provider").stdout
    assert "SUSPENDED" in suspended
    assert "maintenance" in suspended
    assert told(hexi("transfer", "resume", pull.at_provider(), "--json", home="provider"))["state"] == "STARTED"
    asked = hexi("transfer", "complete", pull.transfer, "--no-wait").stdout
    assert "STARTED" in asked  # so far
    followed = hexi("transfer", "show", pull.transfer, "--follow", "--json")
    assert told(followed)["state"] == "COMPLETED"
    assert followed.stderr.splitlines() == [f"{pull.transfer} STARTED", f"{pull.transfer} COMPLETED"]
    again = pull.start()
    assert "TERMINATED" in hexi("transfer", "terminate", again, "--reason", "enough").stdout


def test_a_source_is_named_and_pushed_to_where_the_consumer_says(
    dataspace: Dataspace, hexi: Hexi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "visits.csv").write_bytes(CONTENT)
    (tmp_path / "source.json").write_bytes(encode({"type": "file", "path": str(tmp_path / "visits.csv")}))
    with pytest.raises(Malformed, match="--source"):
        hexi("resource", "add", "delivered", home="provider")
    source = ("--source", str(tmp_path / "source.json"))
    assert told(hexi("resource", "add", "delivered", *source, "--json", home="provider"))["source"]["type"] == "file"
    offered = Offered(dataspace, tmp_path / "visits.csv")

    taken: list[bytes] = []

    async def sink(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", scope["method"] == "POST"
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        taken.append(body)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    dataspace.network.join("127.0.0.1:9310", sink)
    taken.clear()
    place = {"type": "HttpData", "baseUrl": "http://127.0.0.1:9310/in", "authKey": "X-Key", "authCode": "a-secret"}
    (tmp_path / "place.json").write_bytes(encode(place))
    monkeypatch.setattr(client.time, "sleep", lambda _: offered.work())
    to = ("HttpData-PUSH", "--destination", str(tmp_path / "place.json"))
    with pytest.raises(RemoteProblem, match="gets a place here"):
        hexi("transfer", "request", str(offered.agreement), *to, "--to", str(tmp_path / "here.csv"))
    pushed = hexi("transfer", "request", str(offered.agreement), *to, "--follow", "--json")
    assert told(pushed)["state"] == "COMPLETED"
    assert taken == [CONTENT]
    assert "a-secret" not in pushed.stdout + hexi("transfer", "list", "--json").stdout


def test_data_are_fetched_followed_and_found(
    dataspace: Dataspace, hexi: Hexi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = tmp_path / "visits.csv", tmp_path / "arrived.csv"
    path.write_bytes(CONTENT)
    offered = Offered(dataspace, path)
    transfer = offered.ask("HttpData-PULL")
    monkeypatch.setattr(client.time, "sleep", lambda _: offered.work())

    fetched = hexi("data", "fetch", transfer, "--to", str(target), "--json")
    assert (told(fetched)["state"], told(fetched)["bytes"]) == ("DONE", len(CONTENT))
    assert fetched.stderr.splitlines() == [f"{transfer} WAITING", f"{transfer} DONE"]
    assert target.read_bytes() == CONTENT
    assert str(target) in hexi("data", "show", transfer).stdout
    assert [found["transfer"] for found in told(hexi("data", "list", "--json"))] == [transfer]
    assert told(hexi("data", "fetch", transfer, "--to", str(target), "--json"))["state"] == "DONE"

    pushed = tmp_path / "pushed.csv"
    asked = hexi(
        "transfer", "request", str(offered.agreement), "HttpData-PUSH", "--to", str(pushed), "--follow", "--json"
    )
    assert told(asked)["state"] == "COMPLETED"
    assert pushed.read_bytes() == CONTENT


def test_webhooks_from_the_command_line(dataspace: Dataspace, hexi: Hexi) -> None:
    made = told(hexi("webhook", "add", "http://127.0.0.1:9300/events", "--type", "hexi.transfer.*", "--json"))
    assert made["secret"].startswith("whsec_")
    assert "whsec_" not in hexi("webhook", "list").stdout
    hexi("webhook", "ping", made["id"])
    dataspace.consumer.app.state.webhook_sender.deliver_due()
    waiting = hexi("webhook", "deliveries", made["id"], "--outcome", "waiting").stdout
    assert "nobody answered (ConnectError)" in waiting
    (event,) = told(hexi("webhook", "deliveries", made["id"], "--json"))
    assert told(hexi("webhook", "retry", made["id"], event["id"], "--json"))["outcome"] == "waiting"
    hexi("webhook", "remove", made["id"])
    assert hexi("webhook", "list").stdout == "nothing\n"


def test_a_product_is_withdrawn(dataspace: Dataspace, hexi: Hexi) -> None:
    product = dataspace.publish().identifier
    assert product in hexi("product", "withdraw", product, home="provider").stdout
    assert hexi("product", "list", home="provider").stdout == "nothing\n"


def test_what_will_never_come_is_not_waited_for(dataspace: Dataspace, hexi: Hexi, tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_bytes(CONTENT)
    transfer = Offered(dataspace, tmp_path / "visits.csv").ask("HttpData-PULL")
    hexi("data", "fetch", transfer, "--no-wait")
    hexi("transfer", "terminate", next(dataspace.provider.client.transfers()).id, home="provider")
    refused = told(hexi("data", "fetch", transfer, "--json", code=REFUSED))
    assert (refused["state"], refused["transferState"], refused["bytes"]) == ("WAITING", "TERMINATED", 0)


def test_terms_are_haggled_over_and_the_agreement_is_ended(dataspace: Dataspace, hexi: Hexi, tmp_path: Path) -> None:
    product, file = dataspace.publish().identifier, tmp_path / "said.json"

    def said(content: dict[str, Any]) -> str:
        file.write_bytes(encode(content))
        return str(file)

    by_hand = {"contract": USE, "selector": {"products": [product]}, "acceptance": "manual"}
    assert "by-hand" in hexi("offer", "define", "by-hand", said(by_hand), home="provider").stdout
    assert told(hexi("offer", "show", "by-hand", "--json", home="provider"))["contract"] == USE
    offer = f"{product}#v1/by-hand.1"
    assert offer in hexi("offer", "find", dataspace.provider.did).stdout
    place = ("--provider", dataspace.provider.did, "--no-wait", "--json")
    asked = told(hexi("negotiate", "request", product, "--offer", offer, *place))["id"]
    dataspace.settle()

    (theirs,) = told(hexi("negotiate", "list", "--state", "REQUESTED", "--json", home="provider"))
    assert "ourTurn" in hexi("negotiate", "list", home="provider").stdout
    constraint = {"leftOperand": "count", "operator": "lteq", "rightOperand": "3"}
    fewer = {"permission": [{"action": "use", "constraint": [constraint], "duty": [{"action": "delete"}]}]}
    hexi("negotiate", "counter", theirs["id"], said(fewer), home="provider")
    dataspace.settle()
    assert "count" in hexi("negotiate", "show", asked).stdout
    agreed = told(hexi("negotiate", "accept", asked, "--json"))
    assert agreed["state"] == "FINALIZED"

    ended = hexi("agreement", "end", agreed["agreement"], "--reason", "the study is over", home="provider").stdout
    assert "ENDED" in ended
    dataspace.settle()
    assert hexi("agreement", "list").stdout.count("ENDED") == 1  # it was told
    with pytest.raises(RemoteProblem, match="we hold this agreement ENDED"):
        hexi("transfer", "request", agreed["agreement"], "HexiSandbox-SQL")
    assert "duty-performed" in hexi("agreement", "perform", agreed["agreement"], "delete").stdout

    made = told(hexi("offer", "make", dataspace.consumer.did, product, "--json", home="provider"))["id"]
    dataspace.settle()
    (mine,) = told(hexi("negotiate", "list", "--state", "OFFERED", "--json"))
    hexi("negotiate", "end", mine["id"], "--reason", "too dear")
    dataspace.settle()
    assert "too dear" in hexi("negotiate", "show", made, home="provider").stdout
    hexi("offer", "withdraw", "by-hand", home="provider")
    assert hexi("offer", "list", home="provider").stdout == "nothing\n"


def test_what_others_offer_is_searched_and_its_peers_are_kept_from_the_command_line(
    dataspace: Dataspace, hexi: Hexi
) -> None:
    product, provider = dataspace.publish().identifier, dataspace.provider.did
    added = told(hexi("federated", "add", provider, "--json"))
    assert (added["participant"], added["state"], added["completed"]) == (provider, "idle", None)
    before = hexi("federated", "search")
    assert "nothing" in before.stdout
    assert provider in before.stderr  # not read to its end yet
    assert told(hexi("federated", "crawl", provider, "--json"))[0]["byHand"] is True
    while dataspace.consumer.app.state.federated.crawler.step():
        pass
    assert product in hexi("federated", "search", "visits", "--theme", "C0000").stdout
    assert "nothing" in hexi("federated", "search", "--provider", dataspace.consumer.did).stdout
    (found,) = told(hexi("federated", "search", "--id", product, "--json"))["items"]
    assert found["offers"][0]["target"] == product
    assert "C0000" in hexi("federated", "search", "--facets").stdout
    assert "idle" in hexi("federated", "peers").stdout
    hexi("federated", "remove", provider)
    assert "nothing" in hexi("federated", "peers").stdout
    with pytest.raises(RemoteProblem, match="federated add"):
        hexi("federated", "remove", provider)
