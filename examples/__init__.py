"""Runnable scenarios, each run by a test."""
