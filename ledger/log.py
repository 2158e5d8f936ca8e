"""The log: entries in, receipts out, in the caller's transaction.

An append takes its place, grows the tiles and signs a checkpoint, or none of it happens. There is no integration delay:
the receipt exists when the transaction commits. Writers queue at one row, so there are no gaps and no doubles.

    log = Log("space.example", key, system_clock)
    with database.transaction() as session:
        receipt = log.append(session, jws, open_entry(jws, resolve))
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from hexi.canonical import Clock, instant
from hexi.keys import SigningKey
from ledger import store, tiles
from ledger.checkpoint import Checkpoint, sign_checkpoint, verifier_key
from ledger.entries import Entry, Kind, read_entry
from ledger.errors import EntryConflict, EntryInvalid, EntryUnknown, ProofInvalid, TileUnknown
from ledger.merkle import HASH_BYTES, Nodes, consistency_proof, inclusion_proof, leaf_hash, root
from ledger.receipts import Receipt
from ledger.tables import EntryRow, HeadRow

# Entries answered at once, at most.
MAX_ENTRIES = 1_000

# Who said it, of which kind, about what: a log holds one entry of each.
_Key = tuple[str, str, str]


@dataclass(frozen=True)
class Logged:
    """An entry and its place in the log."""

    index: int
    entry: Entry
    jws: str


class Log:
    """The log named `origin`, signing with an Ed25519 key."""

    def __init__(self, origin: str, key: SigningKey, clock: Clock) -> None:
        self.vkey = verifier_key(origin, key.public)
        self.origin = origin
        self._key = key
        self.clock = clock

    def append(self, session: Session, jws: str, entry: Entry) -> Receipt:
        """Log `entry`, which `open_entry` read from `jws`. The same entry again gives the same receipt.

        Raises `EntryConflict` if the issuer said something else about this subject before.
        """
        return self.append_all(session, [(jws, entry)])[0]

    def append_all(self, session: Session, sealed: Sequence[tuple[str, Entry]]) -> list[Receipt]:
        """Log several entries at the price of one: one lock, one checkpoint. All of them, or it raises."""
        receipts = []
        for outcome in self.append_each(session, sealed):
            if not isinstance(outcome, Receipt):
                raise outcome
            receipts.append(outcome)
        return receipts

    def append_each(
        self, session: Session, sealed: Sequence[tuple[str, Entry]]
    ) -> list[Receipt | EntryConflict | EntryInvalid]:
        """The same, but each by itself: in the place of a receipt stands why that entry was not taken."""
        head = store.lock_head(session)
        keys = {(entry.issuer, entry.kind.value, entry.subject) for _, entry in sealed}
        known = {(row.issuer, row.kind, row.subject): row for row in store.entries_by(session, keys)}
        fresh: dict[_Key, EntryRow] = {}
        places: list[int | EntryConflict | EntryInvalid] = []
        for jws, entry in sealed:
            try:
                places.append(self._place(jws, entry, known, fresh, head.size))
            except (EntryConflict, EntryInvalid) as error:
                places.append(error)
        nodes = self._grow(session, head, list(fresh.values())) if fresh else self._nodes(session)
        return [
            self._receipt(session, place, place + 1, nodes) if isinstance(place, int) else place for place in places
        ]

    def receipt(self, session: Session, index: int, size: int | None = None) -> Receipt:
        """The receipt of the entry at `index`: by default the one its append gave, or against a later tree of `size`.

        Raises `EntryUnknown`, or `ProofInvalid` for a tree without the entry.
        """
        return self._receipt(session, index, index + 1 if size is None else self._within(session, size))

    def size(self, session: Session) -> int:
        """How many entries there are."""
        return store.head(session).size

    def checkpoint(self, session: Session, size: int | None = None) -> str:
        """The signed note over the whole log, or over its first `size` entries: the same bytes as at that time."""
        head = store.head(session)
        if size is None:
            return head.checkpoint or self._sign(0, self._nodes(session))
        return self._sign(self._within(session, size), self._nodes(session))

    def consistency(self, session: Session, first: int, second: int) -> tuple[bytes, ...]:
        """The proof that the log of `second` entries begins with that of `first`. Raises `ProofInvalid`."""
        return consistency_proof(first, self._within(session, second), self._nodes(session))

    def operator(self, session: Session) -> str | None:
        """Who issued the first entry: by rule the operator, registering itself. None while the log is empty."""
        row = store.entry(session, 0)
        return row.issuer if row else None

    def entries(
        self, session: Session, *, kind: Kind | None = None, after: int = -1, limit: int = MAX_ENTRIES
    ) -> list[Logged]:
        """Entries in order, those after index `after`; at most `MAX_ENTRIES` at once."""
        rows = store.entries(session, kind.value if kind else None, after, max(0, min(limit, MAX_ENTRIES)))
        return [_logged(row) for row in rows]

    def entry(self, session: Session, index: int) -> Logged:
        """The entry at `index`. Raises `EntryUnknown`."""
        if row := store.entry(session, index):
            return _logged(row)
        raise EntryUnknown(f"the log has no entry {index}")

    def find(self, session: Session, kind: Kind, subject: str, issuer: str | None = None) -> Logged | None:
        """The first entry of `kind` about `subject`; name the `issuer` where others could say the same."""
        row = store.first_about(session, kind.value, subject, issuer)
        return _logged(row) if row else None

    def tile(self, session: Session, path: str) -> bytes:
        """The bytes served at `path`: any tile or entry bundle of any size the log ever had. Raises `TileUnknown`."""
        tile = tiles.parse_path(path)
        if tile.level == tiles.ENTRIES:
            found = store.jws_between(session, tile.index * tiles.WIDTH, tile.width)
            complete, data = len(found) == tile.width, tiles.encode_bundle([jws.encode() for jws in found])
        else:
            stored = store.tile(session, tile.level, tile.index) or b""
            data = stored[: tile.width * HASH_BYTES]
            complete = len(data) == tile.width * HASH_BYTES
        if not complete:
            raise TileUnknown(f"the log has not grown to {path} yet")
        return data

    def files(self, session: Session, size: int | None = None) -> Iterator[tuple[str, bytes]]:
        """The whole log as static files, path and content; the checkpoint last, so that it never promises too much."""
        size = self.size(session) if size is None else self._within(session, size)
        yield "log.vkey", f"{self.vkey}\n".encode()
        for tile in (*tiles.entry_bundles(size), *tiles.hash_tiles(size)):
            yield tile.path, self.tile(session, tile.path)
        yield "checkpoint", self.checkpoint(session, size).encode()

    def _place(
        self, jws: str, entry: Entry, known: dict[_Key, EntryRow], fresh: dict[_Key, EntryRow], size: int
    ) -> int:
        """The index for `entry`: the one it has, or the next, in which case its row is put into `fresh` and `known`."""
        if read_entry(jws) != entry:
            raise EntryInvalid("the entry is not the one in the JWS")
        key = (entry.issuer, entry.kind.value, entry.subject)
        there = known.get(key)
        if there is None:
            index = size + len(fresh)
            logged = instant(self.clock())
            known[key] = fresh[key] = EntryRow(
                index=index, issuer=key[0], kind=key[1], subject=key[2], digest=entry.digest, jws=jws, logged=logged
            )
            return index
        if there.digest != entry.digest:
            raise EntryConflict(f"entry {there.index} says {entry.kind} about {entry.subject} with another digest")
        return there.index

    def _grow(self, session: Session, head: HeadRow, rows: list[EntryRow]) -> Nodes:
        store.add_entries(session, rows)
        known = store.tiles(session, tiles.edge(head.size))
        grown = tiles.extend(
            {place: row.hashes for place, row in known.items()},
            head.size,
            [leaf_hash(row.jws.encode()) for row in rows],
        )
        store.save_tiles(session, known, grown)
        size = head.size + len(rows)
        nodes = self._nodes(session, {place: row.hashes for place, row in known.items()} | grown)
        store.save_head(session, head, size, self._sign(size, nodes))
        return nodes

    def _receipt(self, session: Session, index: int, size: int, nodes: Nodes | None = None) -> Receipt:
        row = store.entry(session, index)
        if row is None:
            raise EntryUnknown(f"the log has no entry {index}")
        nodes = nodes or self._nodes(session)
        return Receipt(index, row.jws, inclusion_proof(index, size, nodes), self._sign(size, nodes))

    def _sign(self, size: int, nodes: Nodes) -> str:
        return sign_checkpoint(Checkpoint(self.origin, size, root(size, nodes)), self._key)

    def _within(self, session: Session, size: int) -> int:
        if not 0 <= size <= self.size(session):
            raise ProofInvalid(f"the log has not grown to {size} entries yet")
        return size

    def _nodes(self, session: Session, known: dict[tiles.Place, bytes] | None = None) -> Nodes:
        """The tree in the tiles as they are now, each read once, and those `known` already not at all."""
        seen = dict(known or {})

        def read(level: int, index: int) -> bytes:
            if (level, index) not in seen:
                seen[level, index] = store.tile(session, level, index) or b""
            return seen[level, index]

        return tiles.nodes_in(read)


def _logged(row: EntryRow) -> Logged:
    return Logged(row.index, read_entry(row.jws), row.jws)
