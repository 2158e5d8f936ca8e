"""``hexi ledger``: what an outsider needs to check the ledger without trusting anybody who runs it."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from hexi.canonical import Json, parse, pretty
from hexi.cli import REFUSED
from hexi.errors import Malformed
from ledger.bundle import Report, verify_bundle, write_bundle
from ledger.documents import SignedDocument
from ledger.entries import read_entry
from ledger.errors import BundleUnreadable, LogKeyUnusable
from ledger.receipts import Receipt

app = typer.Typer(no_args_is_help=True, help="Check, mirror and bundle the evidence. 核验、镜像与打包证据。")

_Ledger = Annotated[str, typer.Option("--ledger", help="The space's address, e.g. http://127.0.0.1:8080")]


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="The folder with the bundle.")],
    chain: Annotated[str | None, typer.Option(help="Also ask this chain (JSON-RPC address).")] = None,
    vkey: Annotated[Path | None, typer.Option(help="The log's key as you know it from elsewhere.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check an evidence bundle. Exit 0: all holds; 1: something does not; 2: there is no bundle. 核验证据包。"""
    pinned = _text(vkey, LogKeyUnusable).removesuffix("\n") if vkey else None
    report = verify_bundle(bundle, chain_url=chain, vkey=pinned)
    if as_json:
        typer.echo(pretty(report.to_json()))
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(REFUSED)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to; the same folder again adds what is new.")],
    ledger: _Ledger,
) -> None:
    """Mirror the whole log as static files (C2SP tlog-tiles), which any verifier of such logs can check. 导出日志。"""
    from ledger.client import LedgerClient
    from ledger.export import export as write

    with closing(LedgerClient(ledger)) as client:
        written = write(folder, client.files())
    typer.echo(f"{written} new files in {folder}")


@app.command()
def bundle(
    folder: Annotated[Path, typer.Argument(help="A folder that is empty or does not exist yet.")],
    ledger: _Ledger,
    document: Annotated[list[Path] | None, typer.Option(help="A signed document (JSON); may be repeated.")] = None,
    identity: Annotated[list[Path] | None, typer.Option(help="A DID document the space does not show.")] = None,
    key: Annotated[Path | None, typer.Option(help="The log's private key, to sign the manifest.")] = None,
) -> None:
    """Bundle evidence: the log, these documents, their receipts, who signed, and the chain record. 打包证据。"""
    from hexi.keys import SigningKey
    from ledger.client import LedgerClient
    from ledger.gather import gather

    documents = [SignedDocument.from_json(_json(path)) for path in document or []]
    with closing(LedgerClient(ledger)) as client:
        found = gather(client, documents, [_json(path) for path in identity or []])
    write_bundle(
        folder,
        log_files=found.log_files,
        receipts=found.receipts,
        documents=documents,
        identities=found.identities,
        chain_record=found.chain_record,
        key=SigningKey.load(key) if key else None,
    )
    typer.echo(f"{folder}: {len(found.receipts)} receipts, {len(found.identities)} identities")


@app.command()
def show(receipt: Annotated[Path, typer.Argument(help="A receipt (JSON).")]) -> None:
    """Show what a receipt says. It is NOT verified: that takes the log's key and the signers'. 显示回执。"""
    value = Receipt.from_json(_json(receipt))
    entry = read_entry(value.entry)
    typer.echo(pretty({"index": value.index, **entry.payload(), "checkpoint": value.checkpoint.split("\n")[:3]}))


def _print(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ledger.audit import NAMES

    table = Table("", "check", "核验项", "file", "finding")
    for check in report.checks:
        mark = Text("ok", style="green") if check.ok else Text("NO", style="bold red")
        # Texts, not markup: a forged file must not be able to colour or hide anything.
        table.add_row(mark, check.name, NAMES[check.name], Text(check.file), Text(check.detail))
    Console().print(table)
    broken = sum(not check.ok for check in report.checks)
    verdict = f"{broken} of {len(report.checks)} checks do not hold. 核验不通过。"
    typer.echo(f"All {len(report.checks)} checks hold. 全部核验通过。" if report.ok else verdict)


def _json(path: Path) -> Json:
    return parse(_text(path, BundleUnreadable))


def _text(path: Path, problem: type[Malformed]) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise problem(f"{path} cannot be read") from error
