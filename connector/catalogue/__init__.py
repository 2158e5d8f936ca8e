"""A connector's own catalogue: what may be asked of it (`question`), who sees what (`audience`), and its index."""
