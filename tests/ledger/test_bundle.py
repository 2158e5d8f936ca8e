"""One changed byte anywhere in a bundle is found, named, and never a stack trace."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hexi.canonical import digest_bytes, encode, parse
from hexi.database import Database
from hexi.keys import SigningKey
from ledger.audit import NAMES, Report
from ledger.bundle import verify_bundle
from ledger.chain import Chain
from ledger.entries import Kind
from ledger.errors import BundleUnreadable
from ledger.log import Log
from tests.builders import SettableClock
from tests.ledger.builders import DIGEST, Person, Space, signed

KINDS = {
    "log/log.vkey": "vkey",
    "log/checkpoint": "checkpoint",
    "log/tile/entries/": "entry",
    "log/tile/": "tile",
    "receipts/": "receipt",
    "identities/": "identity",
    "documents/data-product/": "product",
    "documents/rights-certificate/": "certificate",
    "documents/agreement/": "agreement",
    "documents/run-receipt/": "run-receipt",
    "documents/aggregation-receipt/": "aggregation-receipt",
    "documents/statement/": "statement",
    "chain.json": "chain record",
    "manifest.json": "manifest",
}


def kind_of(path: str) -> str:
    return next(kind for prefix, kind in KINDS.items() if path.startswith(prefix))


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain.in_process()


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('space') / 'test.sqlite'}")
    yield Space.build(database)
    database.dispose()


@pytest.fixture(scope="module")
def whole(space: Space, chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return space.bundle(tmp_path_factory.mktemp("bundle") / "whole", chain)


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def broken(report: Report) -> list[tuple[str, str]]:
    return [(check.name, check.file) for check in report.checks if not check.ok]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_whole_bundle_holds(whole: Path, space: Space, chain: Chain) -> None:
    report = verify_bundle(whole, vkey=space.log.vkey, rpc=chain.rpc)
    assert broken(report) == []
    assert {check.name for check in report.checks} == set(NAMES)


def flips(path: Path, places: set[int], masks: tuple[int, ...] = (0x01, 0x80)) -> Iterator[str]:
    """`path` with one byte changed, again and again; afterwards as it was."""
    content = path.read_bytes()
    for place in sorted(places):
        for mask in masks:
            spoiled = bytearray(content)
            spoiled[place] ^= mask
            path.write_bytes(bytes(spoiled))
            yield f"{path.name}[{place}] ^ {mask}"
    path.write_bytes(content)


def test_every_flipped_byte_is_found_and_named(whole: Path, space: Space) -> None:
    for path in files(whole):
        size = path.stat().st_size
        for where in flips(path, {0, size // 3, size // 2, size - 2, size - 1}):
            found = broken(verify_bundle(whole, vkey=space.log.vkey))
            assert found, where
            assert found[0][0] == kind_of(path.relative_to(whole).as_posix()), f"{where}: {found[0]}"
    assert verify_bundle(whole, vkey=space.log.vkey).ok


@pytest.mark.parametrize("prefix", KINDS)
def test_many_bytes_of_one_file_of_each_kind(whole: Path, prefix: str) -> None:
    """The last ones all: the end of a signature carries bits that decoders like to ignore."""
    path = next(path for path in files(whole) if path.relative_to(whole).as_posix().startswith(prefix))
    size = path.stat().st_size
    for where in flips(path, {*range(0, size, max(1, size // 40)), *range(max(0, size - 8), size)}, (0x01,)):
        found = broken(verify_bundle(whole))
        assert found, where
        assert found[0][0] == kind_of(prefix), f"{where}: {found[0]}"


def test_flipped_bytes_in_a_log_of_two_levels(sqlite: Database, tmp_path: Path) -> None:
    """270 entries: a full tile, partial ones on two levels, and a life in the space after it."""
    tall = Space.build(sqlite, fillers=261)
    folder = tall.bundle(tmp_path / "tall")
    assert verify_bundle(folder).ok
    for path in files(folder / "log" / "tile"):
        name = path.relative_to(folder).as_posix()
        for where in flips(path, {0, path.stat().st_size // 2, path.stat().st_size - 1}, (0x01,)):
            assert broken(verify_bundle(folder))[0] == (kind_of(name), name), where


@pytest.mark.parametrize("prefix", KINDS)
def test_missing_added_renamed_grown_and_emptied_files_are_named(bundle: Path, prefix: str) -> None:
    path = next(p for p in files(bundle) if p.relative_to(bundle).as_posix().startswith(prefix))
    content, kind = path.read_bytes(), kind_of(prefix)

    def found() -> set[str]:
        return {name for name, _ in broken(verify_bundle(bundle))}

    path.unlink()
    assert kind in found(), "missing"
    other = path.with_name("zzz.json")
    other.write_bytes(content)
    assert kind in found(), "renamed"
    path.write_bytes(content)
    assert broken(verify_bundle(bundle)), "added"
    other.unlink()
    for spoiled in (content + b" ", content + b"\n", b"", b"{}", b"\xff" * 40, b"[" * 5000, b'"\\ud800"'):
        path.write_bytes(spoiled)
        assert kind in found(), spoiled[:10]


def test_stray_files_are_named(bundle: Path) -> None:
    for name in ("notes.txt", "log/tile/0/999", "documents/odd/x.json", "receipts/9999.json", "log/.hidden"):
        stray = bundle / name
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_bytes(b"{}")
        assert name in {file for _, file in broken(verify_bundle(bundle))}
        stray.unlink()


def test_a_link_is_no_evidence(bundle: Path) -> None:
    (bundle / "receipts" / "link.json").symlink_to(bundle / "chain.json")
    with pytest.raises(BundleUnreadable, match="neither a file"):
        verify_bundle(bundle)


def test_no_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleUnreadable):
        verify_bundle(tmp_path / "nowhere")
    assert not verify_bundle(tmp_path).ok  # an empty folder is one in which nothing holds


def test_another_log_key_is_refused(whole: Path, space: Space) -> None:
    other = Log("space.example/log", SigningKey.generate("Ed25519"), SettableClock())
    assert broken(verify_bundle(whole, vkey=other.vkey))[0] == ("vkey", "log/log.vkey")
    assert verify_bundle(whole, vkey=space.log.vkey).ok


def test_an_unsigned_manifest_says_so(space: Space, tmp_path: Path) -> None:
    report = verify_bundle(space.bundle(tmp_path / "unsigned", key=None))
    assert report.ok
    assert "unsigned" in next(check.detail for check in report.checks if check.name == "manifest")


def test_a_manifest_signed_by_another_key_is_refused(space: Space, tmp_path: Path) -> None:
    report = verify_bundle(space.bundle(tmp_path / "forged", key=SigningKey.generate("Ed25519")))
    assert broken(report) == [("manifest", "manifest.json")]


def test_a_bundle_needs_a_folder_of_its_own(space: Space, whole: Path) -> None:
    with pytest.raises(BundleUnreadable, match="not empty"):
        space.bundle(whole)


# What an insider with a free hand over the manifest could try: each piece is whole, but does not fit.


def test_a_document_that_the_log_does_not_name(space: Space, tmp_path: Path) -> None:
    stray = signed({"type": "agreement", "id": "agreement-2", "parties": [space.provider.did]}, space.provider)
    assert names(space, tmp_path, documents=[stray]) == {"agreement"}


def test_a_document_in_the_log_by_a_stranger_to_it(space: Space, tmp_path: Path) -> None:
    stray = signed({"type": "run-receipt", "id": "run-z", "parties": [space.provider.did]}, space.provider)
    space.say(space.consumer, Kind.RUN_COMPLETED, "run-z", stray.digest)
    assert names(space, tmp_path, documents=[stray]) == {"run-receipt"}


def test_an_identity_that_nobody_registered(space: Space, tmp_path: Path) -> None:
    stranger = Person("did:web:stranger.example")
    people = [*(person.document for person in space.people), stranger.document]
    assert "identity" in names(space, tmp_path, identities=people)


def test_a_missing_identity(space: Space, tmp_path: Path) -> None:
    assert "entry" in names(space, tmp_path, identities=[space.operator.document])


def test_a_chain_record_of_an_earlier_checkpoint(space: Space, chain: Chain, tmp_path: Path) -> None:
    record = chain.publish_checkpoint(*space.checkpoint())
    space.say(space.provider, Kind.RUN_COMPLETED, "run-later")
    assert names(space, tmp_path, chain_record=record) == {"chain record"}


def test_a_chain_that_knows_another_root(whole: Path, chain: Chain) -> None:
    def lying(method: str, params: Any) -> Any:
        return "0x" + "00" * 32 if method == "eth_call" else chain.rpc(method, params)

    assert broken(verify_bundle(whole, rpc=lying)) == [("chain", "chain.json")]


def test_without_a_chain_record_there_is_nothing_to_ask_the_chain(space: Space, tmp_path: Path, chain: Chain) -> None:
    assert broken(verify_bundle(space.bundle(tmp_path / "b"), rpc=chain.rpc)) == [("chain", "chain.json")]


@pytest.mark.parametrize("who", ["unregistered", "revoked", "not the operator"])
def test_entries_by_who_may_not_issue_them(sqlite: Database, tmp_path: Path, who: str) -> None:
    space = Space.build(sqlite)
    if who == "unregistered":
        stranger = Person("did:web:stranger.example")
        space.say(stranger, Kind.RUN_COMPLETED, "run-x")
    elif who == "revoked":
        space.say(space.operator, Kind.PARTICIPANT_REVOKED, space.consumer.did)
        assert verify_bundle(space.bundle(tmp_path / "before")).ok
        space.say(space.consumer, Kind.PERMIT_ISSUED, "permit-x")
    else:
        space.say(space.provider, Kind.SETTLEMENT_MADE, "settlement-x")
    assert names(space, tmp_path) == {"entry"}


def test_a_log_that_does_not_begin_with_its_operator(sqlite: Database, tmp_path: Path) -> None:
    sqlite.migrate("ledger")
    key = SigningKey.generate("Ed25519")
    space = Space(sqlite, Log("space.example/log", key, SettableClock()), key)
    space.say(space.operator, Kind.PRODUCT_LISTED, "listing-1")
    space.register(space.operator)
    assert names(space, tmp_path, identities=[space.operator.document]) == {"entry"}


def test_a_receipt_from_the_other_face_of_the_log(space: Space, sqlite: Database, tmp_path: Path) -> None:
    """The log's own key signs two histories: a receipt from the one does not pass in a bundle of the other."""
    sqlite.migrate("ledger")
    other = Space(sqlite, space.log, space.key, *space.people)
    other.register(other.operator)
    other.say(other.operator, Kind.PRODUCT_LISTED, "only-here")
    assert names(space, tmp_path, receipts=other.receipts[-1:]) == {"receipt"}


def test_a_made_up_size_does_not_make_us_count(bundle: Path, space: Space) -> None:
    from ledger.checkpoint import Checkpoint, sign_checkpoint

    note = sign_checkpoint(Checkpoint(space.log.origin, 10**17, bytes(32)), space.key)
    (bundle / "log/checkpoint").write_text(note)
    assert broken(verify_bundle(bundle))[0][0] == "entry"


def names(space: Space, tmp_path: Path, **changes: Any) -> set[str]:
    report = verify_bundle(space.bundle(tmp_path / "forged", **changes), vkey=space.log.vkey)
    return {name for name, _ in broken(report)}


def test_the_report_is_json(whole: Path) -> None:
    report = verify_bundle(whole)
    assert parse(encode(report.to_json()))["ok"] is True
    assert Report(()).ok is False
    assert DIGEST.startswith("sha256:")


@pytest.mark.parametrize(
    "path",
    ["documents/agreement.json", "documents.json", "Receipts/9.json", "log/tile/0/000.p/1", "log/checkpoint.old"],
)
def test_a_file_that_no_check_looks_at_is_not_among_those_that_hold(whole: Path, tmp_path: Path, path: str) -> None:
    folder = tmp_path / "stuffed"
    shutil.copytree(whole, folder)
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(b"anything")
    manifest = parse((folder / "manifest.json").read_bytes())
    manifest["files"][path] = digest_bytes(b"anything")
    (folder / "manifest.json").write_bytes(encode({**manifest, "signature": None}))
    report = verify_bundle(folder)
    assert [check.file for check in report.checks if not check.ok] == [path]
