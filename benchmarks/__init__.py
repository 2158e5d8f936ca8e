"""What things cost, each against a named peer in the same run: one question a module.

Run as modules from the repository, ``uv run python -m benchmarks.start``: `sandbox` would otherwise hide the package.
"""
