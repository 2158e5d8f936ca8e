"""What programs may import: a folder of packages pinned by the lock file, sealed by a digest over every file in it.

``make setup`` installs it beside ``.venv`` and seals it. It is measured before its first use in a process: what is not
what was sealed is refused. Its digest stands in every receipt.
"""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from hexi.canonical import Json, digest, encode, parse
from hexi.errors import Malformed
from sandbox.errors import EnvironmentUnavailable

FOLDER, SEAL = ".venv-programs", "hexi-environment.json"
_GET = "set it up with `make setup`, or name one in HEXI_SANDBOX_ENVIRONMENT"


@dataclass(frozen=True)
class Environment:
    """Packages to mount, what is in them by name and version, and the digest over all of it."""

    packages: Path
    versions: Mapping[str, str]
    digest: str

    def to_json(self) -> dict[str, Json]:
        """What receipts and reviewers are told."""
        return {"digest": self.digest, "python": _python(), "packages": dict(self.versions)}


def default_folder() -> Path:
    """Beside the environment that this process runs in."""
    return Path(sys.prefix).parent / FOLDER


def seal_environment(folder: Path) -> Environment:
    """Measure `folder` and write down what is there; whoever installs it does this. Raises `EnvironmentUnavailable`."""
    found = _measured(folder)
    (folder / SEAL).write_bytes(encode({"type": "program-environment", **found.to_json()}))
    return found


@cache
def open_environment(folder: Path) -> Environment:
    """The environment in `folder`, measured once per process. Raises `EnvironmentUnavailable`."""
    try:
        sealed = parse((folder / SEAL).read_bytes())
    except (OSError, Malformed) as error:
        raise EnvironmentUnavailable(f"there is no environment for programs here; {_GET}") from error
    found = _measured(folder)
    if {"type": "program-environment", **found.to_json()} != sealed:
        raise EnvironmentUnavailable(f"the environment for programs is not the one that was sealed; {_GET}")
    return found


def _measured(folder: Path) -> Environment:
    packages = next(iter(sorted(folder.glob("lib/python*/site-packages"))), None)
    if packages is None:
        raise EnvironmentUnavailable(f"there is no environment for programs here; {_GET}")
    versions = {found.name: found.version for found in distributions(path=[str(packages)])}
    contents = dict(_contents(packages))
    return Environment(packages, dict(sorted(versions.items())), digest({"python": _python(), "files": contents}))


def _contents(packages: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(packages.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise EnvironmentUnavailable("the environment for programs holds something that is no regular file")
        if path.is_file():
            with path.open("rb") as file:
                yield str(path.relative_to(packages)), hashlib.file_digest(file, "sha256").hexdigest()


def _python() -> str:
    return f"{sys.implementation.cache_tag}-{sys.platform}"
