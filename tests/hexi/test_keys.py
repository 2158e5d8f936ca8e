"""Signatures hold for their key, their content and their type, and for nothing else."""

import stat
from pathlib import Path

import pytest

from hexi.errors import DataspaceError, NotFound
from hexi.keys import (
    KeyUnusable,
    Kind,
    SignatureInvalid,
    SigningKey,
    VerifyingKey,
    b64url,
    read_unverified,
    unb64url,
    verify,
    verify_detached,
)

KINDS: list[Kind] = ["P-256", "Ed25519"]
PAYLOAD = {"type": "thing", "名": "值"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_holds_for_its_type_and_key(kind: Kind) -> None:
    key = SigningKey.generate(kind)
    token = key.sign(PAYLOAD, typ="thing+jws", kid="k")
    assert verify(token, typ="thing+jws", resolve=lambda _: key.public) == PAYLOAD
    assert read_unverified(token) == PAYLOAD


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_of_another_type_is_refused(kind: Kind) -> None:
    key = SigningKey.generate(kind)
    with pytest.raises(SignatureInvalid, match="type"):
        verify(key.sign(PAYLOAD, typ="other+jws", kid="k"), typ="thing+jws", resolve=lambda _: key.public)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_a_signature_by_another_key_is_refused(kind: Kind, other: Kind) -> None:
    token = SigningKey.generate(kind).sign(PAYLOAD, typ="t", kid="k")
    with pytest.raises(SignatureInvalid):
        verify(token, typ="t", resolve=lambda _: SigningKey.generate(other).public)


def test_tokens_with_a_defect_are_refused() -> None:
    key = SigningKey.generate()
    header, payload, signature = key.sign(PAYLOAD, typ="t", kid="k").split(".")
    none = b64url(b'{"alg":"none","typ":"t","kid":"k"}')
    nameless = b64url(b'{"alg":"ES256","typ":"t"}')
    critical = b64url(b'{"alg":"ES256","typ":"t","kid":"k","crit":["b64"],"b64":false}')
    defects = {
        "algorithm_none": f"{none}.{payload}.",
        "no_kid": f"{nameless}.{payload}.{signature}",
        "critical_header": f"{critical}.{payload}.{signature}",
        "two_parts": f"{header}.{payload}",
        "payload_changed": f"{header}.{b64url(b'{}')}.{signature}",
        "signature_cut": f"{header}.{payload}.{signature[:-4]}",
        "header_not_json": f"{b64url(b'no')}.{payload}.{signature}",
        "empty": "",
        "huge": "a" * 2_000_000,
    }
    for name, token in defects.items():
        with pytest.raises(DataspaceError):
            pytest.fail(f"{name} was accepted: {verify(token, typ='t', resolve=lambda _: key.public)}")


def test_an_unknown_key_is_the_resolvers_error() -> None:
    def nobody(kid: str) -> VerifyingKey:
        raise NotFound(f"no key {kid}")

    with pytest.raises(NotFound, match="no key k"):
        verify(SigningKey.generate().sign(PAYLOAD, typ="t", kid="k"), typ="t", resolve=nobody)


def test_a_detached_signature_covers_the_whole_document() -> None:
    key = SigningKey.generate()
    signature = key.sign_detached(PAYLOAD, typ="t", kid="k")
    verify_detached(signature, dict(reversed(PAYLOAD.items())), typ="t", resolve=lambda _: key.public)
    with pytest.raises(SignatureInvalid):
        verify_detached(signature, PAYLOAD | {"more": 1}, typ="t", resolve=lambda _: key.public)
    with pytest.raises(SignatureInvalid):
        verify_detached(key.sign(PAYLOAD, typ="t", kid="k"), PAYLOAD, typ="t", resolve=lambda _: key.public)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_file_is_private_and_made_once(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "home" / "identity.pem"
    first = SigningKey.load_or_create(path, kind)
    again = SigningKey.load_or_create(path, kind)
    assert first.public.jwk() == again.public.jwk()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        SigningKey.generate().save(path)


def test_a_broken_key_file_is_named_but_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "broken.pem"
    path.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    with pytest.raises(KeyUnusable) as refused:
        SigningKey.load(path)
    assert str(path) in refused.value.detail
    assert "c2VjcmV0" not in refused.value.detail


@pytest.mark.parametrize("kind", KINDS)
def test_a_jwk_is_read_back_and_one_with_a_private_part_is_refused(kind: Kind) -> None:
    public = SigningKey.generate(kind).public
    assert VerifyingKey.from_jwk(public.jwk()).thumbprint() == public.thumbprint()
    for bad in (public.jwk() | {"d": "AA"}, {"kty": "RSA"}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, []):
        with pytest.raises(KeyUnusable):
            VerifyingKey.from_jwk(bad)


def test_base64url_has_one_spelling() -> None:
    assert unb64url("AQ") == b"\x01"
    for text in ("AR", "AQ==", "A", "+/"):
        with pytest.raises(DataspaceError):
            unb64url(text)


def test_a_private_key_does_not_show_itself() -> None:
    assert repr(SigningKey.generate()) == "SigningKey(P-256)"
