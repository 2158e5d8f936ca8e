"""What a program in the sandbox finds: the product's tables, and the ways to declare what should come out.

    import hexi_outputs

    visits = hexi_outputs.table("visits")
    shown = visits.groupby("county").agg(n=("person", "nunique"), cost=("cost", "mean")).reset_index()
    hexi_outputs.release_table("by_county", shown, {"county": "dimension", "n": "count", "cost": "number"})

This file is alone in there: nothing of Hexi is imported, and nothing it does is trusted outside. Column types are
``dimension`` (a dimension of the product), ``label`` (texts that stand in the program), ``count`` (of entities),
``number`` and ``share``. Prints go nowhere. Whatever comes out is held until people of the provider have seen it.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

_PANDAS = {"integer": "Int64", "number": "float64", "boolean": "boolean", "string": "string", "date": "string"}
_files: dict[str, str] = {}
_schema: dict[str, Any] = {}
_parameters: dict[str, Any] = {}
_declared: list[dict[str, Any]] = []


def tables() -> list[str]:
    """The names of the product's tables."""
    return list(_files)


def parameters() -> dict[str, Any]:
    """What the run chose, of an algorithm of the repository; empty for a program."""
    return dict(_parameters)


def table_of(column: str) -> str:
    """The first table that has this column."""
    return next(name for name, told in _schema.items() if column in told["columns"])


def entity_key(table: str) -> str | None:
    """The column of `table` that says whose row it is; its values are numbers that hold for this run only."""
    key: str | None = _schema[table]["entity"]
    return key


def table(name: str, library: str = "pandas") -> Any:
    """A table of the product as a DataFrame of pandas or polars."""
    columns: dict[str, str] = _schema[name]["columns"]
    if library == "polars":
        import polars as pl

        kinds = {
            "integer": pl.Int64,
            "number": pl.Float64,
            "boolean": pl.Boolean,
            "string": pl.String,
            "date": pl.Date,
        }
        return pl.read_csv(_files[name], schema={column: kinds[kind] for column, kind in columns.items()})
    import pandas as pd

    frame = pd.read_csv(_files[name], dtype={column: _PANDAS[kind] for column, kind in columns.items()})
    for column, kind in columns.items():
        if kind == "date":
            frame[column] = pd.to_datetime(frame[column])
    return frame


def release_table(name: str, rows: Any, columns: Mapping[str, str]) -> None:
    """Declare a table: a DataFrame, or dictionaries by column; `columns` gives every column's type."""
    described = [{"name": column, "type": kind} for column, kind in columns.items()]
    _declared.append({"kind": "table", "name": name, "columns": described, "rows": _rows(rows, list(columns))})


def release_chart(name: str, rows: Any, columns: Mapping[str, str], *, mark: str, x: str, y: str) -> None:
    """Declare a chart: a table, drawn outside as ``bar`` or ``line``."""
    release_table(name, rows, columns)
    _declared[-1].update(kind="chart", mark=mark, x=x, y=y)


def release_model(
    name: str, *, family: str, outcome: str, n: int, terms: Mapping[str, tuple[float, float]], r2: float | None = None
) -> None:
    """Declare a ``linear`` or ``logistic`` model over `n` entities: per term its coefficient and standard error."""
    told = [
        {"name": term, "coefficient": _plain(value), "error": _plain(error)} for term, (value, error) in terms.items()
    ]
    about = {"family": family, "outcome": outcome, "n": int(n), "terms": told, "r2": _plain(r2)}
    _declared.append({"kind": "model", "name": name, **about})


def release_fit(name: str, fitted: Any, *, family: str, outcome: str, n: int) -> None:
    """Declare what statsmodels fitted."""
    terms = {str(term): (fitted.params[term], fitted.bse[term]) for term in fitted.params.index}
    r2 = getattr(fitted, "rsquared", None) if family == "linear" else None
    release_model(name, family=family, outcome=outcome, n=n, terms=terms, r2=r2)


def begin(files: Mapping[str, str], schema: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Called by the worker, before the program."""
    _files.update(files)
    _schema.update(schema)
    _parameters.update(parameters)


def declared() -> list[dict[str, Any]]:
    """Called by the worker, after the program."""
    return _declared


def _rows(rows: Any, columns: list[str]) -> list[list[Any]]:
    if hasattr(rows, "to_dicts"):  # polars
        rows = rows.to_dicts()
    elif hasattr(rows, "to_dict"):  # pandas
        rows = rows.to_dict("records")
    given: Iterable[Mapping[str, Any]] = rows
    return [[_plain(row[column]) for column in columns] for row in given]


def _plain(value: Any) -> Any:
    """As JSON has it: numpy's numbers as Python's, missing values as None, dates as ISO text."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, dt.datetime):
        value = value.date()
    if isinstance(value, dt.date):
        return value.isoformat()
    missing = value is None or type(value).__name__ in {"NAType", "NaTType"} or value != value
    return None if missing else value
