"""What the demo leaves behind: each artefact as JSON for programs and as text for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hexi.canonical import pretty


class Papers:
    """The folder of results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, name: str, value: Any, text: str) -> Path:
        """Write ``name.json`` and ``name.txt``; returns the path of the JSON."""
        path = self.folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pretty(value) + "\n", encoding="utf-8")
        path.with_suffix(".txt").write_text(text.strip() + "\n", encoding="utf-8")
        return path


def yuan(fen: int) -> str:
    """An amount for people."""
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d} CNY"


def certificate_text(certificate: Mapping[str, Any]) -> str:
    """A rights certificate as a page."""
    said = certificate["document"]
    lines = [f"{name}: {value}" for name, value in said.items() if isinstance(value, str | int | bool)]
    return "\n".join(
        ["数据产权登记证书  RIGHTS CERTIFICATE", "=" * 60, *lines, f"权利 rights: {', '.join(said['rights'])}"]
    )


def agreement_text(agreement: Mapping[str, Any]) -> str:
    """An agreement as a page."""
    said = agreement["document"]
    lines = [f"{name}: {value}" for name, value in said.items() if isinstance(value, str | int)]
    signed = [f"signed by {did}" for did in agreement["signatures"]]
    return "\n".join(["数字合约  AGREEMENT", "=" * 60, *lines, "terms:", pretty(said.get("policy")), *signed])


def answer_text(answer: Mapping[str, Any]) -> str:
    """An answer of a sandbox as a table, or as its reasons."""
    if answer["verdict"] != "released":
        return "\n".join(["REFUSED 拒绝", *[f"{r['code']}: {r['message']}" for r in answer["reasons"]]])
    return "\n".join(["RELEASED 已放行", *table_lines(answer["columns"], answer["rows"])])


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A table in plain text."""
    cells = [[str(value) for value in row] for row in [columns, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    return ["  ".join(value.rjust(width) for value, width in zip(row, widths, strict=True)) for row in cells]


def statement_text(statement: Mapping[str, Any], accounts: Mapping[str, int]) -> str:
    """A statement with its lines, and the books after its settlement."""
    said = statement["document"]
    lines = [
        f"{line['provider']}  {line['runs']} run(s) x {yuan(line['unitPriceFen'])} = {yuan(line['amountFen'])}"
        for line in said["lines"]
    ]
    books = [f"{name:<60} {yuan(fen):>16}" for name, fen in accounts.items()]
    total = f"total: {yuan(said['totalFen'])}"
    return "\n".join(
        ["对账单  STATEMENT", "=" * 60, *lines, total, "", "Books after settlement (debit +, credit -):", *books]
    )


def audit_text(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """The auditor's findings."""
    lines = ["审计报告  AUDIT REPORT", "=" * 60]
    for title, report in reports.items():
        lines.append(f"\n{title}")
        lines += [
            f"  {'ok ' if c['ok'] else 'BAD'} {c['name']:<14} {c['file']} {c['detail']}" for c in report["checks"]
        ]
    return "\n".join(lines)
