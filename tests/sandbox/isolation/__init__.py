"""Isolation, tried from inside and from outside."""
