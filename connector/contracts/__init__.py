"""Contracts: what is offered, to whom, and what both ends signed."""
