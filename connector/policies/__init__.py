"""Policies: ODRL terms as frozen values, and their evaluation. Pure."""
