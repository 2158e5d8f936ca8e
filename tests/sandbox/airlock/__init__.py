"""The airlock of held outputs."""
