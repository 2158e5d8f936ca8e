"""What does it cost to keep a copy of a peer's catalogue: at first, when nothing has changed, and when little has?

    python -m benchmarks.crawl             a peer with 100,000 datasets
    python -m benchmarks.crawl --quick     10,000

Two connectors of ours as processes, both on PostgreSQL with durable commits; the consumer's own worker crawls. All but
the first dataset are copies of it, made by the database in the table that the catalogue is read from. Beside the crawl,
in the same run, the limit that it is measured by: the same pages fetched by a client that throws them away.
"""

import argparse
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

from benchmarks.catalogue import grow_ours
from benchmarks.machine import cpu_seconds, description, peak_megabytes, resident_megabytes
from benchmarks.peers.ours import OurPair, our_pair
from connector.client import ConnectorClient
from connector.crawler.steps import Question
from connector.management.membership import CREDENTIAL_FILE
from connector.protocol.messages import PATH
from hexi.canonical import encode, system_clock
from registry.identity import Identity, did_web
from registry.presentation import present

DATASETS, QUICK = 100_000, 10_000
CHANGES = 100
# How often the state of the crawl is looked at, in seconds: the error of the figures.
LOOK_SECONDS = 0.5
# Nobody waits for longer than this, in seconds.
PATIENCE_SECONDS = 1_800.0

_CHANGE = """
    UPDATE connector_catalogue SET dataset = replace(dataset, '"Dataset"', '"Dataset","urn:changed":true')
    WHERE identifier IN (SELECT identifier FROM connector_catalogue ORDER BY md5(identifier) LIMIT %(changes)s)
"""
_REVISE = "UPDATE connector_catalogue_revision SET value = value + 1"


@dataclass(frozen=True)
class Cost:
    """What one crawl cost: seconds, requests to the provider, CPU seconds of either end, and the consumer's memory."""

    seconds: float
    requests: int
    consumer_cpu: float
    provider_cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} datasets")
    datasets = QUICK if parser.parse_args().quick else DATASETS
    print(description())
    with tempfile.TemporaryDirectory() as folder, our_pair(Path(folder)) as pair, crawling(pair) as crawl:
        grow_ours(pair, 1, datasets - 1)
        idle = resident_megabytes(pair.ends["consumer"])
        bare = fetched(pair, Path(folder))
        print(f"\n| {datasets:,} datasets | seconds | requests | consumer, CPU s | provider, CPU s |")
        print("|---|---:|---:|---:|---:|")
        _print("the pages alone, thrown away", bare)
        first = crawl("first")
        _print("crawled the first time", first)
        _print("again, unchanged", crawl("unchanged"))
        changed(pair)
        _print(f"again, {CHANGES} changed", crawl("changed"))
        peak = peak_megabytes(pair.ends["consumer"])
        print(f"\nthe crawl takes {first.seconds / bare.seconds:.1f} times as long as the pages alone")
        print(f"the consumer held {idle:.0f} MB before, and {peak:.0f} MB at most")


@contextmanager
def crawling(pair: OurPair) -> Iterator[Callable[[str], Cost]]:
    """A function that has the consumer crawl the provider once, and checks what came of it."""
    client, provider = ConnectorClient(pair.consumer.url, pair.token), did_web(pair.provider.url)

    def crawl(what: str) -> Cost:
        checked = None if what == "first" else client.federated.peer(provider).checked
        with measured(pair) as cost:
            client.federated.add(provider) if what == "first" else client.federated.crawl(provider)
            until = time.monotonic() + PATIENCE_SECONDS
            while (seen := client.federated.peer(provider)).checked == checked or seen.state != "idle":
                assert time.monotonic() < until, seen
                assert seen.failures == 0, seen
                time.sleep(LOOK_SECONDS)
        there = pair.query("provider", "SELECT count(*) FROM connector_catalogue")[0][0]
        same = pair.query(
            "provider", "SELECT md5(string_agg(identifier, ',' ORDER BY identifier)) FROM connector_catalogue"
        )
        copied = pair.query(
            "consumer", "SELECT md5(string_agg(identifier, ',' ORDER BY identifier)) FROM connector_crawled"
        )
        assert (seen.datasets, copied) == (there, same), f"{what}: {seen.datasets} of {there} datasets"
        if what == "changed":
            marked = "SELECT count(*) FROM connector_crawled_content WHERE dataset LIKE '%urn:changed%'"
            assert pair.query("consumer", marked)[0][0] == CHANGES
        return cost[0]

    yield crawl
    client.close()


def fetched(pair: OurPair, folder: Path) -> Cost:
    """The same pages, fetched with the consumer's identity by this process."""
    did, provider = did_web(pair.consumer.url), did_web(pair.provider.url)
    identity = Identity.load(folder / "consumer", did)
    credential = (folder / "consumer" / CREDENTIAL_FILE).read_text(encoding="utf-8")
    asked = Question(f"{pair.provider.url}{PATH}/catalog/request", posted=True, opening=True)
    with measured(pair) as cost, httpx.Client(timeout=60) as http:
        url, body = asked.url, encode(asked.body)
        while url:
            headers = {"Authorization": present(identity, provider, credential, system_clock)}
            answer = http.request("POST" if body else "GET", url, content=body, headers=headers).raise_for_status()
            url, body = answer.links.get("next", {}).get("url", ""), b""
    return cost[0]


def changed(pair: OurPair) -> None:
    """Change some datasets of the provider, scattered over its catalogue."""
    with psycopg.connect(pair.databases["provider"], autocommit=True) as connection:
        connection.execute(_CHANGE.encode(), {"changes": CHANGES})
        connection.execute(_REVISE.encode())


@contextmanager
def measured(pair: OurPair) -> Iterator[list[Cost]]:
    """What happens meanwhile costs so much."""
    ends, cost = pair.ends, list[Cost]()
    asked, used = requests(pair), {name: cpu_seconds(pid) for name, pid in ends.items()}
    begun = time.monotonic()
    yield cost
    seconds = time.monotonic() - begun
    spent = {name: cpu_seconds(pid) - used[name] for name, pid in ends.items()}
    cost.append(Cost(seconds, requests(pair) - asked, spent["consumer"], spent["provider"]))


def requests(pair: OurPair) -> int:
    """How often the provider's catalogue was asked for, as its metrics have it."""
    with urllib.request.urlopen(f"{pair.provider.url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    counted = (line for line in lines if line.startswith("hexi_requests_total") and "/catalog/request" in line)
    return sum(int(float(line.rpartition(" ")[2])) for line in counted)


def _print(what: str, cost: Cost) -> None:
    figures = f"{cost.seconds:.1f} | {cost.requests} | {cost.consumer_cpu:.1f} | {cost.provider_cpu:.1f}"
    print(f"| {what} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
