"""The base every other package stands on: canonical JSON, keys, errors, database, web shell, settings, command line.

It owns only what has no other owner and at least three users; everything with a meaning of its own lives in the package
that owns that meaning.
"""

__version__ = "0.1.0"
