"""A delivery that is interrupted by SIGKILL at the provider and then at the consumer, and must go on where it was.

The tests do this with a small file; ``python -m benchmarks.delivery --kills`` does it with 2 GiB.
"""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.files import FilePair
from connector.management.delivery_answers import Delivery
from examples.longyizhen.scenario import eventually

# How often the part file is looked at, in seconds, and how long it may take to grow so far.
LOOK_SECONDS, PATIENCE_SECONDS = 0.001, 120.0


class WentWrong(Exception):
    """The delivery did not go on as it must, or was over before it could be interrupted."""


@dataclass(frozen=True)
class Interrupted:
    """How it went. `kept`: the bytes that were there after each kill, `seconds` from the request to the end."""

    format: str
    kept: dict[str, int]
    delivery: Delivery
    digest: str
    seconds: float


def interrupt(pair: FilePair, format_: str, target: Path) -> Interrupted:
    """Deliver the pair's file to `target`; kill the provider after a third of it, the consumer after two.

    Raises `WentWrong` if anything of what had arrived was given up, or did not arrive in the end.
    """
    size, begun = pair.file.stat().st_size, time.monotonic()
    transfer = pair.consumer.client.transfer(pair.agreement, format_, to=str(target)).id
    part, kept = target.with_name(target.name + ".part"), {}
    for number, (name, end) in enumerate(pair.ends.items(), 1):
        _grown(part, number * size // 3, at_least=max(kept.values(), default=0))
        end.kill()
        _settled(part)
        kept[name] = part.stat().st_size if part.exists() else size
        if kept[name] >= size:
            raise WentWrong(f"everything had arrived before the {name} was killed; take a larger file")
        end.restart()
    _grown(part, size, at_least=max(kept.values()), or_there=target)
    found = eventually("the delivery", lambda: pair.consumer.client.delivery(transfer), lambda d: d.state != "WAITING")
    eventually("the end", lambda: pair.consumer.client.transfer_status(transfer), lambda t: t.state != "STARTED")
    seconds = time.monotonic() - begun
    for end in pair.ends.values():
        end.note_peak()
    with target.open("rb") as arrived:
        digest = f"sha256:{hashlib.file_digest(arrived, 'sha256').hexdigest()}"
    return Interrupted(format_, kept, found, digest, seconds)


def _grown(part: Path, wanted: int, *, at_least: int, or_there: Path | None = None) -> None:
    """Return once `part` has `wanted` bytes (or has got its name); raise if it was ever smaller than `at_least`."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if or_there is not None and or_there.exists():
            return
        size = part.stat().st_size if part.exists() else None
        if size is not None and size < at_least:
            raise WentWrong(f"{at_least} bytes were there, and only {size} later: it began anew")
        if size is not None and size >= wanted and or_there is None:
            return
        time.sleep(LOOK_SECONDS)
    raise WentWrong(f"the delivery did not get as far as {wanted} bytes in {PATIENCE_SECONDS} s")


def _settled(part: Path) -> None:
    """Wait until what was on its way is written, or the other end knows that nothing comes any more."""
    before = -1
    while part.exists() and part.stat().st_size != before:
        before = part.stat().st_size
        time.sleep(20 * LOOK_SECONDS)
