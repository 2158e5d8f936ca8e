"""Usable but invisible (可用不可见): verifies permits, runs queries in isolation, controls what leaves.

It knows neither the Dataspace Protocol nor ODRL, and trusts only signed permits.
"""
