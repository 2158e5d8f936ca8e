"""Checkpoints: the log's signed tree head, as other people's tools read it (C2SP tlog-checkpoint, signed-note).

A checkpoint is three lines, the log's origin, its size and its root, and below an empty line the signatures. The
verifier key is one line, ``NAME+HEX8+BASE64``. Ed25519 only: ``golang.org/x/mod/sumdb/note`` knows nothing else.

    >>> from hexi.keys import SigningKey
    >>> key = SigningKey.generate("Ed25519")
    >>> note = sign_checkpoint(Checkpoint("log.example", 3, bytes(32)), key)
    >>> open_checkpoint(note, verifier_key("log.example", key.public)).size
    3
"""

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256

from hexi.errors import DataspaceError
from hexi.keys import SignatureInvalid, SigningKey, VerifyingKey
from ledger.errors import CheckpointInvalid, LogKeyUnusable
from ledger.merkle import HASH_BYTES

# signed-note: this byte before the public key says Ed25519, and is part of what the key id is computed over.
_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
# No honest note is longer, even with the co-signatures of many witnesses.
_MAX_NOTE_CHARACTERS = 65_536
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
# signed-note: a name is not empty and has neither white space nor a plus sign.
_NAME = re.compile(r"[^\s+]+")


@dataclass(frozen=True)
class Checkpoint:
    """What the log says of itself: so many entries, this root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The lines that are signed."""
        return f"{self.origin}\n{self.size}\n{_b64(self.root)}\n"


def verifier_key(name: str, key: VerifyingKey) -> str:
    """The line that tells others how to check the log's signatures. Raises `LogKeyUnusable` for a name notes forbid."""
    if not _NAME.fullmatch(name):
        raise LogKeyUnusable(f"a log is named without white space and plus signs, not {name!r}")
    return f"{name}+{_key_id(name, key).hex()}+{_b64(_ED25519 + key.ed25519_bytes())}"


def read_verifier_key(vkey: str) -> tuple[str, VerifyingKey]:
    """The name and key in a verifier key. Raises `LogKeyUnusable`; a second spelling of the same key is refused."""
    try:
        name, _, encoded = vkey.split("+", 2)
        raw = _unb64(encoded)
        key = VerifyingKey.from_ed25519_bytes(raw[1:])
        if verifier_key(name, key) == vkey:
            return name, key
    except (ValueError, DataspaceError) as error:
        raise LogKeyUnusable("a verifier key looks like NAME+HEX8+BASE64 and is an Ed25519 key") from error
    raise LogKeyUnusable("the parts of the verifier key (name, key id, key) do not belong together")


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> str:
    """The signed note. The same checkpoint and key give the same note: Ed25519 is deterministic."""
    signature = _key_id(checkpoint.origin, key.public) + key.sign_bytes(checkpoint.text.encode())
    return f"{checkpoint.text}\n— {checkpoint.origin} {_b64(signature)}\n"


def open_checkpoint(note: str, vkey: str) -> Checkpoint:
    """The checkpoint in `note`, once it holds. Raises `CheckpointInvalid`, or `LogKeyUnusable` for the key.

    (1) The note is text, an empty line, and signature lines. (2) The text begins with the origin, the size and the
    root, each written the only way it can be; further lines are allowed. (3) The origin is the name of the log's key.
    (4) A signature by that key over the text holds. Signatures by others (witnesses) are passed over. The caller
    still owes: that this is the log's *newest* checkpoint, and consistent with those seen before.
    """
    name, key = read_verifier_key(vkey)
    text, separator, signatures = note.rpartition("\n\n")
    if len(note) > _MAX_NOTE_CHARACTERS or not separator or not signatures.endswith("\n"):  # (1)
        raise CheckpointInvalid("a checkpoint is text, an empty line, and signature lines")
    checkpoint = _read_body(text + "\n")  # (2)
    if checkpoint.origin != name:  # (3)
        raise CheckpointInvalid(f"the checkpoint is of the log {checkpoint.origin!r}, the key of {name!r}")
    for line in signatures[:-1].split("\n"):  # (4)
        if signature := _signature_by(line, name, key):
            try:
                key.verify_bytes(signature, (text + "\n").encode())
            except SignatureInvalid as error:
                raise CheckpointInvalid("the log's signature under the checkpoint does not hold") from error
            return checkpoint
    raise CheckpointInvalid(f"the checkpoint is not signed by the key of {name!r}")


def _read_body(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise CheckpointInvalid("a checkpoint begins with its origin, its size and its root")
    try:
        root = _unb64(lines[2])
    except ValueError as error:
        raise CheckpointInvalid("the root of the checkpoint is not base64") from error
    if len(root) != HASH_BYTES:
        raise CheckpointInvalid(f"the root of a checkpoint has {HASH_BYTES} bytes, not {len(root)}")
    return Checkpoint(lines[0], int(lines[1]), root)


def _signature_by(line: str, name: str, key: VerifyingKey) -> bytes | None:
    """The signature in `line` if it claims to be by `key`. Raises `CheckpointInvalid` for what is no signature line."""
    dash, _, rest = line.partition(" ")
    signer, _, encoded = rest.partition(" ")
    try:
        raw = _unb64(encoded)
    except ValueError as error:
        raise CheckpointInvalid("a signature line is an em dash, a name, and base64") from error
    if dash != "—" or not _NAME.fullmatch(signer) or len(raw) <= _KEY_ID_BYTES:
        raise CheckpointInvalid("a signature line is an em dash, a name, and base64")
    if signer != name or raw[:_KEY_ID_BYTES] != _key_id(name, key):
        return None
    return raw[_KEY_ID_BYTES:]


def _key_id(name: str, key: VerifyingKey) -> bytes:
    return sha256(name.encode() + b"\n" + _ED25519 + key.ed25519_bytes()).digest()[:_KEY_ID_BYTES]


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unb64(text: str) -> bytes:
    """The bytes of standard base64, in its only spelling. Raises `ValueError`."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if _b64(data) != text:
        raise ValueError("not canonical base64")
    return data
