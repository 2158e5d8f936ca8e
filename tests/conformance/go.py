"""Programs of other people's making from the Go module proxy: built once, and kept in ``target``."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.conformance.maven import CannotBuild

FOLDER = Path(__file__).parent / "target"
# Downloading and building some 60 modules for the first time, in seconds.
BUILD_SECONDS = 600


def program(module: str) -> Path:
    """The program of `module` (path@version). Raises `CannotBuild`."""
    path, _, version = module.rpartition("@")
    name = path.rpartition("/")[2]
    folder = FOLDER / f"{name}-{version}"
    found = folder / name
    if found.is_file():
        return found
    go = shutil.which("go")
    if go is None:
        raise CannotBuild("there is no 'go' on the PATH: install Go 1.24 or newer")
    # Without C: gVisor's kernel must be one static file.
    environment = os.environ | {"GOBIN": str(folder), "CGO_ENABLED": "0"}
    done = subprocess.run(
        [go, "install", module], env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS
    )
    if done.returncode:
        raise CannotBuild(f"{module} cannot be built:\n{done.stderr.strip()}")
    return found
