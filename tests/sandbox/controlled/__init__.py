"""The controlled lane."""
