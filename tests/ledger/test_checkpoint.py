"""Signed notes: what holds, and everything that only nearly does."""

import pytest

from hexi.keys import SigningKey
from ledger.checkpoint import Checkpoint, open_checkpoint, read_verifier_key, sign_checkpoint, verifier_key
from ledger.errors import CheckpointInvalid, LogKeyUnusable

KEY = SigningKey.generate("Ed25519")
VKEY = verifier_key("log.example/a", KEY.public)
CHECKPOINT = Checkpoint("log.example/a", 42, bytes(range(32)))
NOTE = sign_checkpoint(CHECKPOINT, KEY)
STRANGER = "— other.example az4sUuhSjYVyPcEhZbSaKDGmb2Mwgr4dDmdqvBGnqFAFbHNb\n"


def signed(text: str) -> str:
    """A note over any text, by the right key."""
    from ledger.checkpoint import _b64, _key_id

    line = _b64(_key_id("log.example/a", KEY.public) + KEY.sign_bytes(text.encode()))
    return f"{text}\n— log.example/a {line}\n"


def test_a_note_holds_and_is_the_same_each_time() -> None:
    assert open_checkpoint(NOTE, VKEY) == CHECKPOINT
    assert sign_checkpoint(CHECKPOINT, KEY) == NOTE


def test_witnesses_and_further_lines_are_passed_over() -> None:
    assert open_checkpoint(NOTE + STRANGER, VKEY) == CHECKPOINT
    head, tail = NOTE.split("\n\n")
    assert open_checkpoint(f"{head}\n\n{STRANGER}{tail}", VKEY) == CHECKPOINT
    assert open_checkpoint(signed(f"{CHECKPOINT.text}more\n"), VKEY) == CHECKPOINT


@pytest.mark.parametrize(
    "note",
    {
        "empty": "",
        "no final line feed": NOTE[:-1],
        "hyphen for the dash": NOTE.replace("—", "-"),
        "no empty line": NOTE.replace("\n\n", "\n"),
        "CRLF": NOTE.replace("\n", "\r\n"),
        "another size": NOTE.replace("\n42\n", "\n43\n"),
        "another origin": NOTE.replace("log.example/a", "log.example/b"),
        "unsigned": CHECKPOINT.text + "\n",
        "signed by a stranger only": CHECKPOINT.text + "\n" + STRANGER,
        "leading zero": signed(CHECKPOINT.text.replace("42", "042")),
        "negative": signed(CHECKPOINT.text.replace("42", "-42")),
        "other digits": signed(CHECKPOINT.text.replace("42", "٤٢")),
        "short root": signed("log.example/a\n42\nAAAA\n"),
        "hex root": signed(f"log.example/a\n42\n{bytes(32).hex()}\n"),
        "base64url root": signed(CHECKPOINT.text.replace("+", "-").replace("/w", "_w").replace("=", "")),
        "two lines": signed("log.example/a\n42\n"),
        "key id only": CHECKPOINT.text + "\n— log.example/a " + NOTE.split(" ")[-1][:4] + "\n",
        "too long": NOTE + STRANGER * 2000,
    }.values(),
    ids=lambda note: note[:20],
)
def test_nothing_else_holds(note: str) -> None:
    with pytest.raises(CheckpointInvalid):
        open_checkpoint(note, VKEY)


def test_no_byte_of_a_note_can_change() -> None:
    raw = NOTE.encode()
    for place in range(len(raw)):
        spoiled = bytearray(raw)
        spoiled[place] ^= 1
        with pytest.raises(CheckpointInvalid):
            open_checkpoint(bytes(spoiled).decode("utf-8", "replace"), VKEY)


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(CheckpointInvalid):
        open_checkpoint(NOTE, verifier_key("log.example/a", SigningKey.generate("Ed25519").public))


def test_verifier_keys_read_back() -> None:
    assert read_verifier_key(VKEY) == ("log.example/a", KEY.public)


@pytest.mark.parametrize(
    "vkey",
    ["", "a", "a+b", VKEY + " ", VKEY + "\n", VKEY[:-1], VKEY.replace("log", "lag"), VKEY.upper(), "a+00000000+AAAA"],
)
def test_no_other_spelling_of_a_key(vkey: str) -> None:
    with pytest.raises(LogKeyUnusable):
        read_verifier_key(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\n"])
def test_names_a_log_cannot_have(name: str) -> None:
    with pytest.raises(LogKeyUnusable):
        verifier_key(name, KEY.public)
