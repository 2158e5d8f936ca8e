"""The reference of policies is held to the code: every operand, when it is judged, and the nineteen items."""

import re
from pathlib import Path

from connector.policies.operands import OPERANDS, SPELLINGS, Stage
from connector.policies.policy import ACTIONS, DUTIES

REFERENCE = (Path(__file__).parents[2] / "docs/reference/policies.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under `heading`, without its head."""
    section = REFERENCE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_operand_stands_there_as_it_is_read() -> None:
    told = {tuple(names(row[0])): (row[1], row[2], set(row[3].split()), row[4]) for row in rows("Operands")}
    assert told == {
        operand.spellings: (operand.zh, operand.shape, set(operand.operators), operand.known)
        for operand in OPERANDS.values()
    }


def test_the_nineteen_items_name_what_there_is_and_when_it_is_judged() -> None:
    items = rows("The nineteen usage-control items")
    assert len(items) == 19
    for item, constraint, judged in items:
        said = [name for name in names(constraint) if name not in DUTIES]
        assert set(said) <= SPELLINGS.keys(), item
        if said:
            known = {OPERANDS[SPELLINGS[name]].known for name in said}
            assert judged == ", ".join(stage for stage in Stage if stage in known), item


def test_every_action_and_duty_stands_there() -> None:
    told = {row[0]: set(names(row[1])) for row in rows("Actions and duties")}
    assert told["action"] == set(ACTIONS)
    assert told["duty, obligation"] == set(DUTIES)
