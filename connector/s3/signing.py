"""AWS Signature Version 4, for S3: the headers that say who asks and for exactly what.

Pure. Every request is signed with the digest of its body, so that a body changed on the way is refused at the other
end. Source: AWS General Reference, "Create a signed AWS API request"; Amazon S3 API Reference, "Authenticating
Requests (AWS Signature Version 4)".
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "s3"


@dataclass(frozen=True)
class Credentials:
    """An access key. The secret parts are kept out of its repr, and so out of logs."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def quoted(text: str, safe: str = "") -> str:
    """`text` percent-encoded as the signature demands: every byte but the unreserved ones, and `safe`."""
    return quote(text, safe=f"{safe}-_.~")


def query_string(parameters: Mapping[str, str]) -> str:
    """`parameters` in the one order and spelling that is signed; send exactly this."""
    # Sorted as they are encoded, which is another order than as they are meant.
    pairs = sorted((quoted(name), quoted(value)) for name, value in parameters.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    credentials: Credentials,
    region: str,
    at: datetime,
) -> dict[str, str]:
    """`headers` with those that sign the request. `url` is encoded already, its query by `query_string`."""
    parts = urlsplit(url)
    moment = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    content = hashlib.sha256(body).hexdigest()
    signed = {
        **{name.lower(): value.strip() for name, value in headers.items()},
        "host": parts.netloc,
        "x-amz-date": moment,
        "x-amz-content-sha256": content,
        **({"x-amz-security-token": credentials.session_token} if credentials.session_token else {}),
    }
    names = ";".join(sorted(signed))
    request = "\n".join(
        [
            method,
            parts.path or "/",
            parts.query,
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            content,
        ]
    )
    scope = f"{moment[:8]}/{region}/{_SERVICE}/aws4_request"
    to_sign = "\n".join([ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    signature = hmac.new(_key(credentials, moment[:8], region), to_sign.encode(), hashlib.sha256).hexdigest()
    credential = f"{credentials.access_key_id}/{scope}"
    authorization = f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {**signed, "authorization": authorization}


def _key(credentials: Credentials, day: str, region: str) -> bytes:
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (day, region, _SERVICE, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
