"""Whether this machine can isolate: tests that need it are skipped elsewhere, and say why."""

from functools import cache

import pytest

from sandbox.isolation.processes import IsolationUnavailable, lacking, probe


@cache
def why_not() -> str | None:
    """What keeps this machine from level 2, or None."""
    try:
        found = probe()
    except IsolationUnavailable as error:
        return error.detail
    return f"this machine lacks {', '.join(lacking(found.layers, 2))}" if found.level < 2 else None


def skip_where_it_cannot(request: pytest.FixtureRequest) -> None:
    """Skip a test marked ``isolation`` where level 2 is not to be had."""
    if request.node.get_closest_marker("isolation") and (reason := why_not()):
        pytest.skip(reason)
