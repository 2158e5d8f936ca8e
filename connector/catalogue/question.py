"""What may be asked of a connector's catalogue, and the pages it answers in. Pure: `store` turns it into SQL.

The Dataspace Protocol leaves the filter to the implementation. Two forms are read, and whatever neither of them can
say is refused by name, never passed over:

* ours, an object of properties and the values they must have: ``{"theme": "C0000", "keyword": ["门诊", "visits"]}``
* Eclipse EDC's, a QuerySpec: ``{"offset": 0, "limit": 50, "sortField": "id", "filterExpression": [{"operandLeft":
  "name", "operator": "like", "operandRight": "%visits%"}]}``, with full or short names

Either may stand alone or in the array that the specification's schema wants. A page ends with a continuation token
that holds the whole question and where the page ended, so that the next one is found at the same cost wherever it lies.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from connector.catalogue.errors import FilterUnsupported
from hexi.canonical import Json, encode, parse
from hexi.errors import Malformed
from registry.words import fold

# Datasets on a page, unless asked otherwise (as EDC's), and at most: some 2 MB of JSON.
PAGE = 50
MAX_PAGE = 1_000
# A question's parts: each costs a comparison per dataset. Values of one part; characters of a value.
MAX_CRITERIA, MAX_VALUES, MAX_VALUE_CHARACTERS = 10, 100, 200
# Offsets beyond this are no page anybody turns to; follow the links.
MAX_OFFSET = 10_000_000


class Property(StrEnum):
    """What a dataset can be found by. TEXT looks through title, description and keywords."""

    ID = "id"
    TITLE = "title"
    KEYWORD = "keyword"
    THEME = "theme"
    REGION = "region"
    PROVIDER = "provider"
    TEXT = "text"


# Other names for them, as peers write them (without their namespace).
_NAMES: Mapping[str, Property] = {
    **{one.value: one for one in Property},
    "identifier": Property.ID,
    "name": Property.TITLE,
    "keywords": Property.KEYWORD,
    "participantId": Property.PROVIDER,
}


class Match(StrEnum):
    """IS: one of the values. LIKE: a pattern, in which % stands for anything. CONTAINS: every word, wherever."""

    IS = "is"
    LIKE = "like"
    CONTAINS = "contains"


_OPERATORS: Mapping[str, Match] = {
    "=": Match.IS,
    "eq": Match.IS,
    "in": Match.IS,
    "contains": Match.IS,
    "like": Match.LIKE,
    "ilike": Match.LIKE,
}
# The text of a dataset has these in it, each on a line of its own.
_IN_THE_TEXT = frozenset({Property.ID, Property.TITLE})
_PATTERNED = frozenset({Property.ID, Property.TITLE, Property.THEME, Property.REGION})
_ORDERS: Mapping[str, str] = {"id": "id", "identifier": "id"}
_QUERY_SPEC = frozenset({"offset", "limit", "sortField", "sortOrder", "filterExpression", "filter", "range"})


@dataclass(frozen=True)
class Criterion:
    """`property` matches any of `values`."""

    property: Property
    match: Match
    values: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """A question to the catalogue. `after` and `before` are keys in its order: that of publication, or by id."""

    criteria: tuple[Criterion, ...] = ()
    by_id: bool = False
    descending: bool = False
    offset: int = 0
    limit: int = PAGE
    after: str | int | None = None
    before: str | int | None = None


@dataclass(frozen=True)
class Page:
    """Datasets, and the questions whose answers are the pages beside this one.

    `revision` changes whenever the catalogue, as this caller sees it, does; None where nobody keeps count.
    """

    datasets: tuple[dict[str, Json], ...]
    next: Wanted | None = None
    previous: Wanted | None = None
    revision: str | None = None


def read_filter(value: Json) -> Wanted:
    """The question in the `filter` of a CatalogRequestMessage. Raises `FilterUnsupported`."""
    if isinstance(value, list):
        if len(value) > 1:
            raise FilterUnsupported("a filter is one question, not several")
        value = value[0] if value else None
    if value is None:
        return Wanted()
    if not isinstance(value, dict):
        raise FilterUnsupported("a filter is an object of properties and values, or a QuerySpec")
    members = {_local(name): item for name, item in value.items() if not name.startswith("@") or name == "@id"}
    return _query_spec(members) if members.keys() & _QUERY_SPEC else _properties(members)


def page_of(wanted: Wanted, rows: list[tuple[str | int, dict[str, Json]]], revision: str | None = None) -> Page:
    """The page that `rows` are, in the order they were looked for in, one more than its limit if there are more."""
    more, rows = len(rows) > wanted.limit, rows[: wanted.limit]
    backwards = wanted.before is not None
    if backwards:
        rows = rows[::-1]
    if not rows:
        return Page((), revision=revision)
    onward = replace(wanted, offset=0, after=rows[-1][0], before=None)
    back = replace(wanted, offset=0, after=None, before=rows[0][0])
    return Page(
        tuple(dataset for _, dataset in rows),
        next=onward if more or backwards else None,
        previous=back if (more if backwards else wanted.after is not None or wanted.offset > 0) else None,
        revision=revision,
    )


def write_token(wanted: Wanted) -> str:
    """`wanted` as a continuation token."""
    said = {
        "criteria": [[one.property, one.match, list(one.values)] for one in wanted.criteria],
        "byId": wanted.by_id,
        "descending": wanted.descending,
        "offset": wanted.offset,
        "limit": wanted.limit,
        "after": wanted.after,
        "before": wanted.before,
    }
    return base64.urlsafe_b64encode(encode(said)).decode().rstrip("=")


def read_token(token: str) -> Wanted:
    """The question in a continuation token: as little to be believed as any other. Raises `FilterUnsupported`."""
    try:
        said = parse(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        criteria = tuple(
            _criterion(Property(name), Match(match), values) for name, match, values in said["criteria"][:MAX_CRITERIA]
        )
        by_id, edges = bool(said["byId"]), (said["after"], said["before"])
        if not all(edge is None or (_storable(edge) if by_id else _whole(edge)) for edge in edges):
            raise ValueError("an edge of another kind")
        paged = _paged(Wanted(criteria, by_id, bool(said["descending"])), said["offset"], said["limit"])
        return replace(paged, after=edges[0], before=edges[1])
    except (Malformed, binascii.Error, KeyError, TypeError, ValueError) as error:
        raise FilterUnsupported("this continuation token is none of ours; begin with the first page") from error


def pattern(value: str) -> str:
    """`value` as SQL's LIKE with the escape character ``\\`` takes it: % is anything, _ one character, nothing else is
    special. Folded, for patterns ignore the case of letters, whichever property is asked for and in either database.
    """
    return fold(value).replace("\\", "\\\\")


def certain_words(criteria: tuple[Criterion, ...]) -> list[str]:
    """Folded words that the text of every dataset that meets all `criteria` has in it: what an index can find."""
    found = []
    for one in criteria:
        if one.match is Match.CONTAINS:
            found += [word for value in one.values for word in fold(value).split()]
        elif one.match is Match.LIKE and one.property in _IN_THE_TEXT and len(one.values) == 1:
            found += [part for part in re.split(r"[%_\s]+", fold(one.values[0])) if part]
    return found


def _properties(members: Mapping[str, Any]) -> Wanted:
    wanted = tuple(
        _criterion(_property(name), Match.CONTAINS if name == Property.TEXT else Match.IS, value)
        for name, value in members.items()
    )
    return Wanted(_few(wanted))


def _query_spec(members: Mapping[str, Any]) -> Wanted:
    if unknown := sorted(members.keys() - _QUERY_SPEC):
        raise FilterUnsupported(f"a QuerySpec has no {', '.join(unknown)} here; known are {', '.join(_QUERY_SPEC)}")
    expressions = members.get("filterExpression", members.get("filter")) or []
    if not isinstance(expressions, list):
        expressions = [expressions]
    criteria = _few(tuple(_expression(one) for one in expressions))
    by_id = False
    if field := members.get("sortField"):
        if _local(str(field)) not in _ORDERS:
            raise FilterUnsupported(f"the catalogue is sorted by publication or by id, not by {str(field)[:80]}")
        by_id = True
    span = members.get("range")
    limits = {_local(name): value for name, value in span.items()} if isinstance(span, dict) else {}
    offset = members.get("offset", limits.get("from", 0))
    limit = members.get("limit", limits["to"] - offset if _whole(limits.get("to")) and _whole(offset) else PAGE)
    return _paged(Wanted(criteria, by_id, str(members.get("sortOrder", "ASC")).upper() == "DESC"), offset, limit)


def _expression(value: Json) -> Criterion:
    if not isinstance(value, dict):
        raise FilterUnsupported("each filterExpression is an object of operandLeft, operator and operandRight")
    said = {_local(name): item for name, item in value.items()}
    operator = str(said.get("operator")).strip().lower()
    if operator not in _OPERATORS:
        raise FilterUnsupported(f"the operator {operator[:40]!r} is not known here; known are {', '.join(_OPERATORS)}")
    name = _property(str(said.get("operandLeft")))
    match = _OPERATORS[operator]
    if match is Match.LIKE and name not in _PATTERNED:
        raise FilterUnsupported(f"{name} has no patterns; compare it with =, or in")
    return _criterion(name, Match.CONTAINS if name is Property.TEXT else match, said.get("operandRight"))


def _property(name: str) -> Property:
    found = _NAMES.get(_local(name)) if name != "@id" else Property.ID
    if found is None:
        known = ", ".join(Property)
        raise FilterUnsupported(f"datasets cannot be found by {name[:80]!r} here; known are {known}")
    return found


def _criterion(name: Property, match: Match, value: Json) -> Criterion:
    values = value if isinstance(value, list) else [value]
    if not 0 < len(values) <= MAX_VALUES:
        raise FilterUnsupported(f"{name} is compared with 1 to {MAX_VALUES} values")
    if not all(isinstance(one, str) and len(one) <= MAX_VALUE_CHARACTERS for one in values):
        raise FilterUnsupported(f"{name} is compared with texts of at most {MAX_VALUE_CHARACTERS} characters")
    if not all(_storable(one) for one in values):
        raise FilterUnsupported(f"{name} is compared with texts that Unicode can write, without the character NUL")
    return Criterion(name, match, tuple(values))


def _few(criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
    if len(criteria) > MAX_CRITERIA:
        raise FilterUnsupported(f"a filter has at most {MAX_CRITERIA} parts")
    return criteria


def _paged(wanted: Wanted, offset: Json, limit: Json) -> Wanted:
    if not _whole(offset) or not 0 <= offset <= MAX_OFFSET:
        raise FilterUnsupported(f"offset is a whole number from 0 to {MAX_OFFSET}")
    if not _whole(limit) or limit < 1:
        raise FilterUnsupported("limit is a whole number, 1 or more")
    return replace(wanted, offset=offset, limit=min(limit, MAX_PAGE))


def _whole(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _storable(value: Json) -> bool:
    """Whether a database can compare with it: PostgreSQL knows no NUL, and half a surrogate pair has no UTF-8."""
    return isinstance(value, str) and not any(one == "\0" or "\ud800" <= one <= "\udfff" for one in value)


def _local(name: str) -> str:
    """A name without its namespace: ``https://w3id.org/edc/v0.0.1/ns/name`` and ``edc:name`` are ``name``."""
    return name.replace("#", "/").replace(":", "/").rsplit("/", 1)[-1] if name != "@id" else "id"
