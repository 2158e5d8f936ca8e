"""The ledger over HTTP: its routes, its client, and the commands an auditor uses."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
import uvicorn
from fastapi import APIRouter
from typer.testing import CliRunner

from hexi.canonical import Json, encode, parse
from hexi.client import ServiceClient
from hexi.database import Database
from hexi.errors import Forbidden, RemoteProblem
from hexi.settings import ServiceSettings
from hexi.web import create_shell
from ledger.api import create_router
from ledger.chain import Chain
from ledger.checkpoint import open_checkpoint
from ledger.cli import app as cli
from ledger.client import LedgerClient, rpc_at
from ledger.entries import Kind
from ledger.errors import ChainUnavailable
from ledger.merkle import verify_consistency
from ledger.messages import MAX_BATCH
from ledger.receipts import Receipt, verify_receipt
from tests.ledger.builders import DIGEST, Person, Space, resolver

STRANGER = Person("did:web:stranger.example")


class Service:
    """A space with only a ledger in it, on a real socket."""

    def __init__(self, space: Space, port: int, chain: Chain | None) -> None:
        self.space, self.url, self.open = space, f"http://127.0.0.1:{port}", True
        self.client = LedgerClient(f"{self.url}/ledger/")
        beside = APIRouter()

        @beside.get("/registry/participants")
        def participants() -> Json:
            return {"items": [{"did": p.did, "document": p.document} for p in (space.provider, space.consumer)]}

        @beside.get("/.well-known/did.json")
        def own() -> Json:
            return space.operator.document

        def operator() -> None:
            if not self.open:
                raise Forbidden("only the operator anchors")

        router = create_router(space.log, resolver(*space.people), operator, chain)
        shell = create_shell("test space", ServiceSettings(), space.database, router, beside)
        self._server = uvicorn.Server(uvicorn.Config(shell, host="127.0.0.1", port=port, log_config=None, ws="none"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def service(sqlite: Database, free_port: int) -> Iterator[Service]:
    with Service(Space.build(sqlite), free_port, Chain.in_process()) as running:
        yield running


def code_of(problem: pytest.ExceptionInfo[RemoteProblem]) -> tuple[int, str]:
    return problem.value.status, problem.value.code


def test_entries_receipts_and_proofs(service: Service) -> None:
    space, client = service.space, service.client
    size = len(list(client.entries()))
    jws = space.provider.seal(Kind.RUN_COMPLETED, "run-http", units=1)
    receipt = client.submit(jws)
    assert verify_receipt(receipt, client.vkey(), resolver(space.provider)).facts == {"units": 1}
    assert client.submit(jws) == client.submit(space.provider.seal(Kind.RUN_COMPLETED, "run-http")) == receipt
    assert client.receipt(Kind.RUN_COMPLETED, "run-http") == receipt
    assert client.receipt(Kind.RUN_COMPLETED, "run-http", space.consumer.did) is None
    assert client.receipt(Kind.RUN_COMPLETED, "nobody's") is None
    assert client.receipt_at(receipt.index) == receipt
    assert [entry.index for entry in client.entries(kind=Kind.RUN_COMPLETED, after=size - 1)] == [size]
    new, old = (open_checkpoint(client.checkpoint(n), client.vkey()) for n in (None, 3))
    verify_consistency(3, new.size, old.root, new.root, client.consistency(3, new.size))


@pytest.mark.parametrize(
    ("person", "kind", "of", "expected"),
    [
        ("provider", Kind.RUN_COMPLETED, DIGEST, None),
        ("provider", Kind.RUN_COMPLETED, "sha256:" + "1" * 64, (409, "ledger.entry-conflict")),
        ("provider", Kind.SETTLEMENT_MADE, DIGEST, (403, "ledger.issuer-not-entitled")),
        ("stranger", Kind.RUN_COMPLETED, DIGEST, (404, "hexi.not-found")),
    ],
)
def test_who_may_submit_what(
    service: Service, person: str, kind: Kind, of: str, expected: tuple[int, str] | None
) -> None:
    client = service.client
    client.submit(service.space.provider.seal(Kind.RUN_COMPLETED, "run-1"))
    who = STRANGER if person == "stranger" else service.space.provider
    if expected is None:
        client.submit(who.seal(kind, "run-1", of))
    else:
        with pytest.raises(RemoteProblem) as problem:
            client.submit(who.seal(kind, "run-1", of))
        assert code_of(problem) == expected


def submit_batch(service: Service, entries: Json) -> Json:
    http = ServiceClient(service.url, "the ledger")
    try:
        return http.post("/ledger/entries/batch", {"entries": entries})
    finally:
        http.close()


def test_a_batch_takes_what_holds_and_says_why_it_leaves_the_rest(service: Service) -> None:
    provider, client = service.space.provider, service.client
    known = client.submit(provider.seal(Kind.RUN_COMPLETED, "known"))
    first, second = provider.seal(Kind.RUN_COMPLETED, "one"), provider.seal(Kind.RUN_COMPLETED, "two")
    entries = [
        first,
        STRANGER.seal(Kind.RUN_COMPLETED, "one"),
        provider.seal(Kind.SETTLEMENT_MADE, "one"),
        provider.seal(Kind.RUN_COMPLETED, "one", "sha256:" + "1" * 64),
        "no.jws.atall",
        provider.seal(Kind.RUN_COMPLETED, "known"),
        second,
        first,
    ]
    size = open_checkpoint(client.checkpoint(None), client.vkey()).size
    outcomes = submit_batch(service, entries)["outcomes"]
    said = [outcome["problem"]["code"] if "problem" in outcome else "taken" for outcome in outcomes]
    assert said == [
        "taken",
        "hexi.not-found",
        "ledger.issuer-not-entitled",
        "ledger.entry-conflict",
        "hexi.malformed",
        "taken",
        "taken",
        "taken",
    ]
    assert outcomes[0] == outcomes[7]
    assert outcomes[5] == {"receipt": known.to_json()}
    assert outcomes[0]["receipt"] == client.receipt(Kind.RUN_COMPLETED, "one").to_json()  # type: ignore[union-attr]
    assert open_checkpoint(client.checkpoint(None), client.vkey()).size == size + 2
    for receipt in (outcomes[0]["receipt"], outcomes[6]["receipt"]):
        verify_receipt(Receipt.from_json(receipt), client.vkey(), resolver(provider))


@pytest.mark.parametrize("entries", [[], ["x"] * (MAX_BATCH + 1), [7], "x"])
def test_a_batch_is_a_list_of_entries_and_no_endless_one(service: Service, entries: Json) -> None:
    with pytest.raises(RemoteProblem) as problem:
        submit_batch(service, entries)
    assert code_of(problem) == (422, "hexi.malformed")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/ledger/tile/0/000", (404, "ledger.tile-unknown")),
        ("/ledger/tile/%2e%2e/checkpoint", (404, "ledger.tile-unknown")),
        ("/ledger/entries/999/receipt", (404, "ledger.entry-unknown")),
        ("/ledger/entries?limit=0", (422, "hexi.malformed")),
        ("/ledger/entries?kind=gossip", (422, "hexi.malformed")),
        ("/ledger/checkpoint?size=999", (400, "ledger.proof-invalid")),
        ("/ledger/consistency?first=0&second=3", (400, "ledger.proof-invalid")),
        ("/ledger/anchors/7", (404, "ledger.anchor-unknown")),
    ],
)
def test_what_is_not_there(service: Service, path: str, expected: tuple[int, str]) -> None:
    with pytest.raises(RemoteProblem) as problem:
        service.client.public(path)
    assert code_of(problem) == expected


def test_anchoring_is_the_operators(service: Service) -> None:
    client = service.client
    anchor = client.anchor()
    assert client.anchors() == [anchor]
    assert service.client.public(f"/ledger/anchors/{anchor.size}")["size"] == anchor.size
    service.open = False
    with pytest.raises(RemoteProblem) as problem:
        client.anchor()
    assert code_of(problem) == (403, "hexi.forbidden")


def test_without_a_chain(sqlite: Database, free_port: int) -> None:
    with Service(Space.build(sqlite), free_port, None) as running, pytest.raises(RemoteProblem) as problem:
        running.client.anchor()
    assert code_of(problem) == (503, "ledger.chain-unavailable")


def test_an_auditors_web3_looks_through_the_window(service: Service) -> None:
    from web3 import HTTPProvider, Web3

    from ledger.chain import compiled

    anchor = service.client.anchor()
    web3 = Web3(HTTPProvider(f"{service.url}/ledger/chain"))
    address = web3.to_checksum_address(anchor.record["contract"])
    contract = web3.eth.contract(address=address, abi=compiled("Checkpoints")["abi"])
    root = open_checkpoint(anchor.checkpoint, service.space.log.vkey).root
    assert contract.functions.root_of(anchor.size).call() == root
    assert contract.functions.latest().call() == anchor.size
    [event] = contract.events.Published.get_logs(from_block=0)
    assert (event["args"]["size"], event["args"]["root"]) == (anchor.size, root)
    assert web3.eth.get_block(event["blockNumber"])["hash"].hex() == anchor.record["block"]["hash"][2:]
    with pytest.raises(ChainUnavailable):
        rpc_at(f"{service.url}/ledger/chain")("eth_accounts", [])


def test_the_auditors_road(service: Service, tmp_path: Path) -> None:
    """Bundle, verify against the live chain, export, show; then one byte, and the exit code says so."""
    space, run = service.space, CliRunner().invoke
    service.client.anchor()
    for number, document in enumerate(space.documents):
        (tmp_path / f"{number}.json").write_bytes(encode(document.to_json()))
    given = [part for n in range(len(space.documents)) for part in ("--document", str(tmp_path / f"{n}.json"))]
    bundle = tmp_path / "bundle"
    assert run(cli, ["bundle", str(bundle), "--ledger", service.url, *given]).exit_code == 0
    (tmp_path / "vkey").write_text(f"{space.log.vkey}\n")

    asked = ["verify", str(bundle), "--chain", f"{service.url}/ledger/chain", "--vkey", str(tmp_path / "vkey")]
    answer = run(cli, asked)
    assert answer.exit_code == 0, answer.output
    assert "全部核验通过" in answer.output
    output = run(cli, [*asked, "--json"]).output
    report = parse(output[output.index("{\n") :])  # the service in this process logs to the same output
    assert report["ok"] is True
    assert "chain" in {check["name"] for check in report["checks"]}

    receipt = next((bundle / "receipts").iterdir())
    shown = run(cli, ["show", str(receipt)])
    assert parse(shown.output)["type"] == "entry"
    assert run(cli, ["export", str(tmp_path / "log"), "--ledger", service.url]).exit_code == 0
    assert (tmp_path / "log" / "checkpoint").read_text() == service.client.checkpoint()

    receipt.write_bytes(receipt.read_bytes()[:-1] + b" ")
    answer = run(cli, ["verify", str(bundle)])
    assert answer.exit_code == 1
    assert "receipt" in answer.output


@pytest.mark.parametrize(
    "arguments", [["verify", "nowhere"], ["show", "nowhere"], ["verify", ".", "--vkey", "nowhere"]]
)
def test_what_cannot_be_read_is_wrong_usage(arguments: list[str]) -> None:
    from hexi.cli import USAGE, exit_code
    from hexi.errors import DataspaceError

    error = CliRunner().invoke(cli, arguments).exception
    assert isinstance(error, DataspaceError)
    assert exit_code(error) == USAGE
