"""Evidence bundles: a folder that proves to somebody who trusts none of us what happened, and that nothing was changed.

::

    manifest.json            the SHA-256 of every other file, signed by the log's key
    chain.json               the chain record of the checkpoint (may be missing)
    log/checkpoint log/log.vkey log/tile/...      the whole log as static files
    receipts/*.json          receipts
    documents/<type>/*.json  signed documents
    identities/*.json        DID documents of everybody who signed an entry

Every JSON file is canonical, so that not even a space can be added. What is checked, and in which order: `audit.audit`.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from hexi.canonical import Json, digest, digest_bytes, encode
from hexi.keys import SigningKey
from ledger.audit import MANIFEST_TYP, MANIFEST_TYPE, Check, Report, Rpc, audit
from ledger.documents import SignedDocument
from ledger.errors import BundleUnreadable
from ledger.receipts import Receipt

__all__ = ["Check", "Report", "verify_bundle", "write_bundle"]

# A larger file than this is not evidence but an attack on the verifier: a full entry bundle has at most 16 MiB.
MAX_FILE_BYTES = 32 * 1024 * 1024


def write_bundle(
    folder: Path,
    *,
    log_files: Iterable[tuple[str, bytes]],
    receipts: Iterable[Receipt],
    documents: Iterable[SignedDocument],
    identities: Iterable[Json],
    chain_record: Json | None = None,
    key: SigningKey | None = None,
) -> None:
    """Write a bundle into `folder`, which is empty or does not exist. Nothing is verified: verify what was written.

    `log_files` come from `Log.files` or `LedgerClient.files`; `key` is the log's, which signs the manifest. Without
    it the manifest is unsigned, as everybody else's is who makes a bundle from public answers. Raises
    `BundleUnreadable`.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BundleUnreadable(f"{folder} is not empty; a bundle is written into a folder of its own")
    files = {f"log/{path}": content for path, content in log_files}
    for receipt in receipts:
        files[f"receipts/{receipt.index}.json"] = encode(receipt.to_json())
    for document in documents:
        files[f"documents/{document.document['type']}/{_name(document.digest)}"] = encode(document.to_json())
    for identity in identities:
        files[f"identities/{_name(digest(identity))}"] = encode(identity)
    if chain_record is not None:
        files["chain.json"] = encode(chain_record)
    files["manifest.json"] = encode(_manifest(files, key, files["log/log.vkey"].decode().split("+")[0]))
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def verify_bundle(
    folder: Path,
    *,
    chain_url: str | None = None,
    rpc: Rpc | None = None,
    vkey: str | None = None,
) -> Report:
    """What holds in the bundle and what does not; see `audit.audit`. `vkey` pins the log's key.

    `chain_url` (JSON-RPC, such as a space's ``/ledger/chain``), or `rpc` in its place, additionally asks the live
    chain. Raises `BundleUnreadable` only if there is no bundle to look at.
    """
    if not folder.is_dir():
        raise BundleUnreadable(f"{folder} is not a folder")
    if chain_url:
        from ledger.client import rpc_at  # the network's libraries, which an offline check need not wait for

        rpc = rpc_at(chain_url)
    return audit(dict(_files(folder)), rpc=rpc, vkey=vkey)


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise BundleUnreadable(f"{name} is neither a file nor a folder")
        if path.is_file():
            if path.stat().st_size > MAX_FILE_BYTES:
                raise BundleUnreadable(f"{name} is larger than {MAX_FILE_BYTES} bytes")
            yield name, path.read_bytes()


def _manifest(files: Mapping[str, bytes], key: SigningKey | None, kid: str) -> Json:
    content = {"type": MANIFEST_TYPE, "files": {path: digest_bytes(data) for path, data in files.items()}}
    signature = key.sign(content, typ=MANIFEST_TYP, kid=kid) if key else None
    return {**content, "signature": signature}


def _name(of_digest: str) -> str:
    return f"{of_digest.rpartition(':')[2][:32]}.json"
