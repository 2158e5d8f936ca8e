"""The whole of it, over real processes."""
