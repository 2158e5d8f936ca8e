"""Rules of the house that no linter knows."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hexi.errors import DataspaceError

ROOT = Path(__file__).parent.parent
PACKAGES = ("hexi", "connector", "registry", "ledger", "sandbox", "privacy", "marketplace")
LONGEST_FILE = 450


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def test_only_the_database_commits() -> None:
    committing = [path for path in sources() if ".commit()" in path.read_text(encoding="utf-8")]
    assert [path.relative_to(ROOT).as_posix() for path in committing] == ["hexi/database.py"]


def test_whoever_takes_a_session_has_it_in_one_thread() -> None:
    # Else requests that hold a connection wait for a thread, and those that hold a thread for a connection.
    taking = [path for path in sources() if re.search(r":\s*(Write|Read)\b[,)=\s]", path.read_text(encoding="utf-8"))]
    endpoints = [path for path in taking if "APIRouter(" in path.read_text(encoding="utf-8")]
    assert endpoints
    for path in endpoints:
        made = re.findall(r"APIRouter\(([^)]*)", path.read_text(encoding="utf-8"))
        assert all("route_class=" in how for how in made), f"{path}: APIRouter(route_class=SessionRoute)"


def test_every_folder_of_tests_is_a_package() -> None:
    # Without it tests/connector would be imported as `connector`, and the real one would vanish.
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("name", ["utils", "util", "common", "helpers", "helper", "misc", "types", "base", "manager"])
def test_no_file_is_named_for_nothing(name: str) -> None:
    assert [path for path in sources() if path.stem == name] == []


def test_no_file_is_longer_than_one_subject_needs() -> None:
    lines = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("\n") for path in sources()}
    assert {name: n for name, n in lines.items() if n > LONGEST_FILE} == {}


def test_the_base_stays_small() -> None:
    modules = [path for path in (ROOT / "hexi").glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= 8


def error_classes() -> Iterator[type[DataspaceError]]:
    for package in PACKAGES:
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            if ".migrations" not in module.name:
                importlib.import_module(module.name)
    waiting = [DataspaceError]
    while waiting:
        error = waiting.pop()
        waiting.extend(error.__subclasses__())
        if inspect.getmodule(error) and str(error.__module__).split(".")[0] in PACKAGES:
            yield error


def test_every_error_code_has_a_heading_in_the_reference() -> None:
    headings = {
        match
        for path in (ROOT / "docs" / "reference" / "errors").glob("*.md")
        for match in re.findall(r"^## `?([a-z0-9.-]+)`?", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    codes = {str(error.code) for error in error_classes()}
    assert codes - headings == set()


def test_error_codes_name_their_package() -> None:
    foreign = [e for e in error_classes() if "code" in vars(e) and e.code.split(".")[0] not in {*PACKAGES, "market"}]
    assert foreign == []
