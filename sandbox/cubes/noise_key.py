"""The secret that a provider's noise is drawn from."""

import os
import secrets
from pathlib import Path

KEY_FILE = "lattice.key"
# Bytes of a secret.
KEY_BYTES = 32


def noise_key(home: Path) -> bytes:
    """The provider's secret for noise, made on first use. Whoever has it can take the noise away again."""
    return secret_in(home / KEY_FILE)


def secret_in(path: Path) -> bytes:
    """The random secret in the file `path`, made on first use; only its owner may read it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())  # noise must never be drawn from a key that a power cut could take back
    return path.read_bytes()
