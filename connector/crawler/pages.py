"""Reading one page of a peer's catalogue, as it came. Pure; nothing of it is believed before it was looked at.

A page is refused as a whole where it is no page of this peer's catalogue at all. A dataset on it that cannot be taken
is left out and counted, so that one bad dataset does not hide the others.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from connector.crawler.datasets import Entry, read_dataset
from connector.crawler.errors import CatalogueUnusable
from connector.protocol.messages import REVISION
from hexi.canonical import Json, parse
from hexi.errors import Malformed

# The longest page read, in bytes: four times our own longest. A page is held in memory whole, a peer at a time.
MAX_PAGE_BYTES = 8 * 1024 * 1024
# The longest address of a next page, in characters: a host, a path and a token that holds a question.
MAX_LINK_CHARACTERS = 8_192

# The longest ETag that is kept, in characters, and what one looks like (RFC 9110, section 8.8.3).
MAX_TAG_CHARACTERS = 1_000
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')

_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_RELATION = re.compile(r""";\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))""", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What a peer answered: its status, the page and the headers that matter. `retry_after` is in seconds."""

    status: int
    content: bytes = b""
    link: str = ""
    tag: str = ""
    retry_after: float = 0.0


@dataclass(frozen=True)
class CataloguePage:
    """A page that can be taken. `next` and `first` are addresses at the same peer, or empty."""

    entries: tuple[Entry, ...]
    next: str = ""
    first: str = ""
    tag: str = ""
    left_out: int = 0
    left_out_why: str = ""

    @property
    def datasets(self) -> int:
        """How many there were on it."""
        return len(self.entries) + self.left_out


def read_page(answer: Answer, asked: str, did: str, address: str) -> CataloguePage:
    """The page that `did`, whose protocol endpoint is `address`, answered at `asked`. Raises `CatalogueUnusable`.

    (1) It is strict JSON, and not nested without end. (2) It is a catalogue, and that of this participant. (3) The
    links lead to the same server and endpoint. (4) Each dataset is taken by itself, or left out.
    """
    try:
        said = parse(answer.content)  # (1)
    except Malformed as error:
        raise CatalogueUnusable(error.detail[:200]) from error
    if not isinstance(said, dict) or said.get("@type") not in {"Catalog", "dcat:Catalog"}:  # (2)
        raise CatalogueUnusable("this is no catalogue: an object of @type Catalog was expected")
    if said.get("participantId") != did:
        raise CatalogueUnusable(f"this is the catalogue of {str(said.get('participantId'))[:200]!r}, not of {did}")
    links = dict(_links(answer.link))
    following, first = (_followed(links.get(name), asked, address) for name in ("next", REVISION))  # (3)
    entries: dict[str, Entry] = {}
    left_out, why = 0, ""
    for dataset in _listed(said.get("dataset", said.get("dcat:dataset"))):  # (4)
        entry = _taken(dataset)
        if isinstance(entry, str):
            left_out, why = left_out + 1, why or entry
        else:
            entries[entry.identifier] = entry
    tag = answer.tag if len(answer.tag) <= MAX_TAG_CHARACTERS and _TAG.fullmatch(answer.tag) else ""
    return CataloguePage(tuple(entries.values()), following, first, tag, left_out, why)


def is_at(link: str, address: str) -> bool:
    """Whether `link` is on the server of `address` and not outside its path: nowhere else do we let a peer send us."""
    try:
        there, here = urlsplit(link), urlsplit(address)
        same = _origin(there) == _origin(here)
    except ValueError:
        return False
    written_out = link.isascii() and link.isprintable() and " " not in link and len(link) <= MAX_LINK_CHARACTERS
    if not (same and written_out) or there.username or there.password or there.fragment:
        return False
    segments = unquote(there.path).split("/")
    below = here.path.rstrip("/")
    return ".." not in segments and (there.path == below or there.path.startswith(f"{below}/"))


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _listed(value: Json) -> list[Json]:
    """The datasets: JSON-LD lets one stand without its brackets, or none at all."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _taken(dataset: Json) -> Entry | str:
    try:
        return read_dataset(dataset)
    except Malformed as error:
        return error.detail[:300]


def _links(header: str) -> Iterator[tuple[str, str]]:
    """The relations and targets of a ``Link`` header (RFC 8288); where one stands twice the last counts."""
    for target, parameters in _LINK.findall(header):
        for quoted, bare in _RELATION.findall(parameters)[:1]:
            for relation in (quoted or bare).lower().split():
                yield relation, target.strip()


def _followed(target: str | None, asked: str, address: str) -> str:
    if target is None:
        return ""
    try:
        link = urljoin(asked, target)
    except ValueError:
        link = ""
    if not is_at(link, address):
        raise CatalogueUnusable("a link leads away from the peer's own endpoint; it is not followed")
    return link
