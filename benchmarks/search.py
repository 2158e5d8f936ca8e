"""What does a search of the space's catalogue cost, whatever is asked and however many products there are?

    python -m benchmarks.search             at 1,000 and 100,000 products
    python -m benchmarks.search --quick     at 10,000

A space of its own on PostgreSQL with durable commits, then on SQLite; each question is asked over HTTP on one
connection, with other words and values every time, so that nobody answers from memory. The products are made up: words
after Zipf's law in Chinese and English, 50 products to a provider, three themes and one region each.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from urllib.parse import urlencode

from sqlalchemy import insert, text

from benchmarks.machine import description
from benchmarks.peers import Connection
from benchmarks.peers.database import database_server
from examples.longyizhen.processes import Services, free_ports
from hexi.canonical import encode
from hexi.database import Database
from registry.codes import Mode, Theme
from registry.search import Place, divisions
from registry.tables import CATALOGUE_GRAMS, CatalogueRow, DivisionRow
from registry.words import fold
from registry.words import store as word_index

SIZES = (1_000, 100_000)
ROUNDS = 100
GOAL_MILLISECONDS = 20.0
PRODUCTS_OF_A_PROVIDER = 50
_BATCH = 5_000
_THEMES = [theme.value for theme in Theme]
_MODES = [mode.value for mode in Mode]


class Vocabulary:
    """Words of two to four Chinese characters, and English ones of two to four syllables, the frequent ones first."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        letters = [chr(code) for code in range(0x4E00, 0x4E00 + 600)]
        syllables = [one + other for one in "bcdfghjklmnprstvw" for other in "aeiou"]
        self.chinese = [
            "".join(self.random.choices(letters, k=self.random.choice((2, 2, 2, 3, 4)))) for _ in range(3000)
        ]
        self.english = ["".join(self.random.choices(syllables, k=self.random.choice((2, 3, 4)))) for _ in range(5000)]
        self._weights = {
            len(words): list(accumulate(1 / (rank + 5) for rank in range(len(words))))
            for words in (self.chinese, self.english)
        }

    def some(self, words: list[str], count: int) -> list[str]:
        return self.random.choices(words, cum_weights=self._weights[len(words)], k=count)


def fill(database: Database, count: int) -> None:
    """Put so many made-up products into the tables that searches read."""
    words = Vocabulary(1)
    providers = [_provider(words, number) for number in range(max(1, count // PRODUCTS_OF_A_PROVIDER))]
    counts: Counter[tuple[str, str, str]] = Counter()
    with database.transaction() as session:
        for first in range(1, count + 1, _BATCH):
            numbers = range(first, min(first + _BATCH, count + 1))
            rows = [_product(words, number, *words.random.choice(providers)) for number in numbers]
            session.execute(insert(CatalogueRow), rows)
            texts = {row["position"]: row["words"] for row in rows}
            word_index.keep(session.connection(), CATALOGUE_GRAMS, texts)
            for row in rows:
                modes = tuple(row["modes"].strip("|").split("|"))
                counts.update(divisions(Place(row["theme"], row["region"], row["provider"], row["personal"], modes)))
        names = {did: name for did, name, *_ in providers}
        session.execute(
            insert(DivisionRow),
            [
                {"within": within, "facet": facet, "value": value, "name": names.get(value, ""), "products": products}
                for (within, facet, value), products in counts.items()
            ],
        )
    if database.is_postgresql:  # as autovacuum does a little later
        with database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))


def _provider(words: Vocabulary, number: int) -> tuple[str, str, str, list[str]]:
    name = {"zh": "".join(words.some(words.chinese, 3)) + "中心", "en": " ".join(words.some(words.english, 3))}
    region = f"{words.random.randrange(11, 66)}{words.random.randrange(1, 15):02}"
    return f"did:web:provider-{number}.example", encode(name).decode(), region, words.random.sample(_THEMES, 3)


def _product(words: Vocabulary, number: int, did: str, name: str, region: str, themes: list[str]) -> dict[str, object]:
    identifier = f"6916200000000000{number:016d}"
    title = {"zh": "".join(words.some(words.chinese, 4)), "en": " ".join(words.some(words.english, 5))}
    description = {"zh": "".join(words.some(words.chinese, 20)), "en": " ".join(words.some(words.english, 25))}
    keywords = words.some(words.chinese, 4)
    summary = {"identifier": identifier, "title": title, "description": description, "keywords": keywords}
    return {
        "position": number,
        "identifier": identifier,
        "provider": did,
        "theme": words.random.choice(themes),
        "region": region,
        "personal": words.random.random() < 0.3,
        "modes": "|".join(["", *words.random.sample(_MODES, words.random.randint(1, 2)), ""]),
        "words": fold("\n".join([*title.values(), *description.values(), *keywords, name, identifier])),
        "summary": encode(summary).decode(),
    }


def questions(count: int) -> dict[str, Callable[[], dict[str, object]]]:
    """What is asked, each time with something else in it."""
    words = Vocabulary(1)
    pick = random.Random(2)

    def word(of: list[str], first: int, last: int) -> str:
        return of[pick.randrange(first, last)]

    return {
        "first page, facets": dict,
        "at 90 %": lambda: {"offset": count * 9 // 10 - pick.randrange(20), "facets": "false"},
        "a broad theme, facets": lambda: {"theme": pick.choice("ABCD") + "0000"},
        "a region, facets": lambda: {"region": f"{pick.randrange(11, 66)}{pick.randrange(1, 15):02}"},
        "theme, mode, no personal data, facets": lambda: {
            "theme": pick.choice("ABCD") + "0000",
            "mode": pick.choice(_MODES),
            "personal": "false",
        },
        "a frequent word, facets": lambda: {"q": word(words.chinese, 0, 20)},
        "a word of one product in a hundred, facets": lambda: {"q": word(words.chinese, 200, 400)},
        "a rare word, facets": lambda: {"q": word(words.chinese, 1500, 3000)},
        "an English word, facets": lambda: {"q": word(words.english, 0, 5000)},
        "two words, facets": lambda: {"q": f"{word(words.chinese, 0, 50)} {word(words.english, 0, 50)}"},
        "a word nobody has, facets": lambda: {"q": f"zzq{pick.randrange(10**6)}"},
        "a frequent word, far out by `after`": lambda: {
            "q": word(words.chinese, 0, 20),
            "after": count // 10 + pick.randrange(20),
            "facets": "false",
        },
    }


@contextmanager
def space(folder: Path, database_url: str) -> Iterator[Connection]:
    """A space as a process of its own, and a connection to it."""
    with Services(folder) as services:
        (port,) = free_ports(1)
        service = services.launch(
            "space",
            ["space", "serve"],
            port=port,
            environment={
                "HEXI_SPACE_HOME": str(folder / "space"),
                "HEXI_SPACE_PORT": str(port),
                "HEXI_SPACE_DATABASE_URL": database_url,
                "HEXI_SPACE_INSECURE_HTTP_DID_WEB": "true",
            },
        )
        service.wait()
        yield Connection("127.0.0.1", port, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="at 10,000 products")
    sizes = (10_000,) if parser.parse_args().quick else SIZES
    print(description())
    print("\n| | products | question | p50, ms | p95 |\n|---|---:|---|---:|---:|")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            there = Path(folder) / f"postgresql-{size}"
            there.mkdir()
            with database_server(there) as (url, _):
                worst = max(worst, _measured("PostgreSQL, durable", there, url.render_as_string(False), size))
            there = Path(folder) / f"sqlite-{size}"
            there.mkdir()
            worst = max(worst, _measured("SQLite", there, f"sqlite:///{there / 'space.sqlite'}", size))
    print(f"\ngoal: p95 under {GOAL_MILLISECONDS:.0f} ms: ", end="")
    print(f"{'reached' if worst < GOAL_MILLISECONDS else 'missed'}, {worst:.1f} ms")


def _measured(name: str, folder: Path, url: str, size: int) -> float:
    """Print a line for each question; the worst p95, in milliseconds."""
    database = Database(url)
    database.migrate("registry")
    fill(database, size)
    database.dispose()
    worst = 0.0
    with space(folder, url) as http:
        for question, ask in questions(size).items():
            times = []
            for turn in range(ROUNDS + 5):
                path = f"/registry/products?{urlencode(ask())}"
                begun = time.perf_counter()
                http.call("GET", path)
                if turn >= 5:
                    times.append((time.perf_counter() - begun) * 1000)
            p95 = sorted(times)[int(len(times) * 0.95) - 1]
            worst = max(worst, p95)
            print(f"| {name} | {size:,} | {question} | {statistics.median(times):.1f} | {p95:.1f} |", flush=True)
    return worst


if __name__ == "__main__":
    main()
