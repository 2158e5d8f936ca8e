"""The quality grade of a product: six dimensions of GB/T 36344, weighed. Pure.

The standard fixes neither weights nor levels, so both are ours, and the report carries the weights it was made with.
The grade A to D is the quality level of the catalogue (N06).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hexi.canonical import Json

# Share of each dimension, in percent; they make 100.
DEFAULT_WEIGHTS: Mapping[str, int] = {
    "normativity": 18,
    "completeness": 18,
    "accuracy": 18,
    "consistency": 16,
    "timeliness": 16,
    "accessibility": 14,
}
# The least weighed score, in percent, for each grade; below the last it is D.
GRADES: Mapping[str, int] = {"A": 95, "B": 80, "C": 60}


@dataclass(frozen=True)
class Grade:
    """A grade and how it came about. `score` is in ten-thousandths."""

    letter: str
    score: int
    weights: Mapping[str, int]
    missing: tuple[str, ...]

    def to_json(self) -> Json:
        """For the compliance report."""
        return {
            "grade": self.letter,
            "score": self.score,
            "weights": dict(self.weights),
            "missing": list(self.missing),
        }


def grade(measured: Mapping[str, object], weights: Mapping[str, int] = DEFAULT_WEIGHTS) -> Grade:
    """The grade of what was `measured` (0 to 1 each). A dimension that was not measured counts as nothing."""
    scores = {name: _ten_thousandths(measured.get(name)) for name in weights}
    score = sum(weights[name] * (found or 0) for name, found in scores.items()) // 100
    letter = next((letter for letter, least in GRADES.items() if score >= least * 100), "D")
    return Grade(letter, score, dict(weights), tuple(name for name, found in scores.items() if found is None))


def _ten_thousandths(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return round(value * 10_000)
