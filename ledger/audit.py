"""Auditing: is this evidence whole, and does each piece hold? Pure; `bundle` reads the files.

Checked from the log's key outwards. Nothing here raises for what a file says: it is reported, check by check, with the
kind of artefact that does not hold.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from hexi.canonical import Json, digest, digest_bytes, encode, parse
from hexi.errors import DataspaceError
from hexi.keys import VerifyingKey, unb64url, verify
from ledger import tiles
from ledger.chain_record import ChainRecord, call_data, verify_chain_record
from ledger.checkpoint import Checkpoint, open_checkpoint, read_verifier_key
from ledger.documents import SignedDocument, verify_document
from ledger.entries import Entry, Kind, check_issuer, open_entry, read_entry, signer_of
from ledger.errors import EvidenceInvalid
from ledger.merkle import EMPTY_ROOT, Nodes, leaf_hash, nodes_over, root
from ledger.receipts import Receipt, verify_receipt

MANIFEST_TYPE = "bundle-manifest"
MANIFEST_TYP = "hexi-bundle-manifest+jws"

# Which entry makes a document evidence.
ENTRY_KINDS: Mapping[str, Kind] = {
    "data-product": Kind.PRODUCT_PUBLISHED,
    "rights-certificate": Kind.RIGHTS_REGISTERED,
    "agreement": Kind.AGREEMENT_CONCLUDED,
    "run-receipt": Kind.RUN_COMPLETED,
    "aggregation-receipt": Kind.AGGREGATION_COMPLETED,
    "statement": Kind.STATEMENT_ISSUED,
}

# What a check is about, with its Chinese name.
NAMES: Mapping[str, str] = {
    "vkey": "日志公钥",
    "checkpoint": "检查点",
    "tile": "默克尔树瓦片",
    "entry": "日志条目",
    "identity": "身份文档",
    "receipt": "回执",
    "product": "数据产品",
    "certificate": "产权登记证书",
    "agreement": "数字合约",
    "run-receipt": "运行回执",
    "aggregation-receipt": "聚合回执",
    "statement": "结算单",
    "chain record": "链上记录",
    "chain": "区块链",
    "manifest": "清单",
}
_DOCUMENT_NAMES = {"data-product": "product", "rights-certificate": "certificate"}

Rpc = Callable[[str, Sequence[Json]], Json]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `name` is one of `NAMES`; `file` is relative to the bundle."""

    name: str
    file: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Report:
    """Everything that was looked at. The first check that is not ok is about what is broken; later ones may follow."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all of it holds. No checks at all means no."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    def to_json(self) -> Json:
        """For programs."""
        return {
            "ok": self.ok,
            "checks": [{"name": c.name, "file": c.file, "ok": c.ok, "detail": c.detail} for c in self.checks],
        }


def audit(files: Mapping[str, bytes], *, rpc: Rpc | None = None, vkey: str | None = None) -> Report:
    """Check every file of a bundle, by path.

    (1) The log's key can be read and is the one in `vkey`, if that is given. (2) It signed the checkpoint. (3) The
    tiles lead to the checkpoint's root. (4) The entries lead to the tiles. (5) Each identity is one that a
    registration in the log names. (6) Each entry is signed by a registered, unrevoked participant that may say this.
    (7) Each receipt is of this log and its checkpoint one that the log went through. (8) Each document is signed by
    all its parties, and an entry of the right kind, by one of them or the operator, names it. (9) The chain record
    proves that a contract was given this checkpoint. (10) The chain behind `rpc`, if given, has this root in that
    contract. (11) The manifest is signed and names every file and no other. (12) There is no file that none of these
    looked at: it would seem to be verified by standing among those that were.

    Without `vkey` the bundle vouches for itself: it is whole, but it may be of another log than you think. What no
    check can show: that what the parties signed is true.
    """
    return _Audit(files, vkey, rpc).run()


def ask_chain(rpc: Rpc, record: ChainRecord) -> str:
    """What the live chain says about `record`; raises `EvidenceInvalid` if it is not what the record says.

    The root is what counts. The block may have gone where a chain forgets at exit and was written anew from the log.
    """
    call = {"to": record.contract, "data": call_data("root_of(uint256)", record.size)}
    chain_id, answer = rpc("eth_chainId", []), rpc("eth_call", [call, "latest"])
    if chain_id != hex(record.chain_id):
        raise EvidenceInvalid(f"this is the chain {chain_id}, the record is of chain {hex(record.chain_id)}")
    if answer != f"0x{record.root.hex()}":
        raise EvidenceInvalid(f"the contract on the chain has another root, or none, for {record.size} entries")
    block = rpc("eth_getBlockByNumber", [hex(record.block_number), False])
    if isinstance(block, dict) and block.get("hash") == record.block_hash:
        return f"the contract has this root for {record.size} entries, and the chain this block"
    return f"the contract has this root for {record.size} entries; the block itself is gone (a chain that forgets?)"


# Before the log's own has been read.
_NONE = Checkpoint("", 0, EMPTY_ROOT)


@dataclass
class _Audit:
    """One run. Each step appends what it found; what a later step needs is kept only if it holds."""

    files: Mapping[str, bytes]
    pinned: str | None
    rpc: Rpc | None
    checks: list[Check] = field(default_factory=list)
    vkey: str = ""
    checkpoint: Checkpoint = _NONE
    nodes: Nodes = field(default=nodes_over([]))
    jws: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    keys: dict[str, VerifyingKey] = field(default_factory=dict)
    looked_at: set[str] = field(default_factory=set)

    def run(self) -> Report:
        steps = (self._read_vkey, self._read_checkpoint, self._read_log, self._read_identities, self._check_entries)
        if all(step() for step in steps):
            self._each("receipt", "receipts/", self._check_receipt)
            self._check_documents()
            self._check_chain()
            self._check_nothing_else()
        else:
            self._say("entry", "log", "not everything was checked: what it rests on does not hold")
        self._check_manifest()
        return Report(tuple(self.checks))

    def _read_vkey(self) -> bool:  # (1)
        def look(data: bytes) -> str:
            self.vkey = data.decode("ascii").removesuffix("\n")
            name, _ = read_verifier_key(self.vkey)
            _require(data == f"{self.vkey}\n".encode(), "the key file is one line")
            _require(self.pinned in (None, self.vkey), "this is not the key you gave: the bundle is of another log")
            return f"log {name}" + ("" if self.pinned else "; not compared with a key from elsewhere (--vkey)")

        return self._one("vkey", "log/log.vkey", look)

    def _read_checkpoint(self) -> bool:  # (2)
        def look(data: bytes) -> str:
            self.checkpoint = open_checkpoint(data.decode(), self.vkey)
            return f"{self.checkpoint.size} entries, root {self.checkpoint.root.hex()[:16]}..."

        return self._one("checkpoint", "log/checkpoint", look)

    def _read_log(self) -> bool:  # (3) (4)
        """Both are computed anew. If they disagree, the checkpoint's root says which of them is the log's."""
        size, before = self.checkpoint.size, len(self.checks)
        if size > len(self.files) * tiles.WIDTH:  # before a made-up size makes us count to it
            self._say("entry", "log/tile/entries", f"there are not {size} entries here")
            return False
        bundles = list(tiles.entry_bundles(size))
        self.looked_at.update(f"log/{tile.path}" for tile in (*bundles, *tiles.hash_tiles(size)))
        entries = {bundle: self._bundle(bundle) for bundle in bundles}
        stored = self._stored_leaves(size)
        own = [leaf_hash(entry) for bundle in bundles for entry in entries[bundle]]
        from_tiles = len(stored) == size and self._is_root(stored)
        leaves = stored if from_tiles else own
        if not from_tiles and not (len(own) == size and self._is_root(own)):
            self._say("tile", "log/tile", "neither the tiles nor the entries lead to the checkpoint's root")
            return False
        self._compare_tiles(size, leaves)
        for bundle in bundles:
            start = bundle.index * tiles.WIDTH
            if [leaf_hash(entry) for entry in entries[bundle]] != leaves[start : start + bundle.width]:
                self._say("entry", f"log/{bundle.path}", "the entries are not those in the tree")
        self.jws = [entry.decode("ascii", "replace") for bundle in bundles for entry in entries[bundle]]
        if len(self.checks) > before:
            return False
        self._say("tile", "log/tile", "the tiles lead to the checkpoint's root", ok=True)
        self._say("entry", "log/tile/entries", f"{size} entries are those in the tree", ok=True)
        return True

    def _is_root(self, leaves: list[bytes]) -> bool:
        return root(len(leaves), nodes_over(leaves)) == self.checkpoint.root

    def _bundle(self, bundle: tiles.Tile) -> list[bytes]:
        try:
            return tiles.decode_bundle(self.files.get(f"log/{bundle.path}", b""), bundle.width)
        except DataspaceError:
            return []

    def _stored_leaves(self, size: int) -> list[bytes]:
        level = [tile for tile in tiles.hash_tiles(size) if tile.level == 0]
        return [leaf for tile in level for leaf in tiles.split(self.files.get(f"log/{tile.path}", b""))]

    def _compare_tiles(self, size: int, leaves: list[bytes]) -> None:
        right = tiles.extend({}, 0, leaves)
        self.nodes = tiles.nodes_in(lambda level, index: right.get((level, index), b""))
        for tile in tiles.hash_tiles(size):
            if self.files.get(f"log/{tile.path}") != right[tile.level, tile.index]:
                self._say("tile", f"log/{tile.path}", "the tile is not that of the tree")

    def _read_identities(self) -> bool:  # (5)
        try:
            self.entries = [read_entry(jws) for jws in self.jws]
        except DataspaceError as error:
            self._say("entry", "log/tile/entries", error.detail)
            return False
        registered = {
            entry.facts.get("document"): entry.subject
            for entry in self.entries
            if entry.kind is Kind.PARTICIPANT_REGISTERED
        }

        def look(data: bytes) -> str:
            document = _canonical(data)
            did = registered.get(digest(document))
            _require(did is not None, "no registration in the log names this document")
            _require(isinstance(document, dict) and document.get("id") == did, "the document is of somebody else")
            self.keys.update(_keys(document))
            return str(did)

        return self._each("identity", "identities/", look)

    def _check_entries(self) -> bool:  # (6)
        operator = self.entries[0].issuer if self.entries else None
        members: set[str] = set()
        wrong = 0
        for index, jws in enumerate(self.jws):
            try:
                self._check_entry(jws, operator, members)
            except DataspaceError as error:
                self._say("entry", f"log/tile/entries#{index}", error.detail)
                wrong += 1
        if not wrong:
            self._say("entry", "log/tile/entries", f"signed by {len(self.keys)} registered keys", ok=True)
        return not wrong

    def _check_entry(self, jws: str, operator: str | None, members: set[str]) -> None:
        entry = open_entry(jws, self._resolve)
        check_issuer(entry, operator)
        if entry.kind is Kind.PARTICIPANT_REGISTERED:
            members.add(entry.subject)
        # The first entry passes only if it is the operator's registration of itself.
        _require(entry.issuer in members, f"{entry.issuer} was not registered, or no longer")
        if entry.kind is Kind.PARTICIPANT_REVOKED:
            members.discard(entry.subject)

    def _check_receipt(self, data: bytes) -> str:  # (7)
        receipt = Receipt.from_json(_canonical(data))
        entry = verify_receipt(receipt, self.vkey, self._resolve)
        _require(
            receipt.index < len(self.jws) and receipt.entry == self.jws[receipt.index], "the log has another entry"
        )
        seen = open_checkpoint(receipt.checkpoint, self.vkey)
        _require(
            seen.size <= self.checkpoint.size and root(seen.size, self.nodes) == seen.root,
            f"the log never had this root at {seen.size} entries: it showed two faces",
        )
        return f"entry {receipt.index}: {entry.kind} {entry.subject}"

    def _check_documents(self) -> None:  # (8)
        prefix = "documents/"
        for of_type in sorted({path.split("/")[1] for path in self.files if path.startswith(prefix)}):
            name = _artefact(f"{prefix}{of_type}/")
            self._each(name, f"{prefix}{of_type}/", partial(self._check_document, of_type))

    def _check_document(self, of_type: str, data: bytes) -> str:
        signed = SignedDocument.from_json(_canonical(data))
        _require(of_type in ENTRY_KINDS, f"documents of type {of_type!r} are not evidence")
        document = verify_document(signed, self._resolve, of_type=of_type)
        entitled = {*document["parties"], self.entries[0].issuer}
        for index, entry in enumerate(self.entries):
            if entry.digest == signed.digest and entry.kind is ENTRY_KINDS[of_type] and entry.issuer in entitled:
                return f"entry {index}: {entry.subject}, signed by {len(document['parties'])}"
        raise EvidenceInvalid(f"no {ENTRY_KINDS[of_type]} entry by a party names this document")

    def _check_chain(self) -> None:  # (9) (10)
        records: list[ChainRecord] = []

        def look(data: bytes) -> str:
            record = verify_chain_record(_canonical(data))
            same = (record.size, record.root) == (self.checkpoint.size, self.checkpoint.root)
            _require(same, "the record is of another checkpoint")
            records.append(record)
            return f"block {record.block_number} of chain {record.chain_id}, contract {record.contract}"

        if "chain.json" in self.files:
            self._one("chain record", "chain.json", look)
        if rpc := self.rpc:
            self._one("chain", "chain.json", lambda _: ask_chain(rpc, _first(records)))

    def _check_nothing_else(self) -> None:  # (12)
        for path in sorted(self.files.keys() - self.looked_at - {"manifest.json"}):
            self._say(_artefact(path), path, "no check looks at a file in this place, so it proves nothing")

    def _check_manifest(self) -> None:  # (11)
        listed: dict[str, str] = {}

        def look(data: bytes) -> str:
            manifest = _canonical(data)
            signature = _listed(manifest, listed)
            if signature is None:
                return f"{len(listed)} files; unsigned: whoever made the bundle chose what is in it"
            unb64url(signature.rpartition(".")[2])  # no second spelling of the same signature
            name, key = read_verifier_key(self.vkey)
            signed = verify(signature, typ=MANIFEST_TYP, resolve=lambda _: key)
            _require(signed == {"type": MANIFEST_TYPE, "files": listed}, "the signature is over another manifest")
            return f"{len(listed)} files, signed by {name}"

        self._one("manifest", "manifest.json", look)
        found = {path: digest_bytes(content) for path, content in self.files.items() if path != "manifest.json"}
        for path in sorted(found.keys() | listed.keys()):
            if path not in found:
                self._say(_artefact(path), path, "the manifest names this file, but it is missing")
            elif path not in listed:
                self._say(_artefact(path), path, "the manifest does not name this file")
            elif found[path] != listed[path]:
                self._say(_artefact(path), path, "the file is not the one in the manifest")

    def _resolve(self, kid: str) -> VerifyingKey:
        if kid in self.keys:
            return self.keys[kid]
        raise EvidenceInvalid(f"there is no registered identity here for {signer_of(kid)}")

    def _each(self, name: str, prefix: str, look: Callable[[bytes], str]) -> bool:
        paths = sorted(path for path in self.files if path.startswith(prefix))
        held = [self._one(name, path, look) for path in paths]  # every one is looked at, whatever the others say
        return all(held)

    def _one(self, name: str, path: str, look: Callable[[bytes], str]) -> bool:
        self.looked_at.add(path)
        try:
            detail = look(self.files[path]) if path in self.files else ""
        except DataspaceError as error:
            self._say(name, path, error.detail)
            return False
        except (ValueError, LookupError, TypeError, AttributeError):  # whatever a forged file could still provoke
            self._say(name, path, "the file is not what it should be")
            return False
        self._say(name, path, detail or "the file is missing", ok=bool(detail))
        return bool(detail)

    def _say(self, name: str, path: str, detail: str, *, ok: bool = False) -> None:
        self.checks.append(Check(name, path, ok, detail))


def _canonical(data: bytes) -> Json:
    """The JSON in `data`, which must be canonical: no other bytes say the same."""
    value = parse(data)
    _require(encode(value) == data, "the file is not canonical JSON")
    return value


def _listed(manifest: Json, into: dict[str, str]) -> str | None:
    """Read a manifest: its files into `into`, and its signature."""
    _require(isinstance(manifest, dict) and manifest.keys() == {"type", "files", "signature"}, "this is no manifest")
    _require(manifest["type"] == MANIFEST_TYPE and isinstance(manifest["files"], dict), "this is no manifest")
    signature = manifest["signature"]
    _require(signature is None or isinstance(signature, str), "the signature of the manifest is a JWS")
    into.update(manifest["files"])
    return signature if isinstance(signature, str) else None


def _keys(document: dict[str, Json]) -> dict[str, VerifyingKey]:
    """The keys with which the subject of a DID document makes statements, by full identifier. Raises `KeyUnusable`."""
    did, asserting = document["id"], document.get("assertionMethod")
    methods = document.get("verificationMethod")
    _require(isinstance(asserting, list) and isinstance(methods, list), "the document names no keys")
    by_id = {_absolute(did, m.get("id")): m.get("publicKeyJwk") for m in methods or [] if isinstance(m, dict)}
    wanted = [_absolute(did, kid) for kid in asserting or [] if isinstance(kid, str)]
    return {kid: VerifyingKey.from_jwk(by_id[kid]) for kid in wanted if kid in by_id and signer_of(kid) == did}


def _absolute(did: str, kid: Json) -> str:
    return f"{did}{kid}" if str(kid).startswith("#") else str(kid)


def _artefact(path: str) -> str:
    """What a file in a bundle is, by its place."""
    rules = (
        (r"log/log\.vkey", "vkey"),
        (r"log/checkpoint", "checkpoint"),
        (r"log/tile/entries/.*", "entry"),
        (r"log/tile/.*", "tile"),
        (r"receipts/.*", "receipt"),
        (r"identities/.*", "identity"),
        (r"chain\.json", "chain record"),
    )
    for pattern, name in rules:
        if re.fullmatch(pattern, path):
            return name
    of_type = path.removeprefix("documents/").split("/")[0]
    return _DOCUMENT_NAMES.get(of_type, of_type) if of_type in ENTRY_KINDS else "manifest"


def _first(records: list[ChainRecord]) -> ChainRecord:
    if not records:
        raise EvidenceInvalid("there is no chain record that holds, so there is nothing to ask the chain")
    return records[0]


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise EvidenceInvalid(otherwise)
