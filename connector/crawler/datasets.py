"""What is found of a peer's dataset. Pure.

A dataset is kept as the peer wrote it, for what is agreed on must be asked for byte for byte; beside it stand the few
things that it is found by, cleaned: titles and keywords are text of somebody else's, and people's screens are not
theirs to write on.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hexi.canonical import Json, digest_bytes, encode
from hexi.errors import Malformed
from registry.words import fold

# The longest dataset kept, in bytes of canonical JSON: one of ours with ten offers has 5,000.
MAX_DATASET_BYTES = 64 * 1024
# How deep it may be nested: terms with constraints in constraints come to 15.
MAX_DATASET_DEPTH = 32
# The longest identifier, in characters: Eclipse EDC's and ours have under 100; an index holds no more than 2,700 bytes.
MAX_ID_CHARACTERS = 500
# The longest title shown, keyword or theme looked for, in characters; how many keywords; how much text is searched.
MAX_TITLE_CHARACTERS, MAX_KEYWORD_CHARACTERS, MAX_KEYWORDS, MAX_WORDS_CHARACTERS = 300, 100, 50, 4_000

# Eclipse EDC ends the identifier of an offer with a random part, new in every answer; its first two parts say which.
_RANDOM_PART = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_UUID = re.compile(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Entry:
    """A dataset as it is kept. `digest` changes when the peer changes it. `names` are its first two titles, folded."""

    identifier: str
    digest: str
    title: str
    names: tuple[str, str]
    theme: str
    keywords: tuple[str, ...]
    words: str
    dataset: str


def read_dataset(value: Json) -> Entry:
    """The dataset that a catalogue has in `value`. Raises `Malformed`, with what is wrong, for what is not taken."""
    if not isinstance(value, dict):
        raise Malformed("a dataset is an object")
    identifier = value.get("@id")
    named = isinstance(identifier, str) and 0 < len(identifier) <= MAX_ID_CHARACTERS
    if not isinstance(identifier, str) or not named or _plain(identifier) != identifier:
        raise Malformed(f"a dataset has an @id of 1 to {MAX_ID_CHARACTERS} characters, all of them printable")
    if _is_deeper(value, MAX_DATASET_DEPTH):
        raise Malformed(f"{identifier} is nested more than {MAX_DATASET_DEPTH} deep")
    written = encode(value)
    if len(written) > MAX_DATASET_BYTES:
        raise Malformed(f"{identifier} is longer than {MAX_DATASET_BYTES} bytes")
    lasting = _without_random_parts(value)
    said = {_local(name): item for name, item in value.items()}
    titled = said.get("title", said.get("name"))
    titles = list(dict.fromkeys(_plain(text)[:MAX_TITLE_CHARACTERS] for text in _texts(titled)))
    keywords = [_plain(text)[:MAX_KEYWORD_CHARACTERS] for text in _texts(said.get("keyword"))][:MAX_KEYWORDS]
    themes = [_plain(text)[:MAX_KEYWORD_CHARACTERS] for text in _texts(said.get("theme"))]
    words = [*titles, *(_plain(text) for text in _texts(said.get("description"))), *keywords, identifier]
    names = [fold(title)[:MAX_TITLE_CHARACTERS] for title in titles[:2]]
    return Entry(
        identifier,
        digest_bytes(written if lasting is value else encode(lasting)),
        " / ".join(titles[:2]) or identifier,
        (names[0] if names else "", names[1] if len(names) > 1 else ""),
        themes[0] if themes else "",
        # Cut once more: one character folds into eighteen at worst, and an index takes no longer ones.
        tuple(dict.fromkeys(fold(keyword)[:MAX_KEYWORD_CHARACTERS] for keyword in keywords if keyword)),
        fold("\n".join(words))[:MAX_WORDS_CHARACTERS],
        written.decode(),
    )


def _texts(value: Json) -> Iterator[str]:
    """The texts in `value`, whatever language each is said to be in."""
    for item in value if isinstance(value, list) else [value]:
        text = item.get("@value", item.get("@id")) if isinstance(item, dict) else item
        if isinstance(text, str) and _plain(text):
            yield text


def _plain(text: str) -> str:
    """`text` on one line, without what is not printed: control characters, changes of direction, halves of pairs."""
    if text.isprintable():  # as nearly all are; spaces of other widths are not
        return " ".join(text.split())
    kept = (" " if one.isspace() else one for one in text if one.isspace() or unicodedata.category(one)[0] != "C")
    return " ".join("".join(kept).split())


def _without_random_parts(dataset: dict[str, Any]) -> dict[str, Any]:
    """`dataset` as far as it says something: itself, where nothing in it is made up anew for each answer."""
    lasting = dataset
    for member, settled in (("hasPolicy", _with_lasting_id), ("distribution", _with_nameless_service)):
        said = dataset.get(member)
        parts = said if isinstance(said, list) else [said]
        kept = [settled(part) if isinstance(part, dict) else part for part in parts]
        if kept != parts:
            lasting = lasting | {member: kept}
    return lasting


def _with_nameless_service(distribution: dict[str, Any]) -> dict[str, Any]:
    """EDC describes the service with each distribution, under a name that is new each time; its address is not."""
    service = distribution.get("accessService")
    if not isinstance(service, dict) or "endpointURL" not in service:
        return distribution
    return distribution | {"accessService": {name: item for name, item in service.items() if name != "@id"}}


def _with_lasting_id(policy: dict[str, Any]) -> dict[str, Any]:
    identifier = policy.get("@id")
    parts = identifier.split(":") if isinstance(identifier, str) else []
    if len(parts) != 3 or not all(_RANDOM_PART.fullmatch(part) for part in parts):
        return policy
    try:
        random = base64.b64decode(parts[2] + "=" * (-len(parts[2]) % 4), altchars=b"-_" if "_" in parts[2] else None)
    except binascii.Error:
        return policy
    return policy | {"@id": f"{parts[0]}:{parts[1]}"} if _UUID.fullmatch(random) else policy


def _is_deeper(value: Json, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return True


def _children(item: Json) -> list[Json]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []


def _local(name: str) -> str:
    """A name without its namespace."""
    return name.replace("#", "/").replace(":", "/").rsplit("/", 1)[-1]
