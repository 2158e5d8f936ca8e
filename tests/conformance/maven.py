"""Maven, for the kits and peers that are published to Maven Central: builds a folder with a ``pom.xml`` into the
class path to run it with.

    java("-cp", class_path(folder), "RunKit")

What was built is kept in the folder's ``target`` until a source changes.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

# Where Maven writes down the jars, below a folder's ``target``.
LISTED = "class-path.txt"
# Downloading some 50 jars for the first time, in seconds.
BUILD_SECONDS = 600


class CannotBuild(Exception):
    """Java or Maven is missing, or the artefacts could not be had; the message says which and what to do."""


def tool(name: str) -> str:
    """The path of ``java`` or ``mvn``. Raises `CannotBuild`."""
    found = shutil.which(name)
    if found is None:
        packages = {"java": "a JDK, version 17 or newer", "javac": "a JDK, version 17 or newer", "mvn": "Maven 3.8"}
        raise CannotBuild(f"there is no '{name}' on the PATH: install {packages[name]}")
    return found


def class_path(folder: Path) -> str:
    """The class path of what ``pom.xml`` in `folder` describes, its own classes first. Raises `CannotBuild`."""
    tool("java")
    tool("javac")
    maven = tool("mvn")
    target = folder / "target"
    listed, stamp = target / LISTED, target / "built-from.txt"
    sources = _digest(folder)
    if not (stamp.is_file() and stamp.read_text() == sources and _all_there(listed)):
        target.mkdir(exist_ok=True)
        command = [maven, "--batch-mode", "--quiet", "compile", "dependency:build-classpath"]
        done = subprocess.run(
            [*command, f"-Dmdep.outputFile={listed}"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise CannotBuild(f"Maven could not build {folder.name}:\n{(done.stdout + done.stderr)[-3000:]}")
        stamp.write_text(sources)
    return os.pathsep.join([str(target / "classes"), listed.read_text().strip()])


def jars(folder: Path) -> list[Path]:
    """The jars on that class path. Raises `CannotBuild`."""
    class_path(folder)
    return jars_at_hand(folder)


def jars_at_hand(folder: Path) -> list[Path]:
    """The same as far as `folder` has been built, without building it: none if it has not."""
    listed = folder / "target" / LISTED
    if not _all_there(listed):
        return []
    return [Path(entry) for entry in listed.read_text().strip().split(os.pathsep)]


def _digest(folder: Path) -> str:
    sources = [folder / "pom.xml", *sorted(path for path in (folder / "src").rglob("*") if path.is_file())]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


def _all_there(listed: Path) -> bool:
    return listed.is_file() and all(Path(entry).is_file() for entry in listed.read_text().strip().split(os.pathsep))
