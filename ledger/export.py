"""Exporting a log as a folder of static files, which any web server can serve and any tlog-tiles verifier can check.

Tiles first, the checkpoint last: at no moment does the checkpoint promise what is not there. Exporting again adds
what is new. The partial tiles of earlier exports stay, since somebody may still hold a checkpoint that needs them.
"""

from collections.abc import Iterable
from pathlib import Path

from ledger.errors import ExportConflict


def export(folder: Path, files: Iterable[tuple[str, bytes]]) -> int:
    """Write `files` (of `Log.files` or `LedgerClient.files`) into `folder`; return how many were new.

    Raises `ExportConflict` if the folder holds another log, or this one differently: only a checkpoint may change.
    """
    written = 0
    for path, content in files:
        target = folder / path
        if target.exists() and path != "checkpoint":
            if target.read_bytes() != content:
                raise ExportConflict(f"{target} differs from the log's; export into an empty folder and compare")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and moved into place: a reader never sees half a file.
        fresh = target.with_name(f".{target.name}.new")
        fresh.write_bytes(content)
        fresh.replace(target)
        written += 1
    return written
