"""Keys and signatures: P-256 and Ed25519, JWS with an explicit type per use.

A JWS says in its header what it is (`typ`), so that a signature made for one purpose is never valid for another.
Verification takes the expected type and raises, or returns the payload. This is the only module that touches JOSE.
Sources: RFC 7515 (JWS; appendix F for detached content), RFC 7638 (thumbprints), RFC 8725 (explicit typing),
RFC 8037 (Ed25519 in JOSE).
"""

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from hexi.canonical import Json, digest_bytes, encode, parse
from hexi.errors import Malformed, VerificationFailed

Kind = Literal["P-256", "Ed25519"]

_ALGORITHM: dict[Kind, str] = {"P-256": "ES256", "Ed25519": "EdDSA"}
_JWS = jwt.PyJWS(algorithms=list(_ALGORITHM.values()))

# A longer compact JWS than this is refused unread: our largest documents are a few hundred kilobytes.
MAX_JWS_CHARACTERS = 1_048_576

_Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_Public = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class KeyUnusable(Malformed):
    """A key that cannot be read, or is of a kind we do not use."""

    code = "hexi.key-unusable"
    title = "This key cannot be used"


class SignatureInvalid(VerificationFailed):
    """A signature that does not hold, is of another type, or is by somebody unknown."""

    code = "hexi.signature-invalid"
    title = "The signature does not hold"


@dataclass(frozen=True)
class VerifyingKey:
    """A public key. Build one with `from_jwk` or take `SigningKey.public`."""

    kind: Kind
    native: _Public

    @classmethod
    def from_jwk(cls, jwk: Json) -> "VerifyingKey":
        """Read a public JWK. Raises `KeyUnusable`; a JWK that carries a private part is refused, not trimmed."""
        if not isinstance(jwk, dict) or "d" in jwk:
            raise KeyUnusable("a public JWK was expected (an object without the private member 'd')")
        try:
            if jwk.get("kty") == "EC" and jwk.get("crv") == "P-256":
                key = ECAlgorithm.from_jwk(jwk)
                return cls("P-256", key) if isinstance(key, ec.EllipticCurvePublicKey) else _unusable(jwk)
            if jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519":
                key_ed = OKPAlgorithm.from_jwk(jwk)
                return cls("Ed25519", key_ed) if isinstance(key_ed, ed25519.Ed25519PublicKey) else _unusable(jwk)
        except (jwt.InvalidKeyError, ValueError, TypeError) as error:
            raise KeyUnusable(f"this JWK cannot be read: {error}") from error
        return _unusable(jwk)

    @classmethod
    def from_ed25519_bytes(cls, raw: bytes) -> "VerifyingKey":
        """Read the 32 bytes of an Ed25519 public key. Raises `KeyUnusable`."""
        try:
            return cls("Ed25519", ed25519.Ed25519PublicKey.from_public_bytes(raw))
        except ValueError as error:
            raise KeyUnusable("an Ed25519 public key has 32 bytes") from error

    def jwk(self) -> dict[str, str]:
        """The public JWK: only the members RFC 7638 counts."""
        if isinstance(self.native, ed25519.Ed25519PublicKey):
            return {"kty": "OKP", "crv": "Ed25519", "x": b64url(self.ed25519_bytes())}
        numbers = self.native.public_numbers()
        return {
            "kty": "EC",
            "crv": "P-256",
            "x": b64url(numbers.x.to_bytes(32, "big")),
            "y": b64url(numbers.y.to_bytes(32, "big")),
        }

    def ed25519_bytes(self) -> bytes:
        """The 32 raw bytes. Raises `KeyUnusable` for a P-256 key."""
        if not isinstance(self.native, ed25519.Ed25519PublicKey):
            raise KeyUnusable("only an Ed25519 key has a 32-byte raw form")
        return self.native.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def thumbprint(self) -> str:
        """The RFC 7638 SHA-256 thumbprint, base64url."""
        return b64url(bytes.fromhex(digest_bytes(encode(self.jwk())).removeprefix("sha256:")))

    def verify_bytes(self, signature: bytes, data: bytes) -> None:
        """Raise `SignatureInvalid` unless `signature` over `data` is by this key (ECDSA as DER, Ed25519 raw)."""
        try:
            if isinstance(self.native, ed25519.Ed25519PublicKey):
                self.native.verify(signature, data)
            else:
                self.native.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise SignatureInvalid("the signature does not match the data and the key") from error


@dataclass(frozen=True)
class SigningKey:
    """A private key. Its repr shows the kind only."""

    kind: Kind
    native: _Private

    def __repr__(self) -> str:
        return f"SigningKey({self.kind})"

    @classmethod
    def generate(cls, kind: Kind = "P-256") -> "SigningKey":
        """A fresh key from the system's randomness."""
        if kind == "Ed25519":
            return cls(kind, ed25519.Ed25519PrivateKey.generate())
        return cls(kind, ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """Read a PKCS #8 PEM file. Raises `KeyUnusable`, naming the path and never the content."""
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise KeyUnusable(f"the private key {path} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise KeyUnusable(f"no usable private key in {path}: {type(error).__name__}") from error
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return cls("Ed25519", key)
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return cls("P-256", key)
        raise KeyUnusable(f"the key in {path} is neither P-256 nor Ed25519")

    @classmethod
    def load_or_create(cls, path: Path, kind: Kind = "P-256") -> "SigningKey":
        """Read the key at `path`, or make one there that only its owner may read. Running it twice changes nothing."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            cls.generate(kind).save(path)
        return cls.load(path)

    def save(self, path: Path) -> None:
        """Write PKCS #8 PEM, mode 0600. Raises `FileExistsError` rather than overwrite a key."""
        pem = self.native.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())

    @property
    def public(self) -> VerifyingKey:
        """The public half."""
        return VerifyingKey(self.kind, self.native.public_key())

    def sign_bytes(self, data: bytes) -> bytes:
        """A bare signature: Ed25519 raw, ECDSA as DER. For formats that are not JWS, such as signed notes."""
        if isinstance(self.native, ed25519.Ed25519PrivateKey):
            return self.native.sign(data)
        return self.native.sign(data, ec.ECDSA(hashes.SHA256()))

    def sign(self, payload: Json, *, typ: str, kid: str) -> str:
        """A compact JWS over the canonical JSON of `payload`, of type `typ`, by the key named `kid`."""
        return _JWS.encode(encode(payload), self.native, _ALGORITHM[self.kind], headers={"typ": typ, "kid": kid})

    def sign_detached(self, document: Json, *, typ: str, kid: str) -> str:
        """The same with the content left out (RFC 7515 appendix F): ``header..signature``."""
        header, _, signature = self.sign(document, typ=typ, kid=kid).split(".")
        return f"{header}..{signature}"


# Who a key identifier belongs to. It raises (`NotFound`, `SignatureInvalid`...) rather than return nothing.
KeyResolver = Callable[[str], VerifyingKey]


def verify(token: str, *, typ: str, resolve: KeyResolver) -> Json:
    """The payload of a compact JWS, once it holds. Raises `SignatureInvalid`.

    (1) It is three parts of canonical base64url and not too long. (2) Its header names exactly the type expected, and
    no critical extension. (3) `resolve` knows the key identifier. (4) The algorithm is the one of that key, not the one
    the token asks for. (5) The signature holds. (6) The payload is strict JSON. The caller still owes: what the payload
    says.
    """
    if len(token) > MAX_JWS_CHARACTERS or token.count(".") != 2:  # (1)
        raise SignatureInvalid("this is not a compact JWS of acceptable size")
    signed, _, _ = token.rpartition(".")
    # A second spelling of the same bytes would be a second token.
    _, payload, signature = (unb64url(part) for part in token.split("."))
    header = read_header(token)
    if header.get("typ") != typ:  # (2)
        raise SignatureInvalid(f"a signature of type {typ!r} was expected, this one is {header.get('typ')!r}")
    if "crit" in header:
        raise SignatureInvalid("critical header extensions are not understood here")
    if not isinstance(kid := header.get("kid"), str):
        raise SignatureInvalid("the signature does not name its key (kid)")
    key = resolve(kid)  # (3)
    algorithm = _JWS.get_algorithm_by_name(_ALGORITHM[key.kind])
    # The header's own wish must agree: a token that asks for another algorithm was not made by us or for us. (4)
    if header.get("alg") != _ALGORITHM[key.kind] or not algorithm.verify(signed.encode(), key.native, signature):  # (5)
        raise SignatureInvalid(f"the signature by {kid} does not hold")
    return parse(payload)  # (6)


def verify_detached(signature: str, document: Json, *, typ: str, resolve: KeyResolver) -> None:
    """Raise `SignatureInvalid` unless `signature` is a detached JWS of type `typ` over `document`."""
    parts = signature.split(".")
    if len(parts) != 3 or parts[1]:
        raise SignatureInvalid("this is not a detached JWS (header..signature)")
    verify(f"{parts[0]}.{b64url(encode(document))}.{parts[2]}", typ=typ, resolve=resolve)


def read_header(token: str) -> dict[str, Json]:
    """The header of a JWS, NOT verified: good for choosing what to verify with, for nothing else."""
    header = parse(unb64url(token.split(".", 1)[0]))
    if not isinstance(header, dict):
        raise SignatureInvalid("the JWS header is not an object")
    return header


def read_unverified(token: str) -> Json:
    """The payload of a JWS, NOT verified: for showing to a person, or for choosing how to verify it."""
    parts = token.split(".")
    if len(token) > MAX_JWS_CHARACTERS or len(parts) != 3:
        raise SignatureInvalid("this is not a compact JWS of acceptable size")
    return parse(unb64url(parts[1]))


def b64url(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64url(text: str) -> bytes:
    """The bytes of unpadded base64url. Raises `Malformed`; a second spelling of the same bytes is refused."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise Malformed("this is not base64url") from error
    if b64url(data) != text:
        raise Malformed("this is not canonical base64url")
    return data


def _unusable(jwk: dict[str, Json]) -> VerifyingKey:
    raise KeyUnusable(f"keys are P-256 or Ed25519; this one is {jwk.get('kty')} {jwk.get('crv')}")
