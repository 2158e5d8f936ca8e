"""The token of the management API: who has it acts for the participant."""

import secrets
from pathlib import Path

TOKEN_FILE = "management.token"  # noqa: S105 - the name of a file, not a token
# Bytes of randomness in the management token.
TOKEN_BYTES = 32


def management_token(home: Path) -> str:
    """The token of the management API, made on first use in a file that only its owner may read."""
    path = home / TOKEN_FILE
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(TOKEN_BYTES), encoding="ascii")
    return path.read_text(encoding="ascii").strip()
