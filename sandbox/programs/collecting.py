"""From the bytes a program left to the statistics that may be shown to a reviewer. Pure, and it trusts nothing.

1. The bytes are strict JSON of a declared shape. 2. Names are unique. 3. Every text, names included, is a word of the
program's own text or of the product's published description, and does nothing in a spreadsheet or to an eye. 4. Every
number is finite and within what can be released; it is cut to its digits here. 5. About persons, every row says how
many entities it stands on; rows on too few are dropped, and none stands on more than there are. 6. Rows are told apart
by their keys and come sorted by them, and so do outputs by their names. 7. A model has its degrees of freedom.

What does not hold makes the whole collection invalid: half an output would say which half.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pydantic import ValidationError

from hexi.canonical import Json, parse
from hexi.errors import Malformed
from privacy.disclosure import round_to
from registry.catalogue import Column, ColumnRole, Datatype, Product
from sandbox.programs.capacity import (
    DIGITS,
    LARGEST,
    NUMBER_BITS,
    OPEN_BITS,
    SHARE_BITS,
    SHARE_STEPS,
    SMALLEST,
    choice_bits,
    count_bits,
)
from sandbox.programs.declared import OUTPUTS, DeclaredChart, DeclaredColumn, DeclaredModel, DeclaredTable, Value

# Bytes of all outputs of a run: some thousand numbers. A longer one was cut off by the isolation already.
MAX_BYTES = 256 * 1024
# Characters of a label: what a person reads in a table.
MAX_LABEL_CHARACTERS = 64
# A spreadsheet takes a text that begins so for a formula.
_FORMULA = frozenset("=+-@|%\t\r\n")
# Degrees of freedom that a model keeps at least, the share of entities that its terms are at most (both after acro and
# DataSHIELD), and an R-squared over which it repeats its data.
MIN_FREEDOM, MAX_TERM_SHARE, MAX_R2 = 10, 0.33, 0.99
# How statsmodels and formulaic name the term of a level: C(county)[T.Huan].
_LEVEL = re.compile(r"^(?:C\()?(\w{1,63})\)?\[T\.([^\[\]]{1,64})\]$")
_KEYS = frozenset({"dimension", "label"})
_KIND_BITS = 3


class Inadmissible(Exception):
    """Why the collection is invalid. Its text names names that were checked, and never a value."""


# Given names of dimensions and a key: how many entities the product has there; None where no table has all of them.
Most = Callable[[Sequence[str], Sequence[Json]], int | None]


@dataclass(frozen=True)
class Expected:
    """What outputs are held against: the product, the program's words, and how many entities there are."""

    product: Product
    words: frozenset[str]
    entities: int

    @property
    def about_persons(self) -> bool:
        """Whether any table says whose rows they are; then every table of results counts them."""
        return any(table.entity_key for table in self.product.tables)

    def dimensions(self, name: str) -> list[Column]:
        """The product's dimensions of this name."""
        found = (table.column(name) for table in self.product.tables)
        return [one for one in found if one and one.name == name and one.role is ColumnRole.DIMENSION]


@dataclass(frozen=True)
class Collected:
    """Outputs as they would be released, how many rows stood on too few entities, and what all could carry, in bits."""

    outputs: tuple[Json, ...]
    dropped: int
    numbers: int
    bits: float


def collect(data: bytes, expected: Expected) -> Collected:
    """See the module. Raises `Inadmissible`."""
    if len(data) > MAX_BYTES:
        raise Inadmissible(f"the outputs are longer than {MAX_BYTES} bytes")
    try:
        declared = OUTPUTS.validate_python(parse(data))
    except (Malformed, RecursionError):
        raise Inadmissible("the outputs are not strict JSON") from None
    except ValidationError as error:
        # Where and what, never the value: pydantic's `input` is left out.
        where = ".".join(str(part) for part in error.errors()[0]["loc"] if isinstance(part, int))
        raise Inadmissible(f"output {where or 'list'} has not the shape of a table, chart or model") from None
    if len({one.name for one in declared}) < len(declared):
        raise Inadmissible("two outputs have the same name")
    for name in (name for one in declared for name in _names(one)):
        if name not in expected.words:
            raise Inadmissible("a name that does not stand in the program's own text")
    declared.sort(key=lambda one: one.name)
    parts = [_model(one, expected) if isinstance(one, DeclaredModel) else _table(one, expected) for one in declared]
    return Collected(
        tuple(output for part in parts for output in part.outputs),
        sum(part.dropped for part in parts),
        sum(part.numbers for part in parts),
        sum(part.bits for part in parts),
    )


def check_counts(outputs: Sequence[Json], most: Most, rounding: int) -> list[str]:
    """The names of outputs whose counts only their program vouches for: models, and tables with keys of its own.

    Raises `Inadmissible` when a row claims more entities than the product has under its key.
    """
    unchecked = []
    for output in outputs:
        types = {} if output["kind"] == "model" else {one["name"]: one["type"] for one in output["columns"]}
        names = [name for name, type_ in types.items() if type_ == "dimension"]
        rows = table_rows(output) if names else []
        known = [most(names, [row[name] for name in names]) for row in rows]
        if not names or "label" in types.values() or None in known:
            unchecked.append(output["name"])
        counts = [name for name, type_ in types.items() if type_ == "count"]
        for row, there in zip(rows, known, strict=True):
            if there is not None and any(row[name] > round_to(there, rounding) for name in counts):
                raise Inadmissible(f"{output['name']}: a row claims more entities than there are under its key")
    return unchecked


def _names(one: DeclaredTable | DeclaredChart | DeclaredModel) -> list[str]:
    return [one.name] if isinstance(one, DeclaredModel) else [one.name, *(column.name for column in one.columns)]


def _table(table: DeclaredTable | DeclaredChart, expected: Expected) -> Collected:
    columns, where = table.columns, table.name
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        raise Inadmissible(f"{where}: two columns have the same name")
    counts = [index for index, column in enumerate(columns) if column.type == "count"]
    if expected.about_persons and not counts:
        raise Inadmissible(f"{where}: a table about persons counts them: give it a column of type count")
    keep, dropped = [], 0
    for row in table.rows:
        if len(row) != len(columns):
            raise Inadmissible(f"{where}: a row has not as many values as there are columns")
        stands = [_whole(row[index], where, expected.entities) for index in counts]
        if counts and min(stands) < expected.product.disclosure.minimum_entities:
            dropped += 1
        else:
            keep.append([_value(column, value, where, expected) for column, value in zip(columns, row, strict=True)])
    _check_keys(table, keep, dropped, expected)
    said: dict[str, Json] = {
        "kind": table.kind,
        "name": table.name,
        "columns": [{"name": column.name, "type": column.type} for column in columns],
        "rows": sorted(keep, key=lambda row: [_order(row[index]) for index in _key_indices(columns)]),
    }
    if isinstance(table, DeclaredChart):
        _check_chart(table)
        said |= {"mark": table.mark, "x": table.x, "y": table.y}
    bits = len(keep) * (1 + sum(_bits(column, expected) for column in columns))
    bits += _form_bits(len(columns), len(columns) + 1, expected)
    return Collected((said,), dropped, len(keep) * sum(column.type not in _KEYS for column in columns), bits)


def _check_keys(
    table: DeclaredTable | DeclaredChart, keep: Sequence[Sequence[Json]], dropped: int, expected: Expected
) -> None:
    keys = [tuple((type(row[i]).__name__, row[i]) for i in _key_indices(table.columns)) for row in keep]
    if len(set(keys)) < len(keys):
        raise Inadmissible(f"{table.name}: two rows have the same key; a table has one row for every group")
    most = expected.entities // expected.product.disclosure.minimum_entities
    if expected.about_persons and len(keep) + dropped > max(most, 1):
        raise Inadmissible(f"{table.name}: more rows than groups of enough entities could be")


def _check_chart(chart: DeclaredChart) -> None:
    types = {column.name: column.type for column in chart.columns}
    if types.get(chart.x) not in _KEYS or types.get(chart.y) in {None, *_KEYS}:
        raise Inadmissible(f"{chart.name}: x names a dimension or label, y a count, number or share")


def _model(model: DeclaredModel, expected: Expected) -> Collected:
    rules, where = expected.product.disclosure, model.name
    n, terms = _whole(model.n, where, expected.entities), len(model.terms)
    if len({term.name for term in model.terms}) < terms:
        raise Inadmissible(f"{where}: two terms have the same name")
    if n < rules.minimum_entities or n - terms < MIN_FREEDOM or terms > MAX_TERM_SHARE * n:
        raise Inadmissible(f"{where}: too many terms for the entities it stands on")
    r2 = None if model.r2 is None else _number(model.r2, where)
    if r2 is not None and not 0 <= r2 <= MAX_R2:
        raise Inadmissible(f"{where}: a model that explains everything repeats its data")
    said: dict[str, Json] = {
        "kind": "model",
        "name": model.name,
        "family": model.family,
        "outcome": _term(model.outcome, where, expected),
        "n": round_to(n, rules.rounding),
        "terms": [
            {
                "name": _term(term.name, where, expected),
                "coefficient": _number(term.coefficient, where),
                "error": _number(term.error, where),
            }
            for term in model.terms
        ],
        "r2": r2,
    }
    numbers = 2 * terms + (r2 is not None)
    bits = (
        numbers * NUMBER_BITS + count_bits(expected.entities, rules.rounding) + _form_bits(terms, terms + 2, expected)
    )
    return Collected((said,), 0, numbers + 1, bits)


def _form_bits(order: int, texts: int, expected: Expected) -> float:
    """Of the order of columns or terms, of names, and of kind, mark and family."""
    return math.log2(math.factorial(order)) + texts * choice_bits(len(expected.words)) + _KIND_BITS


# Values


def _value(column: DeclaredColumn, value: Value, where: str, expected: Expected) -> Json:
    where = f"{where}.{column.name}"
    match column.type:
        case "count":
            return round_to(_whole(value, where, expected.entities), expected.product.disclosure.rounding)
        case "number":
            return None if value is None else _number(value, where)
        case "share":
            share = None if value is None else _number(value, where)
            if share is not None and not 0 <= share <= 1:
                raise Inadmissible(f"{where}: a share lies between 0 and 1")
            return None if share is None else round(share * SHARE_STEPS) / SHARE_STEPS
        case "label":
            return None if value is None else _label(value, where, expected.words)
        case "dimension":
            return _dimension(column.name, value, where, expected)


def _dimension(name: str, value: Value, where: str, expected: Expected) -> Json:
    found = expected.dimensions(name)
    if not found:
        raise Inadmissible(f"{where}: the product has no such dimension; make it a label")
    if value is None:
        return None
    for column in found:
        if column.domain and (type(value), value) in {(type(known), known) for known in column.domain}:
            return _label(value, where, {value}) if isinstance(value, str) else value
        if not column.domain and _fits(column.datatype, value):
            return _label(value, where, expected.words) if column.datatype is Datatype.STRING else value
    raise Inadmissible(f"{where}: a value that is not of the product's dimension")


def _fits(datatype: Datatype, value: Value) -> bool:
    match datatype:
        case Datatype.BOOLEAN:
            return isinstance(value, bool)
        case Datatype.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**DIGITS
        case Datatype.DATE:
            return isinstance(value, str) and _is_date(value)
        case Datatype.STRING:
            return isinstance(value, str)
        case Datatype.NUMBER:
            return False  # a measured number is no group


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _label(value: Value, where: str, words: frozenset[str] | set[str]) -> str:
    if not isinstance(value, str) or value not in words:
        raise Inadmissible(f"{where}: a label that does not stand in the program's own text")
    if not 0 < len(value) <= MAX_LABEL_CHARACTERS or value[0] in _FORMULA or value != value.strip():
        raise Inadmissible(f"{where}: a label has up to {MAX_LABEL_CHARACTERS} characters and is no formula")
    # C: control, format (direction marks, zero width), surrogates, private; Zl, Zp: line and paragraph separators.
    if unicodedata.normalize("NFC", value) != value or any(
        unicodedata.category(letter)[0] == "C" or unicodedata.category(letter) in {"Zl", "Zp"} for letter in value
    ):
        raise Inadmissible(f"{where}: a label of visible, composed characters only")
    return value


def _term(name: str, where: str, expected: Expected) -> str:
    """A column, a level of one, or a word of the program."""
    columns = {column.name for table in expected.product.tables for column in table.columns}
    if name in columns or name == "Intercept":
        return name
    if (level := _LEVEL.match(name)) and level[1] in columns:
        for column in expected.dimensions(level[1]):
            if level[2] in {str(value) for value in column.domain or ()}:
                return _label(name, where, {name})
    return _label(name, where, expected.words)


def _whole(value: Value, where: str, entities: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= entities:
        raise Inadmissible(f"{where}: a count is a whole number, of at most as many entities as there are")
    return value


def _number(value: Value, where: str) -> float | int:
    """`value` with as many digits as leave; a whole one stays whole."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Inadmissible(f"{where}: not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or abs(number) >= LARGEST:
        raise Inadmissible(f"{where}: a number must be finite and under {LARGEST:g}")
    if abs(number) < SMALLEST:
        return 0
    cut = float(f"{number:.{DIGITS - 1}e}")
    return int(cut) if cut.is_integer() else cut


def _bits(column: DeclaredColumn, expected: Expected) -> float:
    match column.type:
        case "count":
            return count_bits(expected.entities, expected.product.disclosure.rounding)
        case "number":
            return NUMBER_BITS
        case "share":
            return SHARE_BITS
        case "label":
            return choice_bits(len(expected.words))
        case "dimension":
            domain = max((len(one.domain or ()) for one in expected.dimensions(column.name)), default=0)
            return choice_bits(domain) if domain else OPEN_BITS


def _key_indices(columns: Sequence[DeclaredColumn]) -> list[int]:
    return [index for index, column in enumerate(columns) if column.type in _KEYS]


def _order(value: Json) -> tuple[str, Json]:
    """Values of one type in their order; a missing one first."""
    return ("", "") if value is None else (type(value).__name__, value)


def table_rows(output: Mapping[str, Json]) -> list[dict[str, Json]]:
    """The rows of a released table or chart, by column."""
    names = [column["name"] for column in output["columns"]]
    return [dict(zip(names, row, strict=True)) for row in output["rows"]]
