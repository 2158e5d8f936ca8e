"""Runs the official kit against our connector and prints the kit's own result; the exit code follows it."""

import sys
from argparse import ArgumentParser

from tests.conformance import maven
from tests.conformance.dsp.runner import run


def main() -> int:
    parser = ArgumentParser(prog="python -m tests.conformance.dsp", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="postgresql")
    parser.add_argument("--runs", type=int, default=1, help="how many runs, one after the other (1)")
    parser.add_argument("--log", action="store_true", help="print what kit and connector logged, also of a green run")
    given = parser.parse_args()
    try:
        results = run(given.database, given.runs, log=given.log)
    except maven.CannotBuild as error:
        print(f"dsp-tck cannot run: {error}", file=sys.stderr)
        return 2
    return 0 if results and all(result.is_green for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
