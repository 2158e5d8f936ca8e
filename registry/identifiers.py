"""Unified identifiers (统一目录标识): one code for each connector, product and resource, after the national draft N04.

    >>> check("591620000000000000X621000000001G").kind
    <Kind.CONNECTOR: '5'>
    >>> read("691620000000000000X6210A1B2C3D41.hospital-7").text
    '691620000000000000X6210A1B2C3D41•hospital-7'

A code is 32 characters: kind, owner (18, unified social credit code), place (4, region or industry of the node that
allocates), 8 random, 1 check character (GB/T 17710 = ISO 7064, MOD 37-2). Products and resources may carry an
extension of 1 to 32 characters after U+2022, for identifiers they had before. We are strict about what we issue; a
foreign code is compared as the exact string it is.
"""

import secrets
from dataclasses import dataclass
from enum import StrEnum

from registry.errors import IdentifierCheckDigit, IdentifierMalformed, OwnerCodeInvalid

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# MOD 37-2 has one value more than the alphabet; it is printed as '*' and appears as a check character only.
_CHECK_ALPHABET = ALPHABET + "*"
# GB 32100 leaves out I, O, S, V, Z: they are mistaken for figures.
_OWNER_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"

CODE_LENGTH = 32
OWNER_LENGTH = 18
PLACE_LENGTH = 4
RANDOM_LENGTH = 8
EXTENSION_LENGTH = 32

SEPARATOR = "•"
# Keyboards and URLs have trouble with U+2022; these are read as if it stood there.
SEPARATOR_ALIASES = "·."


class Kind(StrEnum):
    """What an identifier stands for: its first character. Nodes are national, regional, industry and business nodes."""

    NATIONAL_NODE = "1"
    REGIONAL_NODE = "2"
    INDUSTRY_NODE = "3"
    BUSINESS_NODE = "4"
    CONNECTOR = "5"
    PRODUCT = "6"
    RESOURCE = "7"


EXTENSIBLE = frozenset({Kind.PRODUCT, Kind.RESOURCE})


@dataclass(frozen=True)
class Identifier:
    """A unified identifier, taken apart. Two of them are the same exactly when their `text` is."""

    kind: Kind
    owner: str
    place: str
    random: str
    check_character: str
    extension: str = ""

    @property
    def core(self) -> str:
        """The 32 characters without the extension."""
        return f"{self.kind}{self.owner}{self.place}{self.random}{self.check_character}"

    @property
    def text(self) -> str:
        """The whole identifier as it is stored and compared."""
        return f"{self.core}{SEPARATOR}{self.extension}" if self.extension else self.core


def check_character(body: str) -> str:
    """The MOD 37-2 check character of `body`. Raises `IdentifierMalformed` for a character outside 0-9 A-Z."""
    product = 0
    for character in body:
        if character not in ALPHABET:
            raise IdentifierMalformed(f"{character!r} cannot stand in an identifier: 0-9 and A-Z can")
        product = (product + ALPHABET.index(character)) * 2 % 37
    return _CHECK_ALPHABET[(38 - product) % 37]


def read(text: str) -> Identifier:
    """`text` taken apart, its check character NOT looked at: for codes issued by others. Raises `IdentifierMalformed`.

    The separator may be written as any of `SEPARATOR_ALIASES`.
    """
    core, extension = _split(text)
    if len(core) != CODE_LENGTH:
        raise IdentifierMalformed(f"an identifier has {CODE_LENGTH} characters before its extension, not {len(core)}")
    if core[0] not in list(Kind):
        raise IdentifierMalformed(f"{core[0]!r} is no kind of identifier: {', '.join(Kind)} are")
    if not set(core[:-1]) <= set(ALPHABET) or core[-1] not in _CHECK_ALPHABET:
        raise IdentifierMalformed("identifiers are written with 0-9 and A-Z, and perhaps '*' as the check character")
    identifier = Identifier(Kind(core[0]), core[1:19], core[19:23], core[23:31], core[31], extension)
    if extension and identifier.kind not in EXTENSIBLE:
        raise IdentifierMalformed("only products and resources carry an extension")
    return identifier


def check(text: str, kind: Kind | None = None) -> Identifier:
    """`text` taken apart, once its check character holds and it is of `kind`.

    Raises `IdentifierCheckDigit`, `IdentifierMalformed`.
    """
    identifier = read(text)
    expected = check_character(identifier.core[:-1])
    if identifier.check_character != expected:
        raise IdentifierCheckDigit(
            f"the check character of {identifier.core} should be {expected!r}; was the code copied correctly?"
        )
    if kind is not None and identifier.kind is not kind:
        raise IdentifierMalformed(f"an identifier of kind {kind} ({kind.name.lower()}) was expected")
    return identifier


def allocate(kind: Kind, owner: str, place: str) -> Identifier:
    """A fresh identifier for something of `owner`, in `place` (region such as 6210, or 00 and an industry division).

    Raises `OwnerCodeInvalid`, `IdentifierMalformed`. The caller still owes: that nobody has it (36^8 random parts make
    that very likely) and that it never changes once given.
    """
    check_owner_code(owner)
    if len(place) != PLACE_LENGTH or not set(place) <= set("0123456789"):
        raise IdentifierMalformed(f"a place has {PLACE_LENGTH} figures: a region such as 6210, or 00 and an industry")
    random = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
    body = f"{kind}{owner}{place}{random}"
    return Identifier(kind, owner, place, random, check_character(body))


def check_owner_code(code: str, *, strict: bool = False) -> str:
    """`code`, if it can be a unified social credit code (GB 32100). Raises `OwnerCodeInvalid`.

    Without `strict` only length and alphabet count. That is deliberate: the owners in demonstrations and tests are made
    up, and a made-up code should fail the real check, so that it can never be some real company's. An operator that
    admits real organisations sets ``strict_owner_codes``.
    """
    if len(code) != OWNER_LENGTH or not set(code) <= set(ALPHABET):
        raise OwnerCodeInvalid(
            f"a unified social credit code has {OWNER_LENGTH} characters 0-9 A-Z, unlike {code[:40]!r}"
        )
    if strict and (not set(code) <= set(_OWNER_ALPHABET) or code[-1] != owner_check_character(code[:-1])):
        raise OwnerCodeInvalid(f"the check character of the unified social credit code {code} does not hold")
    return code


def owner_check_character(body: str) -> str:
    """The GB 32100 check character of the 17 characters `body`: weights 3^i mod 31, complement to 31."""
    total = sum(_OWNER_ALPHABET.index(character) * pow(3, i, 31) for i, character in enumerate(body))
    return _OWNER_ALPHABET[-total % 31]


def _split(text: str) -> tuple[str, str]:
    for separator in SEPARATOR + SEPARATOR_ALIASES:
        core, found, extension = text.partition(separator)
        if found:
            if not 1 <= len(extension) <= EXTENSION_LENGTH or not extension.isprintable() or "/" in extension:
                raise IdentifierMalformed(f"an extension has 1 to {EXTENSION_LENGTH} printable characters, no '/'")
            return core, extension
    return text, ""
