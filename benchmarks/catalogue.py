"""What does a page of a catalogue cost, however many products there are and however far out it lies? Against EDC's.

    python -m benchmarks.catalogue             at 1,000, 10,000 and 100,000 products
    python -m benchmarks.catalogue --quick     at 1,000 and 10,000, ours alone
    python -m benchmarks.catalogue --asked     ours alone, at 100,000, with what else can be asked

A page of 50 is asked for through the consumer's management API, which asks the provider over the Dataspace Protocol:
the same road for ours and for Eclipse EDC, both on PostgreSQL. All but the first product are copies of it, made by the
database in the tables that catalogues are read from (ours: the index; EDC: its assets), with identifiers of their own.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import text

from benchmarks.machine import description
from benchmarks.peers import Connection
from benchmarks.peers.edc import ASSET, edc_pair
from benchmarks.peers.ours import OurPair, our_pair
from connector.catalogue.tables import CATALOGUE_GRAMS
from hexi.database import Database
from registry.words import store as word_index

PAGE = 50
SIZES = (1_000, 10_000, 100_000)
ROUNDS, EDC_ROUNDS = 200, 12
# The pause after the table has grown, in seconds: the database looks through what is new in it.
SETTLE = 3.0
GOAL_MILLISECONDS = 20.0

# What a page costs ours must not hang on who asks: everybody may see the copies, as the product they are copies of.
_OURS = """
    INSERT INTO connector_catalogue
        (identifier, identifier_folded, version, terms, audience, provider, theme, region, title_zh, title_en, words,
        dataset)
    SELECT name, lower(name), version, terms, audience, provider, theme, region, title_zh, title_en,
        replace(words, lower(%(old)s::text), lower(name)) || rare, replace(dataset, %(old)s::text, name)
    FROM connector_catalogue,
        (SELECT %(old)s::text || '-' || n AS name, chr(10) || 'kind' || n %% 1000 || 'x' AS rare
        FROM generate_series(%(first)s::int, %(last)s::int) AS n) AS made
    WHERE identifier = %(old)s::text
"""
# What else ours can be asked, at any size: a word that one product in a thousand has, and so on.
_ASKED: dict[str, dict[str, Any]] = {
    "by id, first page": {"sortField": "id"},
    "by id, at 90 %": {"sortField": "id", "offset": 0.9},
    "a word of all": {"filter": [{"operandLeft": "text", "operator": "=", "operandRight": "outpatient"}]},
    "a word of one in a thousand": {"filter": [{"operandLeft": "text", "operator": "=", "operandRight": "kind{}x"}]},
    "a word of none": {"filter": [{"operandLeft": "text", "operator": "=", "operandRight": "zzq{}"}]},
    "a pattern of one id": {"filter": [{"operandLeft": "id", "operator": "like", "operandRight": "%-{}7"}]},
}
_EDC = """
    INSERT INTO edc_asset
    SELECT (jsonb_populate_record(NULL::edc_asset,
        replace(to_jsonb(one)::text, %(old)s::text, %(old)s::text || '-' || n)::jsonb)).*
    FROM edc_asset AS one, generate_series(%(first)s::int, %(last)s::int) AS n
    WHERE one.asset_id = %(old)s::text
"""


@dataclass(frozen=True)
class Catalogue:
    """Somebody's catalogue: how it grows to so many products, and how a page of it is asked for."""

    name: str
    grow: Callable[[int, int], None]
    page: Callable[[int], int]
    ask: Callable[[dict[str, Any]], int] | None = None


@contextmanager
def ours(folder: Path) -> Iterator[Catalogue]:
    """Ours, on PostgreSQL."""
    with our_pair(folder) as pair:
        port = int(pair.consumer.url.rsplit(":", 1)[1])
        http = Connection("127.0.0.1", port, {"Authorization": f"Bearer {pair.token}"})
        provider = _did(pair.provider.url)

        def page(offset: int) -> int:
            wanted = {"counterparty": provider, "filter": {"offset": offset, "limit": PAGE}}
            return len(http.call("POST", "/management/peers/catalogue", wanted)["datasets"])

        def ask(question: dict[str, Any]) -> int:
            wanted = {"counterparty": provider, "filter": question}
            return len(http.call("POST", "/management/peers/catalogue", wanted)["datasets"])

        yield Catalogue(pair.name, partial(grow_ours, pair), page, ask)


def grow_ours(pair: OurPair, first: int, last: int) -> None:
    """Add copies of the one product, so numbered, to our provider's catalogue."""
    _execute(pair.databases["provider"], _OURS, pair.product, first, last, "connector_catalogue")
    _index(pair.databases["provider"])


@contextmanager
def edc(folder: Path) -> Iterator[Catalogue]:
    """Eclipse EDC, on PostgreSQL."""
    with edc_pair(folder, tick_milliseconds=50, on_postgresql=True) as pair:
        client: Any = pair.client()

        def grow(first: int, last: int) -> None:
            _execute(_edc_database(folder, "provider"), _EDC, ASSET, first, last, "edc_asset")

        yield Catalogue(pair.name, grow, client.catalogue_page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="ours alone, up to 10,000 products")
    parser.add_argument("--asked", action="store_true", help="ours alone, at 100,000, with what else can be asked")
    chosen = parser.parse_args()
    quick = chosen.quick or chosen.asked
    sizes = SIZES[2:] if chosen.asked else SIZES[:2] if quick else SIZES
    print(description())
    print("\n| | products | first page p50, ms | p95 | at 90 % p50, ms | p95 |\n|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        worst = _measured(ours, Path(folder) / "ours", sizes, ROUNDS)
        if not quick:
            _measured(edc, Path(folder) / "edc", sizes, EDC_ROUNDS)
    print(f"\ngoal: p95 under {GOAL_MILLISECONDS:.0f} ms at {sizes[-1]:,} products: ", end="")
    print(f"{'reached' if worst < GOAL_MILLISECONDS else 'missed'}, {worst:.1f} ms")


def _measured(opened: Callable[[Path], Any], folder: Path, sizes: tuple[int, ...], rounds: int) -> float:
    """Print a line for each size; the worst p95 at the largest, in milliseconds."""
    worst, there = 0.0, 1
    with opened(folder) as catalogue:
        for size in sizes:
            catalogue.grow(there, size - 1)
            there = size
            time.sleep(SETTLE)
            # Interleaved, so that a busy moment is busy for both.
            times: dict[int, list[float]] = {0: [], int(size * 0.9): []}
            for turn in range(rounds + 2):
                for offset, found in times.items():
                    begun = time.perf_counter()
                    came = catalogue.page(offset)
                    if turn >= 2:
                        found.append((time.perf_counter() - begun) * 1000)
                    assert came == PAGE, f"{came} datasets at {offset} of {size}"
            ends = [value for found in times.values() for value in (statistics.median(found), _p95(found))]
            worst = max(ends[1], ends[3])
            print(f"| {catalogue.name} | {size:,} | " + " | ".join(f"{end:.1f}" for end in ends) + " |", flush=True)
        if catalogue.ask is not None:
            _asked(catalogue.ask, sizes[-1])
    return worst


def _asked(ask: Callable[[dict[str, Any]], int], size: int) -> None:
    """Print a line for each of `_ASKED`: how long it took, and how many datasets came."""
    print(f"\n| asked at {size:,} | p50, ms | p95 | datasets |\n|---|---:|---:|---:|")
    for name, question in _ASKED.items():
        times, came = [], 0
        for turn in range(ROUNDS // 2):
            wanted = json.loads(json.dumps({"limit": PAGE, **question}).replace("{}", str(turn)))
            wanted["offset"] = int(wanted.get("offset", 0) * size)
            begun = time.perf_counter()
            came = ask(wanted)
            times.append((time.perf_counter() - begun) * 1000)
        print(f"| {name} | {statistics.median(times):.1f} | {_p95(times):.1f} | {came} |", flush=True)
    print()


def _index(url: str) -> None:
    """Let the index of words know what the database has copied."""
    database = Database(url)
    missing = text(
        "SELECT sequence, words FROM connector_catalogue"
        " WHERE sequence NOT IN (SELECT position FROM connector_catalogue_grams)"
    )
    with database.engine.begin() as connection:
        found = {row.sequence: row.words for row in connection.execute(missing)}
        word_index.keep(connection, CATALOGUE_GRAMS, found)
    with database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
    database.dispose()


def _p95(found: list[float]) -> float:
    return sorted(found)[int(len(found) * 0.95) - 1]


def _execute(url: str, statement: str, old: str, first: int, last: int, table: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode(), {"old": old, "first": first, "last": last})
        connection.execute(f"VACUUM ANALYZE {table}".encode())


def _edc_database(folder: Path, name: str) -> str:
    """The address of an EDC's database, from its own settings."""
    for file in folder.rglob("*.properties"):
        said = dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines() if "=" in line)
        if name in said.get("edc.participant.id", "") and "edc.datasource.default.url" in said:
            address = said["edc.datasource.default.url"].removeprefix("jdbc:")
            user, password = said["edc.datasource.default.user"], said["edc.datasource.default.password"]
            return address.replace("postgresql://", f"postgresql://{user}:{password}@")
    raise RuntimeError(f"there are no settings of an EDC called {name}")


def _did(url: str) -> str:
    from registry.identity import did_web

    return did_web(url)


if __name__ == "__main__":
    main()
