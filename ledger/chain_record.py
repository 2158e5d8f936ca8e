"""Chain records: proof, without asking the chain, that a block records a checkpoint of the log.

A record holds the block's header, all receipts of the block, and what they are to prove. The header hashes to the block
hash and names the root over the receipts; among these is the contract's event. What no record can prove is that the
block is on the chain: ask a node you trust for the block hash (``hexi ledger verify --chain URL``). Pure; the two
libraries that only a check needs are imported by the check.
Sources: Ethereum yellow paper, section 4.3 and appendix D (headers, receipts, tries); EIP-2718 (typed receipts).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

from hexi.canonical import Json
from ledger.errors import ChainRecordInvalid

TYPE = "chain-record"

PUBLISHED = keccak(b"Published(uint256,bytes32)")
WORD_BYTES = 32
# More receipts than any block has; a longer list is an attack on the verifier.
MAX_RECEIPTS = 10_000

_MEMBERS = frozenset({"type", "chainId", "contract", "size", "root", "block", "transaction", "receipts"})
_BLOCK_MEMBERS = frozenset({"number", "hash", "header"})
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)

# The fields of a header in the order they are hashed, with their length in bytes; 0 means a number, None any length.
# Those after the nonce came with later forks, each only together with those before it.
_HEADER = (
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", 256),
    ("difficulty", 0),
    ("number", 0),
    ("gasLimit", 0),
    ("gasUsed", 0),
    ("timestamp", 0),
    ("extraData", None),
    ("mixHash", 32),
    ("nonce", 8),
)
_LATER = (
    ("baseFeePerGas", 0),
    ("withdrawalsRoot", 32),
    ("blobGasUsed", 0),
    ("excessBlobGas", 0),
    ("parentBeaconBlockRoot", 32),
    ("requestsHash", 32),
)
_RECEIPTS_ROOT, _NUMBER = 5, 8


@dataclass(frozen=True)
class ChainRecord:
    """What a record proves: `contract` said in that block that the log has this root at this size."""

    chain_id: int
    contract: str
    size: int
    root: bytes
    block_number: int
    block_hash: str
    transaction: str


def verify_chain_record(record: Json) -> ChainRecord:
    """What `record` proves, once it holds. Raises `ChainRecordInvalid`.

    (1) It is of the shape it must be. (2) The header hashes to the block hash, (3) has the block's number, and (4)
    names the root over the receipts. (5) Exactly one successful receipt carries the contract's event, and it says the
    size and the root. The caller still owes: that size and root are the log's, that the contract is the one to
    believe, and that the block is on the chain; the chain's id and the transaction's hash are not proved by header
    and receipts.
    """
    claimed, header_bytes, receipts = _read(record)  # (1)
    if _hex(keccak(header_bytes)) != claimed.block_hash:  # (2)
        raise ChainRecordInvalid("the header does not hash to the block hash")
    header = _decode(header_bytes)
    if len(header) < len(_HEADER) or header[_NUMBER] != _number(claimed.block_number):  # (3)
        raise ChainRecordInvalid("the header is of another block")
    if header[_RECEIPTS_ROOT] != trie_root(receipts):  # (4)
        raise ChainRecordInvalid("the receipts are not those of the block")
    events = [event for receipt in receipts for event in _events(receipt, claimed.contract)]
    if events.count((claimed.size, claimed.root)) != 1:  # (5)
        raise ChainRecordInvalid("the block does not record this checkpoint by this contract")
    return claimed


def make_chain_record(claim: ChainRecord, block: Mapping[str, Json], receipts: Sequence[Mapping[str, Json]]) -> Json:
    """The record of `claim`, from a block and its receipts as JSON-RPC gives them. Raises `ChainRecordInvalid`."""
    record = {
        "type": TYPE,
        "chainId": claim.chain_id,
        "contract": claim.contract,
        "size": claim.size,
        "root": _hex(claim.root),
        "block": {
            "number": claim.block_number,
            "hash": claim.block_hash,
            "header": _hex(encode_header(block)),
        },
        "transaction": claim.transaction,
        "receipts": [_hex(encode_receipt(receipt)) for receipt in receipts],
    }
    verify_chain_record(record)
    return record


def encode_header(block: Mapping[str, Json]) -> bytes:
    """The RLP of the header of a JSON-RPC `block`. Raises `ChainRecordInvalid` where a field is missing or odd."""
    import rlp

    fields = [*_HEADER, *((name, length) for name, length in _LATER if block.get(name) is not None)]
    return bytes(rlp.encode([_field(block, name, length) for name, length in fields]))


def encode_receipt(receipt: Mapping[str, Json]) -> bytes:
    """The bytes of a JSON-RPC `receipt` as they stand in the block. Raises `ChainRecordInvalid`."""
    import rlp

    try:
        kind = int(str(receipt.get("type") or "0x0"), 16)
        logs = [
            [_unhex(log["address"]), [_unhex(topic) for topic in log["topics"]], _unhex(log["data"])]
            for log in receipt["logs"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ChainRecordInvalid("the chain's receipt has not the shape of one") from error
    body = [
        _field(receipt, "status", 0),
        _field(receipt, "cumulativeGasUsed", 0),
        _field(receipt, "logsBloom", 256),
        logs,
    ]
    return (bytes([kind]) if kind else b"") + bytes(rlp.encode(body))


def call_data(signature: str, *words: int | bytes) -> str:
    """The data of a call whose arguments are all one word: selector, then 32 bytes each."""
    encoded = (word if isinstance(word, bytes) else word.to_bytes(WORD_BYTES, "big") for word in words)
    return _hex(keccak(signature.encode())[:4] + b"".join(encoded))


def trie_root(items: Sequence[bytes]) -> bytes:
    """The root of the trie that numbers `items` from 0, as blocks do with receipts."""
    import rlp
    from trie.hexary import HexaryTrie

    trie = HexaryTrie({})
    for number, item in enumerate(items):
        trie[rlp.encode(number)] = item
    return bytes(trie.root_hash)


def _read(record: Json) -> tuple[ChainRecord, bytes, list[bytes]]:
    if not isinstance(record, dict) or record.keys() != _MEMBERS or record["type"] != TYPE:
        raise ChainRecordInvalid(f"a chain record has exactly the members {', '.join(sorted(_MEMBERS))}")
    block, receipts = record["block"], record["receipts"]
    if not isinstance(block, dict) or block.keys() != _BLOCK_MEMBERS:
        raise ChainRecordInvalid("the block of a chain record has a number, a hash and a header")
    if not isinstance(receipts, list) or not 0 < len(receipts) <= MAX_RECEIPTS:
        raise ChainRecordInvalid("a chain record holds the receipts of its block")
    numbers = (record["chainId"], record["size"], block["number"])
    if not all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in numbers):
        raise ChainRecordInvalid("chain, size and block number of a chain record are whole numbers")
    claimed = ChainRecord(
        chain_id=record["chainId"],
        contract=_hex(_unhex(record["contract"], 20)),
        size=record["size"],
        root=_unhex(record["root"], WORD_BYTES),
        block_number=block["number"],
        block_hash=_hex(_unhex(block["hash"], WORD_BYTES)),
        transaction=_hex(_unhex(record["transaction"], WORD_BYTES)),
    )
    return claimed, _unhex(block["header"]), [_unhex(receipt) for receipt in receipts]


def _events(receipt: bytes, contract: str) -> list[tuple[int, bytes]]:
    """The checkpoints a receipt says that `contract` published."""
    # EIP-2718: a first byte up to 0x7f is the type of the transaction, a list begins with 0xc0 or more.
    body = _decode(receipt[1:] if receipt[:1] <= b"\x7f" else receipt)
    if len(body) != 4 or not isinstance(body[3], list):
        raise ChainRecordInvalid("a receipt in the chain record has not the shape of one")
    if body[0] != b"\x01":  # a transaction that failed has no effect
        return []
    return [
        (int.from_bytes(topics[1], "big"), data)
        for address, topics, data in map(_log, body[3])
        if _hex(address) == contract and len(topics) == 2 and topics[0] == PUBLISHED
    ]


def _log(item: Json) -> tuple[bytes, list[bytes], bytes]:
    match item:
        case [bytes(address), list(topics), bytes(data)] if all(isinstance(topic, bytes) for topic in topics):
            return address, topics, data
    raise ChainRecordInvalid("an event in the chain record has not the shape of one")


def _decode(data: bytes) -> list[Json]:
    import rlp

    try:
        value = rlp.decode(data)
    except rlp.exceptions.RLPException as error:
        raise ChainRecordInvalid("a header or receipt in the chain record is not RLP") from error
    if not isinstance(value, list):
        raise ChainRecordInvalid("a header or receipt in the chain record is not a list")
    return value


def _field(source: Mapping[str, Json], name: str, length: int | None) -> bytes:
    value = source.get(name)
    if length != 0:
        return _unhex(value, length)
    try:
        return _number(int(str(value), 16))
    except ValueError as error:
        raise ChainRecordInvalid(f"the chain gives no number for {name}") from error


def _number(value: int) -> bytes:
    """RLP writes numbers without leading zeros, and zero as nothing."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _hex(data: bytes) -> str:
    return f"0x{data.hex()}"


def _unhex(text: Json, length: int | None = None) -> bytes:
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        raise ChainRecordInvalid("bytes in a chain record are written 0x..., in small letters")
    data = bytes.fromhex(text[2:])
    if length is not None and len(data) != length:
        raise ChainRecordInvalid(f"{length} bytes were expected in a chain record, not {len(data)}")
    return data
