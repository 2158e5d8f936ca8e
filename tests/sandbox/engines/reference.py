"""Marginals of the table in `tables` once more, person by person in Python's own numbers: what engines are held to."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet

from privacy.lattice.blocks import Integers
from privacy.lattice.plan import GRID, Component, Plan
from privacy.lattice.policy import COUNT, Measure
from privacy.lattice.publication import shape

PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")


class Reference:
    """Everybody in `path`, under `plan`."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._plan = plan
        people: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in parquet.read_table(path).to_pylist():
            if row["person"] is not None:
                people[row["person"]].append(row)
        self._people = [self._one(rows) for rows in people.values()]

    def marginal(self, measure: str, component: Component) -> Integers:
        """See `Marginals.marginal`."""
        cells = np.zeros(shape(self._plan, component, measure), dtype=np.int64)
        for codes, numbers in self._people:
            place = tuple(self._plan.policy.attribute(n).levels[d - 1].of[codes[n]] for n, d in component)
            cells[place] += numbers[measure]
        return cells

    def _one(self, rows: list[dict[str, Any]]) -> tuple[dict[str, int], dict[str, Any]]:
        codes = {
            attribute.name: _place(attribute.domain, _least(rows, attribute.column or attribute.name), attribute.other)
            for attribute in self._plan.policy.attributes
        }
        return codes, dict(self._numbers(rows))

    def _numbers(self, rows: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
        steps: dict[str, int] = {}
        for measure in self._plan.policy.all_measures():
            if measure.name == COUNT:
                yield COUNT, GRID
            elif measure.factors:
                first, second = (steps[name] for name in measure.factors)
                yield measure.name, math.floor(Fraction(first * second, GRID) + Fraction(1, 2))
            elif measure.labels:
                chosen = [label == _label(measure, rows) for label in measure.labels]
                yield measure.name, np.array(chosen[-measure.numbers :]) * GRID
            else:
                low, high = (Fraction(round(end * 1_000_000)) for end in (measure.low, measure.high))
                held = min(max(_total(rows, measure.column or measure.name) or Fraction(0), low), high)
                steps[measure.name] = math.floor((held - low) / (high - low) * GRID + Fraction(1, 2))
                yield measure.name, steps[measure.name]


def _label(measure: Measure, rows: list[dict[str, Any]]) -> str:
    column = measure.column or measure.name
    if not measure.edges:
        return measure.labels[_place(measure.labels, _least(rows, column), measure.other)]
    total = _total(rows, column)
    if total is None:
        return measure.other or measure.labels[0]
    return measure.labels[sum(total >= round(edge * 1_000_000) for edge in measure.edges)]


def _least(rows: list[dict[str, Any]], column: str) -> str | None:
    found = [row[column] for row in rows if row[column] is not None]
    return None if not found else str(min(found)).lower() if isinstance(min(found), bool) else str(min(found))


def _place(labels: tuple[str, ...], value: str | None, other: str | None) -> int:
    return labels.index(value if value in labels else other)  # type: ignore[arg-type]


def _total(rows: list[dict[str, Any]], column: str) -> Fraction | None:
    values = [value for row in rows if (value := _millionths(row[column])) is not None]
    return sum(values, Fraction(0)) if values else None


def _millionths(value: Any) -> Fraction | None:
    if value is None:
        return None
    if isinstance(value, str):
        word = value.strip(" ")
        if PLAIN.fullmatch(word) and word.isascii():
            exact = Decimal(word)
            return _held(exact) if abs(exact) < Decimal(10) ** 32 else None
        return _floating(float(word)) if word in {"1e2", "1.5E-3", "2e400"} else None
    return _floating(value) if isinstance(value, float) else _held(Decimal(value))


def _held(exact: Decimal) -> Fraction:
    bound = Decimal(9 * 10**12)
    return Fraction(min(max(exact, -bound), bound).quantize(Decimal("0.000001"), ROUND_HALF_UP)) * 1_000_000


def _floating(value: float) -> Fraction | None:
    if math.isnan(value):
        return None
    return Fraction(math.floor(min(max(value, -9e12), 9e12) * 1e6 + 0.5))
