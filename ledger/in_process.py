"""The chain in this process: eth-tester over py-evm. The only file that touches them.

JSON-RPC answers are made here, so that block headers come out exactly as they were hashed. Everything is forgotten at
exit; see `ledger.chain`.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence

from hexi.canonical import Json
from hexi.errors import Malformed
from ledger.errors import ChainRefused

# Enough for any call of ours: deploying Rights takes about 400,000, a first checkpoint about 90,000.
GAS = 1_500_000

_HEX = re.compile(r"0x[0-9a-f]*", re.ASCII | re.IGNORECASE)

_HEADER_FIELDS = {
    "parentHash": "parent_hash",
    "sha3Uncles": "uncles_hash",
    "miner": "coinbase",
    "stateRoot": "state_root",
    "transactionsRoot": "transaction_root",
    "receiptsRoot": "receipt_root",
    "difficulty": "difficulty",
    "number": "block_number",
    "gasLimit": "gas_limit",
    "gasUsed": "gas_used",
    "timestamp": "timestamp",
    "extraData": "extra_data",
    "mixHash": "mix_hash",
    "nonce": "nonce",
    "baseFeePerGas": "base_fee_per_gas",
    "withdrawalsRoot": "withdrawals_root",
    "blobGasUsed": "blob_gas_used",
    "excessBlobGas": "excess_blob_gas",
    "parentBeaconBlockRoot": "parent_beacon_block_root",
    "requestsHash": "requests_hash",
}


class InProcess:
    """eth-tester over py-evm. JSON-RPC answers are made here, so that headers come out as they were hashed."""

    def __init__(self) -> None:
        # py-evm and py_ecc raise the whole process's recursion limit a hundredfold when they are imported. With that, a
        # document of nothing but opening brackets would run over the end of the C stack in the JSON parser.
        limit = sys.getrecursionlimit()
        from eth_tester import EthereumTester, PyEVMBackend

        self._tester = EthereumTester(PyEVMBackend())
        sys.setrecursionlimit(limit)
        self._account = self._tester.get_accounts()[0]

    def send(self, to: str | None, data: str) -> str:
        from eth_tester.exceptions import TransactionFailed, ValidationError

        transaction = {"from": self._account, "data": data, "gas": GAS} | ({"to": to} if to else {})
        try:
            return str(self._tester.send_transaction(transaction))
        except (TransactionFailed, ValidationError) as error:
            raise ChainRefused("the in-process chain refused the transaction") from error

    def rpc(self, method: str, params: Sequence[Json]) -> Json:
        from eth_tester.exceptions import BlockNotFound, TransactionFailed, TransactionNotFound, ValidationError

        answers: dict[str, Callable[..., Json]] = {
            "eth_chainId": lambda: hex(self._tester.backend.chain.chain_id),
            "eth_blockNumber": lambda: hex(self._newest()),
            "eth_getBlockByNumber": self._block,
            "eth_call": self._call,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getLogs": self._logs,
            "eth_getCode": lambda address, _="latest": self._tester.get_code(hexadecimal(address)),
        }
        try:
            return answers[method](*params)
        except (BlockNotFound, TransactionNotFound):
            return None
        except TransactionFailed as error:
            raise ChainRefused("the contract refused the call") from error
        except (ValidationError, TypeError, AttributeError, KeyError, ValueError) as error:
            raise Malformed(f"the parameters of {method} cannot be read") from error

    def _newest(self) -> int:
        return int(self._tester.backend.chain.get_canonical_head().block_number)

    def _block(self, tag: Json, _full: Json = False) -> Json:
        chain = self._tester.backend.chain
        number = _block_number(tag, self._newest())
        if number > self._newest():
            return None
        block = chain.get_canonical_block_by_number(number)
        header = block.header
        named: dict[str, Json] = {name: _rpc(getattr(header, field)) for name, field in _HEADER_FIELDS.items()}
        transactions = [f"0x{transaction.hash.hex()}" for transaction in block.transactions]
        return {
            **named,
            "hash": f"0x{header.hash.hex()}",
            "logsBloom": f"0x{header.bloom.to_bytes(256, 'big').hex()}",
            "transactions": transactions,
            "uncles": [],
            "withdrawals": [],
            "size": "0x0",
            "totalDifficulty": "0x0",
        }

    def _receipt(self, transaction: Json) -> Json:
        found = self._tester.get_transaction_receipt(hexadecimal(transaction))
        chain = self._tester.backend.chain
        block = chain.get_canonical_block_by_number(found["block_number"])
        bloom = block.get_receipts(chain.chaindb)[found["transaction_index"]].bloom
        answer = {_camel(name): _rpc(value) for name, value in found.items() if name not in {"logs", "state_root"}}
        answer["logs"] = [_log(log) for log in found["logs"]]
        answer["logsBloom"] = f"0x{bloom.to_bytes(256, 'big').hex()}"
        return answer | {"to": answer["to"] or None}

    def _logs(self, wanted: Mapping[str, Json]) -> Json:
        newest = self._newest()
        found = self._tester.get_logs(
            from_block=_block_number(wanted.get("fromBlock", "latest"), newest),
            to_block=_block_number(wanted.get("toBlock", "latest"), newest),
            address=hexadecimal(wanted["address"]),
            topics=[None if topic is None else hexadecimal(topic) for topic in wanted.get("topics") or []],
        )
        return [_log(log) for log in found]

    def _call(self, call: Mapping[str, Json], _tag: Json = "latest") -> Json:
        data = call.get("data", call.get("input", "0x"))
        request = {"from": self._account, "to": hexadecimal(call["to"]), "data": hexadecimal(data), "gas": GAS}
        return str(self._tester.call(request))


def _log(log: Mapping[str, Json]) -> dict[str, Json]:
    named = {_camel(name): _rpc(value) for name, value in log.items() if name not in {"type", "topics", "address"}}
    return {**named, "address": log["address"].lower(), "topics": list(log["topics"]), "removed": False}


def _rpc(value: Json) -> Json:
    """A value as JSON-RPC writes it."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return hex(value) if isinstance(value, int) else value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _block_number(tag: Json, newest: int) -> int:
    if tag == "earliest":
        return 0
    return newest if tag in {"latest", "pending", "safe", "finalized"} else int(hexadecimal(tag), 16)


def hexadecimal(value: Json) -> str:
    """`value`, if it is written 0x... Raises `Malformed`."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise Malformed("chain parameters are written 0x...")
    return value
