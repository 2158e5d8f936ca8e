"""Outputs at rest: sealed with a key derived from the provider's secret, bound to their run. A dump of the database
shows nothing of an output that was not released.

    >>> sealed = seal(b"s" * 32, "run", b"12 of 40")
    >>> unseal(b"s" * 32, "run", sealed)
    b'12 of 40'
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sandbox.errors import AirlockUnavailable

# Bytes: AES-256, and the nonce that AES-GCM takes (NIST SP 800-38D, 8.2.2).
_KEY_BYTES, _NONCE_BYTES = 32, 12
_PURPOSE = b"hexi airlock"


def seal(secret: bytes, run: str, data: bytes) -> bytes:
    """`data`, readable only with `secret`, and only as `run`'s. Raises `AirlockUnavailable` without a secret."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(_key(secret)).encrypt(nonce, data, run.encode())


def unseal(secret: bytes, run: str, sealed: bytes) -> bytes:
    """What was sealed. Raises `AirlockUnavailable` when the secret is another one than it was sealed with."""
    try:
        return AESGCM(_key(secret)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], run.encode())
    except InvalidTag as error:
        raise AirlockUnavailable("the held output was sealed with another secret than this provider has now") from error


def _key(secret: bytes) -> bytes:
    if not secret:
        raise AirlockUnavailable("outputs cannot be held: this sandbox was given no secret to seal them with")
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=_PURPOSE).derive(secret)
