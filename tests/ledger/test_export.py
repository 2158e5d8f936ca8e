"""Exported logs, read by the Go checksum database's own libraries: they know nothing of us."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hexi.database import Database
from ledger.errors import ExportConflict
from ledger.export import export
from ledger.log import Log
from tests.ledger.builders import Person, fill, new_log

ALICE = Person("did:web:alice.example")
SIZE = 600


def write(database: Database, log: Log, folder: Path, size: int | None = None) -> int:
    with database.reading() as session:
        return export(folder, log.files(session, size))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    database = Database(f"sqlite:///{folder / 'test.sqlite'}")
    database.migrate("ledger")
    log = new_log()
    fill(database, log, ALICE, SIZE)
    for size in (1, 255, 256, 300, SIZE):  # as a mirror would, again and again
        write(database, log, folder / "export", size)
    database.dispose()
    return folder / "export"


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], subprocess.CompletedProcess[str]]:
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go here to build the independent verifier with")
    program = tmp_path_factory.mktemp("go") / "verify"
    source = Path(__file__).parent / "go"
    built = subprocess.run([go, "build", "-o", str(program), "."], cwd=source, capture_output=True, text=True)
    if "dial tcp" in built.stderr or "no such host" in built.stderr:
        pytest.skip(f"the Go module proxy cannot be reached: {built.stderr[-200:]}")
    assert built.returncode == 0, built.stderr

    def verify(folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(program), str(folder)], capture_output=True, text=True, timeout=60)

    return verify


def test_go_accepts_the_log(exported: Path, verifier: Callable[[Path], subprocess.CompletedProcess[str]]) -> None:
    answer = verifier(exported)
    assert (answer.returncode, answer.stdout) == (0, f"accepted: {SIZE} entries\n"), answer.stderr


@pytest.mark.parametrize(
    "path",
    [
        "checkpoint",
        "log.vkey",
        "tile/0/000",
        "tile/0/002.p/88",
        "tile/1/000.p/2",
        "tile/entries/000",
        "tile/entries/002.p/88",
    ],
)
def test_go_rejects_one_changed_byte(
    exported: Path, tmp_path: Path, verifier: Callable[[Path], subprocess.CompletedProcess[str]], path: str
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "copy"))
    content = (folder / path).read_bytes()
    for place in (0, len(content) // 2, len(content) - 2):
        spoiled = bytearray(content)
        spoiled[place] ^= 1
        (folder / path).write_bytes(bytes(spoiled))
        assert verifier(folder).returncode == 1, f"{path}[{place}]"
    (folder / path).write_bytes(content + b"\x00\x01x")
    assert verifier(folder).returncode == 1, "one entry too many"
    (folder / path).unlink()
    assert verifier(folder).returncode == 1, "missing"


def test_exporting_again_writes_only_what_is_new(sqlite: Database, tmp_path: Path) -> None:
    sqlite.migrate("ledger")
    log = new_log()
    fill(sqlite, log, ALICE, 3)
    assert write(sqlite, log, tmp_path / "log") == 4  # key, one bundle, one tile, checkpoint
    assert write(sqlite, log, tmp_path / "log") == 1  # the checkpoint, which is the same
    fill(sqlite, log, ALICE, 5)
    assert write(sqlite, log, tmp_path / "log") == 3
    assert (tmp_path / "log/tile/0/000.p/3").exists()
    assert not list((tmp_path / "log").rglob("*.new"))


def test_a_folder_of_another_log_is_left_alone(sqlite: Database, tmp_path: Path, exported: Path) -> None:
    sqlite.migrate("ledger")
    other = new_log()
    fill(sqlite, other, ALICE, 2)
    folder = Path(shutil.copytree(exported, tmp_path / "copy"))
    before = (folder / "checkpoint").read_bytes()
    with pytest.raises(ExportConflict):
        write(sqlite, other, folder)
    assert (folder / "checkpoint").read_bytes() == before
