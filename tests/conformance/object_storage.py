"""versitygw, an S3 server of other people's making, from the Go module proxy: built once, and kept in ``target``."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.conformance.maven import CannotBuild
from tests.connector.s3.peers import VERSITY_MODULE

FOLDER = Path(__file__).parent / "target"
# Downloading and building some 60 modules for the first time, in seconds.
BUILD_SECONDS = 600


def program() -> Path:
    """The program. Raises `CannotBuild`."""
    version = VERSITY_MODULE.rpartition("@")[2]
    folder = FOLDER / f"versitygw-{version}"
    found = folder / "versitygw"
    if found.is_file():
        return found
    go = shutil.which("go")
    if go is None:
        raise CannotBuild("there is no 'go' on the PATH: install Go 1.24 or newer")
    environment = os.environ | {"GOBIN": str(folder)}
    done = subprocess.run(
        [go, "install", VERSITY_MODULE], env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS
    )
    if done.returncode:
        raise CannotBuild(f"{VERSITY_MODULE} cannot be built:\n{done.stderr.strip()}")
    return found
