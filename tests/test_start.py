"""What starting a service costs, held without timing anything: what it must not load.

Seconds and megabytes are measured by ``benchmarks/start.py``.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hexi.database import Database, newest_revision
from tests.test_house_rules import PACKAGES, ROOT

# Each is loaded by whoever needs it first: a migration, an encrypted sum, a query, a table, the chain.
HEAVY = {"alembic", "tenseal", "numpy", "sqlglot", "duckdb", "pyarrow", "flwr", "pandas"}
# Nothing in a service may bring these back behind the back of `hexi.cli.start_as_service`.
TERMINAL = {"rich", "pygments", "typer.rich_utils"}
COMMANDS = {
    "connector": ["from connector.cli import app", "import connector.app", "connector.app.create_app"],
    "space": ["from marketplace.space_cli import app", "import marketplace.space", "marketplace.space.create_app"],
}

PROGRAM = """
import sys
from pathlib import Path
from hexi.cli import start_as_service
{cli}
start_as_service()
{service}
from {settings} import {name}
{create}({name}(home=Path(sys.argv[1])))
print(*(name for name, module in sys.modules.items() if module is not None))
"""


def loaded(program: str, home: Path) -> set[str]:
    """The modules that `program` has loaded when it ends, in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", program, str(home)], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.process
@pytest.mark.parametrize("service", ["connector", "space"])
def test_a_service_starts_without_what_it_does_not_need_yet(service: str, tmp_path: Path) -> None:
    cli, imported, create = COMMANDS[service]
    package, name = ("connector", "ConnectorSettings") if service == "connector" else ("marketplace", "SpaceSettings")
    program = PROGRAM.format(cli=cli, service=imported, create=create, settings=f"{package}.settings", name=name)

    first, second = loaded(program, tmp_path), loaded(program, tmp_path)

    # The first start has tables to make; the second finds them, and does without Alembic.
    assert "alembic" in first
    assert (HEAVY | TERMINAL) & second == set()


@pytest.mark.parametrize("package", [p for p in PACKAGES if (ROOT / p / "migrations").exists()])
def test_migrations_count_up_and_are_named_for_their_revisions(package: str) -> None:
    # `Database.migrate` takes the newest revision from the files' names, without reading them.
    before = None
    for file in sorted((ROOT / package / "migrations" / "versions").glob("*.py")):
        revision, below = re.findall(r"^(?:down_)?revision(?:: [^=]+)? = (.+)$", file.read_text(), re.MULTILINE)[:2]
        assert (revision.strip('"'), None if below == "None" else below.strip('"')) == (file.name[:4], before)
        before = file.name[:4]
    assert newest_revision(ROOT / package / "migrations") == before


def test_tables_that_are_newest_are_left_alone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.migrate("connector")
    monkeypatch.setitem(sys.modules, "alembic.command", None)  # importing it now would fail

    database.migrate("connector")

    with pytest.raises(ImportError):
        database.migrate("sandbox")
