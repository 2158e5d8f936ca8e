"""How a content's digest and version are written in HTTP fields (RFC 9110, section 8.8.3; RFC 9530). Pure."""

import base64
import hashlib
import re

from connector.sources import Content

_SHA_256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):")


def etag(content: Content) -> str | None:
    """The strong entity tag of `content`, or None where its version is not known. It says nothing of the source."""
    if content.version is None:
        return None
    return f'"{hashlib.sha256(content.version.encode()).hexdigest()}"'


def repr_digest(digest: str) -> str:
    """``sha256:hex`` as a ``Repr-Digest`` field."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(digest.removeprefix('sha256:'))).decode()}:"


def read_repr_digest(field: str) -> str | None:
    """``sha256:hex`` from a ``Repr-Digest`` field, or None if it names no SHA-256."""
    found = _SHA_256.search(field)
    return None if found is None else f"sha256:{base64.b64decode(found[1]).hex()}"
