"""Who a process is: a did:web, its key, and the DID document that ties the two together.

    >>> did_web("http://127.0.0.1:8080")
    'did:web:127.0.0.1%3A8080'
    >>> did_web_url("did:web:data.example:hospital")
    'https://data.example/hospital/did.json'

Sources: W3C DID Core 1.0; the did:web method; JsonWebKey2020 for keys as JWK.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from hexi.canonical import Json
from hexi.keys import SigningKey, VerifyingKey
from registry.errors import DidDocumentInvalid, DidInvalid

PREFIX = "did:web:"
KEY_FRAGMENT = "key-1"
KEY_FILE = "identity.pem"

# A DID or key identifier longer than this, in characters, is refused unread: a host name has at most 253.
MAX_DID_CHARACTERS = 512

Service = tuple[str, str, str]


@dataclass(frozen=True)
class Identity:
    """A DID and the private key that speaks for it."""

    did: str
    key: SigningKey

    @classmethod
    def load_or_create(cls, home: Path, did: str) -> "Identity":
        """The identity kept in `home`; a P-256 key is made on first use. Raises `DidInvalid`, `KeyUnusable`."""
        did_web_url(did)
        return cls(did, SigningKey.load_or_create(home / KEY_FILE))

    @classmethod
    def load(cls, home: Path, did: str) -> "Identity":
        """The identity kept in `home`, which must exist. Raises `DidInvalid`, `KeyUnusable`."""
        did_web_url(did)
        return cls(did, SigningKey.load(home / KEY_FILE))

    @property
    def kid(self) -> str:
        """The identifier of the key: the DID with a fragment."""
        return f"{self.did}#{KEY_FRAGMENT}"

    def did_document(self, *, services: Sequence[Service] = ()) -> dict[str, Json]:
        """The DID document to serve; each of `services` is (fragment, type, endpoint)."""
        method = {
            "id": self.kid,
            "type": "JsonWebKey2020",
            "controller": self.did,
            "publicKeyJwk": self.key.public.jwk(),
        }
        document: dict[str, Json] = {
            "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/jws-2020/v1"],
            "id": self.did,
            "verificationMethod": [method],
            "authentication": [self.kid],
            "assertionMethod": [self.kid],
        }
        if services:
            document["service"] = [
                {"id": f"{self.did}#{fragment}", "type": kind, "serviceEndpoint": endpoint}
                for fragment, kind, endpoint in services
            ]
        return document


def did_web(url: str) -> str:
    """The did:web of the service at `url`. Raises `DidInvalid`."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise DidInvalid(f"{url!r} cannot be made a did:web; give an address such as https://data.example")
    segments = [quote(parts.netloc.lower(), safe="")]
    segments += [quote(unquote(segment), safe="") for segment in parts.path.split("/") if segment]
    return PREFIX + ":".join(segments)


def did_web_url(did: str, *, insecure_http: bool = False) -> str:
    """Where the DID document of `did` is served. Raises `DidInvalid`.

    Always https, except that with `insecure_http` a loopback host is asked over http: nobody can stand between there.
    """
    if not did.startswith(PREFIX) or len(did) > MAX_DID_CHARACTERS:
        raise DidInvalid(f"a did:web of at most {MAX_DID_CHARACTERS} characters was expected, not {did[:80]!r}")
    segments = [unquote(segment) for segment in did.removeprefix(PREFIX).split(":")]
    # An encoded slash, an '@' or a dot segment would make the URL lead elsewhere than the DID says.
    if any(not s or s in {".", ".."} or not s.isprintable() or set(s) & set("/\\?#@ ") for s in segments):
        raise DidInvalid(f"{did!r} has an empty or misleading part")
    host, *path = segments
    try:
        hostname = urlsplit(f"//{host}").hostname
        urlsplit(f"//{host}").port  # noqa: B018 - reading it is the check
    except ValueError as error:
        raise DidInvalid(f"{did!r} does not name a host") from error
    if not hostname:
        raise DidInvalid(f"{did!r} does not name a host")
    scheme = "http" if insecure_http and is_loopback(hostname) else "https"
    return f"{scheme}://{host}/{'/'.join([quote(s) for s in path] or ['.well-known'])}/did.json"


def is_loopback(hostname: str) -> bool:
    """Whether `hostname` is this machine by its very name (no look-up, which somebody else would answer)."""
    if hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False


def did_of(kid: str) -> str:
    """The DID that a key identifier ``did#fragment`` belongs to. Raises `DidInvalid`."""
    did, mark, fragment = kid.partition("#")
    if not mark or not fragment or not did.startswith("did:") or len(kid) > MAX_DID_CHARACTERS:
        raise DidInvalid(f"a key identifier looks like did:web:host#key-1, not {kid[:80]!r}")
    return did


def key_from_document(document: Json, kid: str) -> VerifyingKey:
    """The key that `document` vouches for as `kid`. Raises `DidDocumentInvalid`, `DidInvalid`, `KeyUnusable`.

    (1) The document is that of the DID in `kid`. (2) `assertionMethod` lists the key: a key that may only log in must
    not sign agreements. (3) Exactly one verification method has this name, is controlled by the DID, and is public.
    """
    did = did_of(kid)
    if not isinstance(document, dict) or document.get("id") != did:  # (1)
        raise DidDocumentInvalid(f"this is not the DID document of {did}")
    if kid not in _listed(document, "assertionMethod"):  # (2)
        raise DidDocumentInvalid(f"the DID document does not list {kid} under assertionMethod")
    methods = [m for m in _listed(document, "verificationMethod") if isinstance(m, dict) and m.get("id") == kid]
    if len(methods) != 1 or methods[0].get("controller") != did:  # (3)
        raise DidDocumentInvalid(f"the DID document does not describe {kid} exactly once, under its own control")
    return VerifyingKey.from_jwk(methods[0].get("publicKeyJwk"))


def _listed(document: dict[str, Json], member: str) -> list[Json]:
    found = document.get(member)
    return found if isinstance(found, list) else []
