"""Deliveries: files that are fetched, pushed and received, in the background, resumed and checked."""
