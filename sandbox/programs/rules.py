"""What a reviewer is told about the outputs of a program, rule by rule. Pure.

None of these releases or refuses anything: people do. What must not even be looked at was refused by
`sandbox.programs.collecting`.
"""

from collections.abc import Mapping, Sequence

from hexi.canonical import Json
from registry.catalogue import Disclosure
from sandbox.programs.capacity import DIGITS, points
from sandbox.programs.collecting import Collected, Expected, table_rows

# Points over guessing that outputs may be able to carry before the report says so: what a lattice promises for all.
MAX_POINTS = 5.0


_Table = Mapping[str, Json]


def report(
    collected: Collected, expected: Expected, unchecked: Sequence[str], earlier: Sequence[Sequence[Json]]
) -> list[dict[str, Json]]:
    """The rules over `collected`. `unchecked` are the outputs whose counts only the program vouches for, `earlier` the
    outputs of earlier releases of the product.
    """
    rules = expected.product.disclosure
    return [
        _rule("minimum-entities", True, _said_of_rows(collected, rules)),
        _rule("digits", True, f"numbers have {DIGITS} digits, counts are multiples of {rules.rounding}"),
        _counts(collected, unchecked),
        _capacity(collected, expected),
        _classes(collected),
        _differences(collected, rules, earlier),
    ]


def inadmissible(why: str) -> list[dict[str, Json]]:
    """The report over outputs that were not taken."""
    return [_rule("admissible", False, f"nothing was taken, the consumer will read that the program failed: {why}")]


def _rule(rule: str, passed: bool, says: str) -> dict[str, Json]:
    return {"rule": rule, "passed": passed, "says": says}


def _said_of_rows(collected: Collected, rules: Disclosure) -> str:
    said = f"every row says it stands on {rules.minimum_entities} entities or more"
    return f"{said}; {collected.dropped} others were dropped"


def _counts(collected: Collected, unchecked: Sequence[str]) -> dict[str, Json]:
    checked = [output["name"] for output in collected.outputs if output["name"] not in unchecked]
    said = f"at most as many as the product has: {', '.join(checked) or 'none'}"
    if unchecked:
        said += f"; the program's own word, so read how it comes to them: {', '.join(unchecked)}"
    return _rule("counts", not unchecked, said)


def _capacity(collected: Collected, expected: Expected) -> dict[str, Json]:
    gained = points(collected.bits, expected.entities)
    return _rule(
        "capacity",
        gained <= MAX_POINTS,
        f"{collected.numbers} numbers for {expected.entities} entities: {collected.bits:.0f} bits. Written to leak, "
        f"such outputs could raise the guess of one secret bit of everybody by up to {gained:.1f} points on average "
        f"(single persons could be hit wholly); under {MAX_POINTS:g} is what may be called small. Read the program",
    )


def _classes(collected: Collected) -> dict[str, Json]:
    """Shares of none or of all say something of everybody in the row."""
    found = [
        f"{output['name']}.{column['name']}"
        for output in collected.outputs
        if output["kind"] != "model"
        for column in output["columns"]
        if column["type"] == "share" and any(row[column["name"]] in {0, 1} for row in table_rows(output))
    ]
    said = f"everybody or nobody in a row: {', '.join(found)}" if found else "no share is 0 or 1"
    return _rule("classes", not found, said)


def _differences(collected: Collected, rules: Disclosure, earlier: Sequence[Sequence[Json]]) -> dict[str, Json]:
    """Rows with the same key as one released before whose counts are close and whose numbers are not the same."""
    before = [output for outputs in earlier for output in outputs if output.get("kind") in {"table", "chart"}]
    close = sum(
        _is_close(output, row, known, rules)
        for output in collected.outputs
        if output["kind"] != "model"
        for known in before
        if known["columns"] == output["columns"]
        for row in table_rows(output)
    )
    said = f"{close} rows differ in a few entities from one that was released before" if close else "none is close"
    return _rule("differences", not close, f"compared with {len(before)} earlier tables by their keys: {said}")


def _is_close(output: _Table, row: _Table, known: _Table, rules: Disclosure) -> bool:
    types = {column["name"]: column["type"] for column in output["columns"]}
    keys = [name for name, type_ in types.items() if type_ in {"dimension", "label"}]
    counts = [name for name, type_ in types.items() if type_ == "count"]
    for other in table_rows(known):
        if all(row[name] == other[name] for name in keys) and row != other:
            return all(abs(row[name] - other[name]) < rules.minimum_entities for name in counts)
    return False
