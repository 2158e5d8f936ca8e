"""``make demo``: the whole road of a data space, told in seven steps.

It starts a space and four connectors as processes on loopback, lets them trade, leaves the evidence in a folder and
stops everything again. Exit code 0 means that each step did what it says.
"""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from examples.longyizhen.processes import ServiceDidNotStart, Services
from examples.longyizhen.scenario import FolderNotOurs, Road, StepFailed, fresh_folder
from examples.longyizhen.story import Story
from examples.longyizhen.telling import Telling
from hexi.errors import DataspaceError


def main() -> int:
    """Tell the story; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="where the results go (default demo-out)")
    parser.add_argument("--serve", action="store_true", help="leave the space running at the end, until Ctrl-C")
    asked = parser.parse_args()
    story = Story()
    signal.signal(signal.SIGTERM, _stop)
    try:
        folder = fresh_folder(asked.out.resolve())
        with Services(folder / "work") as services:
            telling = Telling(Road(folder / "work", services), story, folder)
            telling.tell()
            if asked.serve:
                telling.serve()
        telling.after_closing()
    except FolderNotOurs as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except DataspaceError as error:
        print(f"demo: {error.detail} [{error.code}]; logs are in {asked.out}/work/logs", file=sys.stderr)
        return 1
    except (StepFailed, ServiceDidNotStart) as error:
        print(f"demo: {error}; logs are in {asked.out}/work/logs", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: stopped; every process was ended", file=sys.stderr)
        return 130
    return 0


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
