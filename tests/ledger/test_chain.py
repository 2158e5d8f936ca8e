"""The chain: records that prove themselves, a window that only looks, and nodes behind JSON-RPC."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hexi.canonical import encode, parse
from hexi.database import Database
from hexi.errors import DataspaceError, Malformed
from ledger import anchors
from ledger.chain import Chain, Contracts
from ledger.chain_record import call_data, encode_header, verify_chain_record
from ledger.entries import Kind
from ledger.errors import (
    ChainMethodRefused,
    ChainRecordInvalid,
    ChainRefused,
    ChainUnavailable,
    NothingToAnchor,
)
from tests.ledger.builders import Person, append, new_log

ROOT = bytes(range(32))
OPERATOR = Person("did:web:space.example")


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain.in_process()


@pytest.fixture(scope="module")
def record(chain: Chain) -> Any:
    return chain.publish_checkpoint(1000, ROOT)


def test_the_chain_leaves_the_recursion_limit_of_its_process_as_it_was() -> None:
    """Else a body of nothing but opening brackets would crash the service: json recurses on the C stack."""
    program = """
import sys
from hexi.canonical import parse
from hexi.errors import Malformed
from ledger.chain import Chain
limit = sys.getrecursionlimit()
assert Chain.in_process().chain_id
assert sys.getrecursionlimit() == limit
try:
    parse("[" * 100_000)
except Malformed:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "refused\n"


def test_a_record_proves_itself(record: Any, chain: Chain) -> None:
    proved = verify_chain_record(parse(encode(record)))
    assert (proved.size, proved.root, proved.contract) == (1000, ROOT, chain.contracts.checkpoints)
    assert proved.chain_id == chain.chain_id
    block = chain.rpc("eth_getBlockByNumber", [hex(proved.block_number), False])
    assert block["hash"] == proved.block_hash
    assert f"0x{encode_header(block).hex()}" == record["block"]["header"]


def flipped(text: str, place: int) -> str:
    digit = "1" if text[place] == "0" else "0"
    return text[:place] + digit + text[place + 1 :]


def test_no_digit_of_header_and_receipts_can_change(record: Any) -> None:
    header, receipt = record["block"]["header"], record["receipts"][0]
    for place in range(2, len(header), 7):
        with pytest.raises(ChainRecordInvalid):
            verify_chain_record({**record, "block": {**record["block"], "header": flipped(header, place)}})
    for place in range(2, len(receipt), 7):
        with pytest.raises(ChainRecordInvalid):
            verify_chain_record({**record, "receipts": [flipped(receipt, place)]})


@pytest.mark.parametrize(
    "change",
    [
        {"size": 1001},
        {"size": -1},
        {"size": True},
        {"root": "0x" + "00" * 32},
        {"root": "0x00"},
        {"contract": "0x" + "00" * 20},
        {"contract": "none"},
        {"chainId": "1"},
        {"transaction": None},
        {"receipts": []},
        {"receipts": ["0x"]},
        {"receipts": ["0xc0"]},
        {"receipts": [7]},
        {"receipts": "0x"},
        {"block": {}},
        {"type": "record"},
        {"more": 1},
    ],
)
def test_what_a_record_does_not_prove(record: Any, change: dict[str, Any]) -> None:
    verify_chain_record(record)
    with pytest.raises(ChainRecordInvalid):
        verify_chain_record({**record, **change})


@pytest.mark.parametrize("change", [{"number": 1}, {"hash": "0x" + "00" * 32}, {"header": "0xc0"}, {"header": "0x"}])
def test_a_block_must_be_the_one(record: Any, change: dict[str, Any]) -> None:
    with pytest.raises(ChainRecordInvalid):
        verify_chain_record({**record, "block": {**record["block"], **change}})


def test_another_blocks_receipts_do_not_pass(record: Any, chain: Chain) -> None:
    later = chain.publish_checkpoint(1001, ROOT)
    with pytest.raises(ChainRecordInvalid):
        verify_chain_record({**record, "receipts": later["receipts"]})
    with pytest.raises(ChainRecordInvalid):
        verify_chain_record({**record, "block": later["block"]})


def test_the_window_looks_at_our_contracts(record: Any, chain: Chain) -> None:
    at = chain.contracts
    call = {"to": at.checkpoints, "data": call_data("root_of(uint256)", 1000)}
    assert chain.rpc("eth_call", [call, "latest"]) == f"0x{ROOT.hex()}"
    assert int(chain.rpc("eth_blockNumber", []), 16) > 0
    assert chain.rpc("eth_getCode", [at.rights, "latest"]).startswith("0x")
    logs = chain.rpc("eth_getLogs", [{"fromBlock": "earliest", "address": at.checkpoints}])
    assert chain.rpc("eth_getTransactionReceipt", [logs[0]["transactionHash"]])["status"] == "0x1"
    assert chain.rpc("eth_getTransactionReceipt", ["0x" + "00" * 32]) is None
    assert chain.rpc("eth_getBlockByNumber", ["0xffff", False]) is None


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        ("eth_sendTransaction", [{}], ChainMethodRefused),
        ("eth_sendRawTransaction", ["0x"], ChainMethodRefused),
        ("evm_revert", [1], ChainMethodRefused),
        ("eth_call", [], ChainMethodRefused),
        ("eth_call", [{"to": "0x" + "00" * 20, "data": "0x"}], ChainMethodRefused),
        ("eth_getLogs", [{"fromBlock": "0x0"}], ChainMethodRefused),
        ("eth_getBlockByNumber", [], Malformed),
        ("eth_getBlockByNumber", ["soon"], Malformed),
        ("eth_getBlockByNumber", [{}], Malformed),
        ("eth_getCode", ["0x1"], Malformed),
        ("eth_getTransactionReceipt", [7], Malformed),
        ("eth_chainId", [1, 2], Malformed),
    ],
)
def test_the_window_does_nothing_else(chain: Chain, method: str, params: list[Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        chain.rpc(method, params)


def test_a_call_that_reverts_is_refused(chain: Chain) -> None:
    call = {"to": chain.contracts.checkpoints, "data": call_data("nonsense()")}
    with pytest.raises(ChainRefused):
        chain.rpc("eth_call", [call, "latest"])


# Anchoring: whatever the chain has not seen is written from the log.


def test_the_log_is_written_to_a_chain_that_forgot(database: Database) -> None:
    database.migrate("ledger")
    log, first = new_log(), Chain.in_process()
    with pytest.raises(NothingToAnchor):
        anchors.catch_up(database, log, first)
    facts = {"product": "6" * 32, "rights": "holding,processing-use"}
    append(database, log, OPERATOR.seal(Kind.RIGHTS_REGISTERED, "SJ1", "sha256:" + "1" * 64, **facts), OPERATOR)
    anchor = anchors.catch_up(database, log, first)
    assert anchors.catch_up(database, log, first) == anchor
    assert (first.latest_size(), first.right("SJ1")) == (1, bytes.fromhex("1" * 64))
    append(database, log, OPERATOR.seal(Kind.RIGHTS_REGISTERED, "SJ2", "sha256:" + "2" * 64, **facts), OPERATOR)
    assert anchors.catch_up(database, log, first).size == 2

    again = Chain.in_process()  # as after a restart
    assert again.latest_size() == 0
    anchor = anchors.catch_up(database, log, again)
    assert verify_chain_record(anchor.record).size == again.latest_size() == 2
    assert again.right("SJ2") == bytes.fromhex("2" * 64)
    with database.reading() as session:
        assert [found.size for found in anchors.listed(session)][:2] == [2, 2]
        assert anchors.find(session, 2) == anchor


# A node behind JSON-RPC: py-evm again, but through HTTP, web3 and locally signed transactions.


class _Writing:
    """What a real node also answers: the methods that web3 needs to send a transaction."""

    def __init__(self) -> None:
        from eth_tester import EthereumTester

        from ledger.in_process import InProcess

        self.evm = InProcess()
        self.tester: EthereumTester = self.evm._tester

    def rpc(self, method: str, params: list[Any]) -> Any:
        own = {
            "eth_accounts": lambda: [self.evm._account],
            "eth_gasPrice": lambda: hex(10**10),
            "eth_estimateGas": lambda: hex(600_000),
            "eth_getTransactionCount": lambda: hex(self.tester.get_nonce(params[0])),
            "eth_sendRawTransaction": lambda: self.tester.send_raw_transaction(params[0]),
            "eth_sendTransaction": lambda: self.evm.send(params[0].get("to"), params[0]["data"]),
        }
        return own[method]() if method in own else self.evm.rpc(method, params)


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[str, _Writing]]:
    behind = _Writing()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = parse(self.rfile.read(int(self.headers["Content-Length"])))
            answer: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
            try:
                answer["result"] = behind.rpc(asked["method"], asked.get("params") or [])
            except DataspaceError as error:
                answer["error"] = {"code": -32000, "message": error.detail}
            body = encode(answer)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", behind
    server.shutdown()
    server.server_close()


def test_a_node_with_accounts(node: tuple[str, _Writing]) -> None:
    chain = Chain.at(node[0])
    assert verify_chain_record(chain.publish_checkpoint(3, ROOT)).size == 3

    again = Chain.at(node[0])
    again.attach(chain.contracts)
    assert again.root_at(3) == ROOT
    assert Chain.at(node[0], contracts=chain.contracts).latest_size() == 3
    with pytest.raises(ChainUnavailable):
        Chain.at(node[0], contracts=Contracts("0x" + "01" * 20, "0x" + "02" * 20)).latest_size()


def test_a_node_with_our_own_key(node: tuple[str, _Writing], tmp_path: Path) -> None:
    from eth_account import Account

    url, behind = node
    account = Account.create()
    behind.tester.send_transaction({"from": behind.evm._account, "to": account.address, "value": 10**20, "gas": 21000})
    (tmp_path / "key").write_text(account.key.hex() + "\n")
    chain = Chain.at(url, key_file=tmp_path / "key")
    chain.register_right("SJ1", "product", "sha256:" + "ab" * 32, ["holding"])
    assert chain.right("SJ1") == b"\xab" * 32
    with pytest.raises(ChainUnavailable):
        Chain.at(url, key_file=tmp_path / "none").latest_size()


def test_a_node_that_does_not_answer(free_port: int) -> None:
    with pytest.raises(ChainUnavailable):
        Chain.at(f"http://127.0.0.1:{free_port}").latest_size()
