"""The algorithm repository."""
