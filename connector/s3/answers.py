"""What S3-compatible storage answers, as values.

Pure. The XML is a stranger's, so entities are refused (defusedxml) and only the members needed are looked at.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from connector.s3.errors import StorageRefused

_NAMESPACE = re.compile(r"^\{[^}]*\}")
_CODE = re.compile(r"[A-Za-z0-9.]{1,64}")
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


@dataclass(frozen=True)
class Part:
    """One part of an upload that storage holds. `size` in bytes."""

    number: int
    size: int
    etag: str

    @property
    def tells(self) -> bool:
        """Whether the tag is the MD5 of the content; storage that encrypts may answer another one."""
        return _MD5.fullmatch(self.etag) is not None

    def holds(self, content: bytes) -> bool:
        """Whether this is certainly `content`."""
        return len(content) == self.size and self.tells and self.etag.strip('"') == md5(content).hex()


@dataclass(frozen=True)
class ObjectFacts:
    """What storage says of an object. `size` in bytes."""

    size: int
    etag: str


@dataclass(frozen=True)
class Page:
    """A page of the parts of an upload; `following` is the marker of the next one, or None."""

    parts: tuple[Part, ...]
    following: int | None


def md5(content: bytes) -> bytes:
    """The digest that S3 compares and answers: a checksum here, nobody's security rests on it."""
    return hashlib.md5(content, usedforsecurity=False).digest()


def content_md5(content: bytes) -> str:
    """The value of a Content-MD5 header (RFC 1864)."""
    return base64.b64encode(md5(content)).decode("ascii")


def upload_id(answer: bytes) -> str:
    """The id of an upload just begun. Raises `StorageRefused`."""
    return _text(_parsed(answer), "UploadId")


def page_of_parts(answer: bytes) -> Page:
    """A page of ListParts. Raises `StorageRefused`."""
    page = _parsed(answer)
    parts = tuple(_part(item) for item in page if _name(item) == "Part")
    if _text(page, "IsTruncated", "false") != "true":
        return Page(parts, None)
    return Page(parts, _number(_text(page, "NextPartNumberMarker")))


def parts_list(parts: list[Part]) -> bytes:
    """The body that makes one object of `parts`."""
    items = (f"<Part><PartNumber>{p.number}</PartNumber><ETag>{escape(p.etag)}</ETag></Part>" for p in parts)
    return f"<CompleteMultipartUpload>{''.join(items)}</CompleteMultipartUpload>".encode()


def check_completed(answer: bytes) -> None:
    """Raise `StorageRefused` unless it says completed: an error may stand in an answer with status 200."""
    if _name(_parsed(answer)) != "CompleteMultipartUploadResult":
        raise StorageRefused(f"storage did not put the parts together {error_code(answer)}".rstrip())


def error_code(answer: bytes) -> str:
    """The code of an error answer, or an empty string; never its text, which quotes what was signed."""
    try:
        code = _text(_parsed(answer), "Code", "")
    except StorageRefused:
        return ""
    return code if _CODE.fullmatch(code) else ""


def _parsed(answer: bytes) -> Element:
    try:
        root: Element = fromstring(answer)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise StorageRefused("storage answered something that is not the XML of S3") from error
    return root


def _name(item: Element) -> str:
    return _NAMESPACE.sub("", item.tag)


def _text(item: Element, name: str, default: str | None = None) -> str:
    found = next((child.text or "" for child in item if _name(child) == name), default)
    if found is None:
        raise StorageRefused(f"storage answered without {name}")
    return found


def _part(item: Element) -> Part:
    return Part(_number(_text(item, "PartNumber")), _number(_text(item, "Size")), _text(item, "ETag"))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise StorageRefused("storage answered a number that is none")
    return int(text)
