"""The scoreboard is shown at the end of the session."""

import pytest

from tests.attacks.scoreboard import BOARD


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the board, if any attack was tried."""
    if BOARD.tries:
        terminalreporter.section("attacks")
        for line in BOARD.lines():
            terminalreporter.line(line)
