"""What does a page of a catalogue cost, however many products there are and however far out it lies? Against EDC's.

    python -m benchmarks.catalogue             at 1,000, 10,000 and 100,000 products
    python -m benchmarks.catalogue --quick     at 1,000 and 10,000, ours alone

A page of 50 is asked for through the consumer's management API, which asks the provider over the Dataspace Protocol:
the same road for ours and for Eclipse EDC, both on PostgreSQL. All but the first product are copies of it, made by the
database in the tables that catalogues are read from (ours: the index; EDC: its assets), with identifiers of their own.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.machine import description
from benchmarks.peers import Connection
from benchmarks.peers.edc import ASSET, edc_pair
from benchmarks.peers.ours import our_pair

PAGE = 50
SIZES = (1_000, 10_000, 100_000)
ROUNDS, EDC_ROUNDS = 200, 12
# The pause after the table has grown, in seconds: the database looks through what is new in it.
SETTLE = 3.0
GOAL_MILLISECONDS = 20.0

# What a page costs ours must not hang on who asks: everybody may see the copies, as the product they are copies of.
_OURS = """
    INSERT INTO connector_catalogue
        (identifier, version, terms, audience, provider, theme, region, title_zh, title_en, words, dataset)
    SELECT name, version, terms, audience, provider, theme, region, title_zh, title_en,
        replace(words, lower(%(old)s::text), lower(name)), replace(dataset, %(old)s::text, name)
    FROM connector_catalogue,
        (SELECT %(old)s::text || '-' || n AS name FROM generate_series(%(first)s::int, %(last)s::int) AS n) AS made
    WHERE identifier = %(old)s::text
"""
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

        def grow(first: int, last: int) -> None:
            _execute(pair.databases["provider"], _OURS, pair.product, first, last, "connector_catalogue")

        yield Catalogue(pair.name, grow, page)


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
    quick = parser.parse_args().quick
    sizes = SIZES[:2] if quick else SIZES
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
    return worst


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
