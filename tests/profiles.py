"""How far the property tests look: a little, the same on every run; or, with ``HEXI_TESTS=deep``, far and at random."""

import os

import hypothesis
from hypothesis import Phase

DEEP = os.environ.get("HEXI_TESTS") == "deep"
# How many times as many examples a deep run tries.
DEEPER = 25


def load_profile() -> None:
    """Make the profile Hypothesis' default. A test that fails in the default run fails everywhere."""
    hypothesis.settings.register_profile("hexi", derandomize=True, deadline=None, database=None)
    hypothesis.settings.register_profile("deep", deadline=None, database=None, print_blob=True)
    hypothesis.settings.load_profile("deep" if DEEP else "hexi")


def looking(examples: int) -> hypothesis.settings:
    """The settings of a test that tries so many examples, and does not shrink what it finds unless it looks deeply."""
    return hypothesis.settings(
        max_examples=examples * (DEEPER if DEEP else 1),
        phases=[Phase.generate, Phase.shrink] if DEEP else [Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
