"""The chain: an EVM that witnesses checkpoints and rights. The only file that touches web3.

Two kinds. `Chain.in_process` runs py-evm in this process and FORGETS EVERYTHING AT EXIT; the log is the durable record,
and `anchors.catch_up` writes it onto the fresh chain again. `Chain.at` talks JSON-RPC to any node. Nothing is imported
or connected before the first use: web3 alone takes about two seconds to import, which no service should wait for.

    chain = Chain.in_process()
    record = chain.publish_checkpoint(size, root)
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from hexi.canonical import Json, parse
from hexi.errors import Malformed
from ledger.chain_record import PUBLISHED, WORD_BYTES, ChainRecord, call_data, make_chain_record
from ledger.errors import ChainMethodRefused, ChainRecordInvalid, ChainRefused, ChainUnavailable
from ledger.in_process import InProcess

# What an outsider may ask the chain through us: reading only.
METHODS = frozenset(
    {
        "eth_chainId",
        "eth_blockNumber",
        "eth_getBlockByNumber",
        "eth_call",
        "eth_getTransactionReceipt",
        "eth_getLogs",
        "eth_getCode",
    }
)

# The bits of the contract `Rights`, by the names of the vocabulary "data-twenty-2022".
RIGHTS: Mapping[str, int] = {"holding": 1, "processing-use": 2, "product-operation": 4}

# How long a node may take to answer, and a transaction to be included, in seconds.
NODE_SECONDS = 10
INCLUSION_SECONDS = 120

_CONTRACTS = Path(__file__).parent / "contracts"


@dataclass(frozen=True)
class Contracts:
    """Where the two contracts stand, lower case."""

    checkpoints: str
    rights: str


class _Evm(Protocol):
    """What the two kinds of chain have in common."""

    def rpc(self, method: str, params: Sequence[Json]) -> Json:
        """The result of a JSON-RPC call. Raises `ChainUnavailable`, `ChainRefused`."""

    def send(self, to: str | None, data: str) -> str:
        """The hash of a transaction, once it is in a block. Raises `ChainUnavailable`, `ChainRefused`."""


class Chain:
    """The contracts `Checkpoints` and `Rights` on some chain. Calls come one at a time, from any thread."""

    def __init__(self, connect: Callable[[], _Evm], *, forgets: bool, contracts: Contracts | None = None) -> None:
        # Whether the chain is gone when this process is.
        self.forgets = forgets
        # The rights-registered entries up to this index are known to be on the chain; see `anchors.catch_up`.
        self.rights_seen = -1
        self._connect = connect
        self._fixed = contracts
        self._hint: Contracts | None = None
        self._evm: _Evm | None = None
        self._at: Contracts | None = None
        self._chain_id = 0
        self._lock = threading.RLock()

    @classmethod
    def in_process(cls) -> "Chain":
        """py-evm in this process. It forgets everything at exit."""
        return cls(InProcess, forgets=True)

    @classmethod
    def at(cls, url: str, *, key_file: Path | None = None, contracts: Contracts | None = None) -> "Chain":
        """The node at `url`. Transactions are signed with the secp256k1 key (hexadecimal) in `key_file`, or else by the
        node's first account. Without `contracts` they are deployed, unless `attach` finds them."""
        return cls(lambda: _Node(url, key_file), forgets=False, contracts=contracts)

    def attach(self, contracts: Contracts) -> None:
        """Use `contracts`, known from before, if they are there and ours. No effect once started."""
        self._hint = contracts

    @property
    def contracts(self) -> Contracts:
        """Where our contracts stand; starts the chain."""
        return self._started()

    @property
    def chain_id(self) -> int:
        """The chain's number (EIP-155); starts the chain."""
        self._started()
        return self._chain_id

    def publish_checkpoint(self, size: int, root: bytes) -> Json:
        """Put a checkpoint on the chain and return its chain record. Doing it twice is doing it once.

        Raises `ChainRefused` if the chain has another root for this size, or a later checkpoint; `ChainUnavailable`.
        """
        with self._lock:
            at = self._started()
            known = self.root_at(size)
            if known not in (None, root):
                raise ChainRefused(f"the chain has another root for {size} entries; this is not the log it witnesses")
            if known is None:
                if self.latest_size() >= size:
                    raise ChainRefused(f"the chain has a checkpoint over more than {size} entries")
                self._send(at.checkpoints, call_data("publish(uint256,bytes32)", size, root))
            return self._record(at.checkpoints, size, root)

    def root_at(self, size: int) -> bytes | None:
        """The root on the chain for `size` entries, if one was published."""
        root = self._call(self._started().checkpoints, call_data("root_of(uint256)", size))
        return root if any(root) else None

    def latest_size(self) -> int:
        """The size of the newest checkpoint on the chain, 0 if there is none."""
        return int.from_bytes(self._call(self._started().checkpoints, call_data("latest()")), "big")

    def register_right(self, certificate: str, product: str, document: str, rights: Sequence[str]) -> None:
        """Put a rights certificate on the chain: its number, the product's identifier, the digest of the document.

        Doing it twice is doing it once. Raises `ChainRefused` if the chain has another document for this number.
        """
        number, digest = _digest(certificate), _digest_bytes(document)
        with self._lock:
            known = self.right(certificate)
            if known is None:
                data = call_data(
                    "register(bytes32,bytes32,bytes32,uint256)", number, _digest(product), digest, rights_mask(rights)
                )
                self._send(self._started().rights, data)
            elif known != digest:
                raise ChainRefused(f"the chain has another document for the certificate {certificate}")

    def revoke_right(self, certificate: str) -> None:
        """Mark a certificate as revoked on the chain. Raises `ChainRefused` if it is not there, or revoked already."""
        with self._lock:
            self._send(self._started().rights, call_data("revoke(bytes32)", _digest(certificate)))

    def right(self, certificate: str) -> bytes | None:
        """The SHA-256 of the document on the chain for a certificate, if there is one; also when it was revoked."""
        words = self._call(self._started().rights, call_data("right_of(bytes32)", _digest(certificate)))
        document = words[WORD_BYTES : 2 * WORD_BYTES]
        return document if any(document) else None

    def rpc(self, method: str, params: Sequence[Json]) -> Json:
        """The chain's answer to a question from outside. Raises `ChainMethodRefused`, `Malformed`, `ChainUnavailable`.

        Reading only, and calls and logs of our own contracts only: a public window is not a free node.
        """
        if method not in METHODS:
            raise ChainMethodRefused(f"{method} is not offered here; there is {', '.join(sorted(METHODS))}")
        with self._lock:
            at = self._started()
            if method in {"eth_call", "eth_getLogs"}:
                params = [_one_address(params, "to" if method == "eth_call" else "address", at), *params[1:]]
            return self._connected().rpc(method, params)

    def _started(self) -> Contracts:
        with self._lock:
            if self._at is None:
                self._chain_id = int(str(self._connected().rpc("eth_chainId", [])), 16)
                self._at = self._find() or Contracts(self._deploy("Checkpoints"), self._deploy("Rights"))
            return self._at

    def _find(self) -> Contracts | None:
        if self._fixed:
            if not self._is_ours(self._fixed):
                raise ChainUnavailable("our contracts are not at the addresses given; leave these out to deploy")
            return self._fixed
        return self._hint if self._hint and self._is_ours(self._hint) else None

    def _is_ours(self, at: Contracts) -> bool:
        evm = self._connected()
        wanted = ((at.checkpoints, "Checkpoints"), (at.rights, "Rights"))
        return all(evm.rpc("eth_getCode", [address, "latest"]) == compiled(name)["runtime"] for address, name in wanted)

    def _deploy(self, name: str) -> str:
        receipt = self._send(None, compiled(name)["bytecode"])
        return str(receipt["contractAddress"]).lower()

    def _connected(self) -> _Evm:
        if self._evm is None:
            self._evm = self._connect()
        return self._evm

    def _send(self, to: str | None, data: str) -> Mapping[str, Json]:
        evm = self._connected()
        receipt = evm.rpc("eth_getTransactionReceipt", [evm.send(to, data)])
        if not isinstance(receipt, dict) or receipt.get("status") != "0x1":
            raise ChainRefused("the contract refused the transaction")
        return receipt

    def _call(self, to: str, data: str) -> bytes:
        with self._lock:
            answer = self._connected().rpc("eth_call", [{"to": to, "data": data}, "latest"])
            if not isinstance(answer, str) or len(answer) < 2 + 2 * WORD_BYTES:
                raise ChainUnavailable("the contract does not answer as ours does")
            return bytes.fromhex(answer[2:])

    def _record(self, contract: str, size: int, root: bytes) -> Json:
        evm = self._connected()
        topics = [f"0x{PUBLISHED.hex()}", f"0x{size.to_bytes(WORD_BYTES, 'big').hex()}"]
        wanted = {"fromBlock": "0x0", "toBlock": "latest", "address": contract, "topics": topics}
        logs = evm.rpc("eth_getLogs", [wanted])
        try:
            number = logs[-1]["blockNumber"]
            block = evm.rpc("eth_getBlockByNumber", [number, False])
            receipts = [evm.rpc("eth_getTransactionReceipt", [hash_]) for hash_ in block["transactions"]]
            claim = ChainRecord(
                chain_id=self._chain_id,
                contract=contract,
                size=size,
                root=root,
                block_number=int(number, 16),
                block_hash=block["hash"],
                transaction=logs[-1]["transactionHash"],
            )
            return make_chain_record(claim, block, receipts)
        except (LookupError, TypeError, ValueError) as error:
            raise ChainUnavailable("the chain's answers have not the shape of blocks and receipts") from error
        except ChainRecordInvalid as error:
            raise ChainUnavailable(f"no offline proof can be made from this chain's blocks: {error.detail}") from error


def rights_mask(rights: Sequence[str]) -> int:
    """The bits for `rights`. Raises `Malformed` for none, or for one that the contract does not know."""
    unknown = set(rights) - RIGHTS.keys()
    if unknown or not rights:
        raise Malformed(f"rights are one or more of {', '.join(RIGHTS)}, not {', '.join(sorted(unknown)) or 'none'}")
    return sum(RIGHTS[right] for right in set(rights))


def compiled(name: str) -> dict[str, Any]:
    """The committed result of compiling a contract: abi, bytecode, runtime. A test holds it against the source."""
    contract: dict[str, Any] = parse((_CONTRACTS / f"{name}.json").read_bytes())
    return contract


def _one_address(params: Sequence[Json], member: str, at: Contracts) -> Json:
    """The first of `params` with one of our contracts in `member`; some tools write a list of one."""
    subject = params[0] if params and isinstance(params[0], dict) else {}
    address = subject.get(member)
    if isinstance(address, list) and len(address) == 1:
        address = address[0]
    if str(address).lower() not in {at.checkpoints, at.rights}:
        raise ChainMethodRefused(f"calls and logs are offered for {at.checkpoints} and {at.rights} only")
    return {**subject, member: address}


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def _digest_bytes(digest: str) -> bytes:
    algorithm, _, hexadecimal = digest.partition(":")
    if algorithm != "sha256" or len(hexadecimal) != 2 * WORD_BYTES:
        raise Malformed("the chain takes SHA-256 digests")
    return bytes.fromhex(hexadecimal)


class _Node:
    """web3 to a node of any kind."""

    def __init__(self, url: str, key_file: Path | None) -> None:
        from web3 import HTTPProvider, Web3

        self._url = url
        self._web3 = Web3(HTTPProvider(url, request_kwargs={"timeout": NODE_SECONDS}))
        self._account: Any = self._web3.eth.account.from_key(_secret(key_file)) if key_file else None

    def rpc(self, method: str, params: Sequence[Json]) -> Json:
        answer = self._asking(lambda: self._web3.provider.make_request(method, list(params)))  # type: ignore[arg-type]
        if not isinstance(answer, dict) or answer.get("error") is not None:
            raise ChainUnavailable(f"the node at {self._url} answers {method} with an error")
        return answer.get("result")

    def send(self, to: str | None, data: str) -> str:
        return str(self._asking(lambda: self._sent(to, data)))

    def _sent(self, to: str | None, data: str) -> str:
        eth = self._web3.eth
        transaction: dict[str, Any] = {"data": data, "value": 0}
        if to:
            transaction["to"] = self._web3.to_checksum_address(to)
        transaction["from"] = self._account.address if self._account else eth.accounts[0]
        # A quarter more than estimated: another transaction may come between, and what is not used is not paid.
        transaction["gas"] = eth.estimate_gas(transaction) * 5 // 4  # type: ignore[arg-type]
        transaction["gasPrice"] = eth.gas_price  # understood by every chain, also by those from before EIP-1559
        if self._account:
            transaction["nonce"] = eth.get_transaction_count(transaction["from"], "pending")
            transaction["chainId"] = eth.chain_id
            hash_ = eth.send_raw_transaction(self._account.sign_transaction(transaction).raw_transaction)
        else:
            hash_ = eth.send_transaction(transaction)  # type: ignore[arg-type]
        eth.wait_for_transaction_receipt(hash_, timeout=INCLUSION_SECONDS)
        return f"0x{bytes(hash_).hex()}"

    def _asking(self, ask: Callable[[], Any]) -> Any:
        from requests import RequestException
        from web3.exceptions import ContractLogicError, Web3Exception

        try:
            return ask()
        except ContractLogicError as error:
            raise ChainRefused("the contract refused the transaction; does another account own it?") from error
        except (Web3Exception, RequestException, ValueError, LookupError) as error:
            raise ChainUnavailable(f"the node at {self._url} does not answer as a chain does") from error


def _secret(key_file: Path) -> str:
    try:
        return key_file.read_text().strip()
    except OSError as error:
        raise ChainUnavailable(f"the chain's account key cannot be read from {key_file}") from error
