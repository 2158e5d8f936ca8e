"""The log on both databases: places without gaps, receipts that hold, tiles that are the tree."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from hexi.database import Database
from hexi.errors import DataspaceError
from ledger.checkpoint import open_checkpoint
from ledger.entries import Kind, open_entry
from ledger.errors import EntryConflict, EntryInvalid, EntryUnknown, ProofInvalid, TileUnknown
from ledger.log import Log
from ledger.merkle import EMPTY_ROOT, leaf_hash, nodes_over, root, verify_consistency
from ledger.receipts import Receipt, verify_receipt
from ledger.tiles import decode_bundle, entry_bundles
from tests.ledger.builders import DIGEST, Person, append, fill, new_log, resolver

ALICE, BOB = Person("did:web:alice.example"), Person("did:web:bob.example")
OTHER = "sha256:" + "1" * 64


@pytest.fixture
def ready(database: Database) -> Database:
    database.migrate("ledger")
    database.migrate("ledger")  # twice changes nothing
    return database


def test_an_entry_goes_in_and_its_receipt_holds(ready: Database) -> None:
    log = new_log()
    receipt = append(ready, log, ALICE.seal(Kind.RUN_COMPLETED, "run-1", units=1), ALICE)
    assert receipt.index == 0
    assert verify_receipt(receipt, log.vkey, resolver(ALICE)).subject == "run-1"
    assert Receipt.from_json(receipt.to_json()) == receipt


def test_an_empty_log_has_a_checkpoint_too(ready: Database) -> None:
    log = new_log()
    with ready.reading() as session:
        checkpoint = open_checkpoint(log.checkpoint(session), log.vkey)
        assert (checkpoint.size, checkpoint.root) == (0, EMPTY_ROOT)
        assert log.operator(session) is None
        assert log.entries(session) == []
        with pytest.raises(EntryUnknown):
            log.receipt(session, 0)


def test_the_same_again_is_the_same(ready: Database) -> None:
    log = new_log()
    first = append(ready, log, ALICE.seal(Kind.RUN_COMPLETED, "run-1"), ALICE)
    append(ready, log, ALICE.seal(Kind.RUN_COMPLETED, "run-2"), ALICE)
    # P-256 signatures differ each time; the statement does not.
    assert append(ready, log, ALICE.seal(Kind.RUN_COMPLETED, "run-1"), ALICE) == first
    with pytest.raises(EntryConflict):
        append(ready, log, ALICE.seal(Kind.RUN_COMPLETED, "run-1", OTHER), ALICE)
    # Another issuer, another kind: other statements.
    assert append(ready, log, BOB.seal(Kind.RUN_COMPLETED, "run-1", OTHER), BOB).index == 2
    assert append(ready, log, ALICE.seal(Kind.PERMIT_ISSUED, "run-1", OTHER), ALICE).index == 3
    with ready.reading() as session:
        assert log.size(session) == 4
        assert log.operator(session) == ALICE.did


def test_several_at_once_are_all_or_none(ready: Database) -> None:
    log = new_log()
    pairs = [(jws, open_entry(jws, resolver(ALICE))) for jws in (ALICE.seal(Kind.RUN_COMPLETED, s) for s in "aba")]
    with ready.transaction() as session:
        assert [receipt.index for receipt in log.append_all(session, pairs)] == [0, 1, 0]
    fresh, bad = ALICE.seal(Kind.RUN_COMPLETED, "c"), ALICE.seal(Kind.RUN_COMPLETED, "b", OTHER)
    with pytest.raises(EntryConflict), ready.transaction() as session:
        log.append_all(session, [(jws, open_entry(jws, resolver(ALICE))) for jws in (fresh, bad)])
    with ready.reading() as session:
        assert log.size(session) == 2


def test_an_entry_must_be_the_one_in_its_jws(ready: Database) -> None:
    log, jws = new_log(), ALICE.seal(Kind.RUN_COMPLETED, "run-1")
    entry = open_entry(jws, resolver(ALICE))
    with pytest.raises(EntryInvalid), ready.transaction() as session:
        log.append(session, jws, replace(entry, digest=OTHER))


def test_nothing_is_logged_by_a_transaction_that_fails(ready: Database) -> None:
    log, jws = new_log(), ALICE.seal(Kind.RUN_COMPLETED, "run-1")

    def failing() -> None:
        with ready.transaction() as session:
            log.append(session, jws, open_entry(jws, resolver(ALICE)))
            raise RuntimeError("something else in the same transaction")

    with pytest.raises(RuntimeError):
        failing()
    with ready.reading() as session:
        assert log.size(session) == 0
        with pytest.raises(TileUnknown):
            log.tile(session, "tile/0/000.p/1")


def test_finding_and_listing(ready: Database) -> None:
    log = new_log()
    for subject in ("a", "b", "c"):
        append(ready, log, ALICE.seal(Kind.RUN_COMPLETED, subject), ALICE)
    append(ready, log, BOB.seal(Kind.PERMIT_ISSUED, "a"), BOB)
    with ready.reading() as session:
        assert [e.index for e in log.entries(session)] == [0, 1, 2, 3]
        assert [e.index for e in log.entries(session, after=0, limit=2)] == [1, 2]
        assert [e.entry.subject for e in log.entries(session, kind=Kind.PERMIT_ISSUED)] == ["a"]
        found = log.find(session, Kind.RUN_COMPLETED, "a")
        assert found
        assert (found.index, found.entry.digest) == (0, DIGEST)
        assert log.find(session, Kind.RUN_COMPLETED, "a", BOB.did) is None
        assert log.find(session, Kind.SETTLEMENT_MADE, "a") is None
        assert log.entry(session, 3).entry.issuer == BOB.did
        with pytest.raises(EntryUnknown):
            log.entry(session, 4)


def test_six_hundred_entries_are_one_tree(ready: Database) -> None:
    log = new_log()
    receipts = fill(ready, log, ALICE, 600)
    leaves = [leaf_hash(receipt.entry.encode()) for receipt in receipts]
    with ready.reading() as session:
        files = dict(log.files(session))
        assert list(files)[-1] == "checkpoint"
        checkpoint = open_checkpoint(files["checkpoint"].decode(), log.vkey)
        assert (checkpoint.size, checkpoint.root) == (600, root(600, nodes_over(leaves)))
        served = [e for b in entry_bundles(600) for e in decode_bundle(files[b.path], b.width)]
        assert served == [receipt.entry.encode() for receipt in receipts]
        for index in (0, 1, 255, 256, 511, 599):
            verify_receipt(receipts[index], log.vkey, resolver(ALICE))
            verify_receipt(log.receipt(session, index, 600), log.vkey, resolver(ALICE))
            assert log.receipt(session, index) == receipts[index]
        for first, second in ((1, 600), (256, 257), (300, 512), (600, 600)):
            old, new = (open_checkpoint(log.checkpoint(session, n), log.vkey) for n in (first, second))
            verify_consistency(first, second, old.root, new.root, log.consistency(session, first, second))
        # Every partial tile that was ever promised is still served.
        assert log.tile(session, "tile/0/002.p/5") == files["tile/0/002.p/88"][:160]
        assert log.tile(session, "tile/0/000.p/7") == files["tile/0/000"][:224]


@pytest.mark.parametrize("path", ["tile/0/000.p/3", "tile/0/001", "tile/entries/000.p/3", "tile/1/000.p/1", "tile/x"])
def test_tiles_that_are_not_there_yet(sqlite: Database, path: str) -> None:
    sqlite.migrate("ledger")
    log = new_log()
    fill(sqlite, log, ALICE, 2)
    with sqlite.reading() as session, pytest.raises(TileUnknown):
        log.tile(session, path)


@pytest.mark.parametrize("size", [-1, 3])
def test_sizes_the_log_does_not_have(sqlite: Database, size: int) -> None:
    sqlite.migrate("ledger")
    log = new_log()
    fill(sqlite, log, ALICE, 2)
    with sqlite.reading() as session:
        for ask in (
            lambda: log.checkpoint(session, size),
            lambda: log.receipt(session, 0, size),
            lambda: log.consistency(session, 1, size),
            lambda: list(log.files(session, size)),
        ):
            with pytest.raises(ProofInvalid):
                ask()
        with pytest.raises(ProofInvalid):
            log.receipt(session, 1, 1)


def test_writers_at_the_same_time_leave_no_gap_and_no_double(ready: Database) -> None:
    log = new_log()
    writers, each = 6, 12

    def write(writer: int) -> list[int]:
        # Half of what each says, its neighbour says too: those must meet in one entry.
        subjects = [f"run-{writer // 2 if n % 2 else 100 + writer}-{n}" for n in range(each)]
        return [append(ready, log, ALICE.seal(Kind.RUN_COMPLETED, subject), ALICE).index for subject in subjects]

    with ThreadPoolExecutor(writers) as pool:
        indexes = [index for found in pool.map(write, range(writers)) for index in found]
    distinct = writers * each // 2 + writers // 2 * each // 2
    assert sorted(set(indexes)) == list(range(distinct))
    with ready.reading() as session:
        logged = log.entries(session)
        assert [e.index for e in logged] == list(range(distinct))
        checkpoint = open_checkpoint(log.checkpoint(session), log.vkey)
        leaves = [leaf_hash(e.jws.encode()) for e in logged]
        assert (checkpoint.size, checkpoint.root) == (distinct, root(distinct, nodes_over(leaves)))


@pytest.mark.parametrize(
    "spoil",
    {
        "another place": lambda r, log: replace(r, index=1),
        "another entry": lambda r, log: replace(r, entry=ALICE.seal(Kind.RUN_COMPLETED, "run-x")),
        "a step less": lambda r, log: replace(r, inclusion=r.inclusion[1:]),
        "a step changed": lambda r, log: replace(r, inclusion=(bytes(32), *r.inclusion[1:])),
        "another log's checkpoint": lambda r, log: replace(r, checkpoint=log),
    }.values(),
    ids=lambda spoil: "",
)
def test_a_spoiled_receipt_does_not_hold(sqlite: Database, spoil: object) -> None:
    sqlite.migrate("ledger")
    log = new_log()
    receipt = fill(sqlite, log, ALICE, 3)[2]
    stranger = Log("space.example/log", new_log()._key, log.clock)
    with sqlite.reading() as session:
        other = stranger.checkpoint(session, 3)
    verify_receipt(receipt, log.vkey, resolver(ALICE))
    with pytest.raises(DataspaceError):
        verify_receipt(receipt, log.vkey, resolver(BOB))
    with pytest.raises(DataspaceError):
        verify_receipt(spoil(receipt, other), log.vkey, resolver(ALICE))  # type: ignore[operator]


@pytest.mark.parametrize(
    "change",
    [
        {"type": "receipt"},
        {"index": -1},
        {"index": True},
        {"index": "0"},
        {"entry": 7},
        {"checkpoint": None},
        {"inclusion": "AAAA"},
        {"inclusion": [7]},
        {"inclusion": ["*"]},
        {"inclusion": ["AB=="]},
        {"inclusion": ["AAAA"] * 64},
        {"more": 1},
    ],
)
def test_what_is_no_receipt(change: dict[str, object]) -> None:
    good = {"type": "ledger-receipt", "index": 0, "entry": "", "inclusion": [], "checkpoint": ""}
    assert Receipt.from_json(good).index == 0
    with pytest.raises(DataspaceError):
        Receipt.from_json(good | change)
