"""Sources: where a provider's data lie, behind one small protocol.

A consumer never learns which kind it is, nor where: a data plane asks the source what it holds (`Source.content`) and
reads it from any offset it may be read from (`Source.open`). What a source needs to get in (a password, a key) is read
from a file in the connector's ``secrets`` folder at the moment of use and appears in no listing, log or error.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from hexi.errors import Unavailable

# How much is read, encrypted and written at once, in bytes: large enough that Python's share per chunk is small, small
# enough that a stop is felt within a few milliseconds and memory stays flat.
CHUNK_BYTES = 1024 * 1024


class SourceUnavailable(Unavailable):
    """The data are not where they were, have changed while they were read, or their keeper does not answer."""

    code = "connector.source-unavailable"
    title = "The data cannot be read at their source"


@dataclass(frozen=True)
class Content:
    """What a source holds now. `size` is in bytes.

    `size` None: not known before the end. `digest` (``sha256:...``) None: not known before the end either. `version`
    changes when the bytes do. What `is_resumable` can be opened at an offset other than 0.
    """

    name: str
    media_type: str
    size: int | None = None
    digest: str | None = None
    version: str | None = None

    @property
    def is_resumable(self) -> bool:
        """Whether the rest can be asked for later, in the certainty that it is the rest of the same."""
        return self.size is not None and self.version is not None


Chunks = Iterator[bytes]


class Source(Protocol):
    """Data that can be read."""

    def content(self) -> Content:
        """What is there now; for files it may take as long as reading them once. Raises `SourceUnavailable`."""

    def open(self, content: Content, offset: int = 0) -> AbstractContextManager[Chunks]:
        """The bytes of `content` from `offset` on. Raises `SourceUnavailable`, also half way, if it is not that
        content any more."""
