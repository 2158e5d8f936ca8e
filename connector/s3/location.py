"""Where an object lies: read from a data address as Eclipse EDC's Technology-Aws writes it, checked to the letter.

Pure. The names are EDC's, alone or as full IRIs: region, bucketName, objectName or keyName, keyPrefix,
endpointOverride, accessKeyId, secretAccessKey, and sessionToken for temporary keys. Whatever becomes part of a host
name or a path is checked here, so that no property can lead a request somewhere else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from connector.s3.errors import LocationInvalid
from connector.s3.signing import Credentials, quoted

TYPE = "AmazonS3"

# Amazon S3 User Guide, bucket naming rules; object keys are at most 1,024 bytes of UTF-8.
_BUCKET = re.compile(r"(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+\Z)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MAX_KEY_BYTES = 1_024
# An access key, its secret, a session token: longer ones are none.
MAX_CREDENTIAL_CHARACTERS = 4_096
DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True)
class Location:
    """An object: `endpoint` is the address of an S3-compatible service, empty for Amazon's own."""

    region: str
    bucket: str
    key: str
    endpoint: str = ""

    @property
    def url(self) -> str:
        """The object's address: by path where an endpoint is named (as every other make understands), else by host."""
        path = quoted(self.key, safe="/")
        if self.endpoint:
            return f"{self.endpoint.rstrip('/')}/{quoted(self.bucket)}/{path}"
        domain = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return f"https://{self.bucket}.s3.{self.region}.{domain}/{path}"


def read_location(properties: Mapping[str, str], default_key: str = "") -> tuple[Location, Credentials]:
    """The object and the key to it that `properties` name. Raises `LocationInvalid`.

    The endpoint's address is only read here; whether it may be called is checked by `connector.protocol.callbacks`.
    """
    return _location(properties, default_key), _credentials(properties)


def _location(properties: Mapping[str, str], default_key: str) -> Location:
    region = properties.get("region") or DEFAULT_REGION
    if not _REGION.fullmatch(region):
        raise LocationInvalid("region is a name such as eu-central-1")
    bucket = properties.get("bucketName", "")
    if not _BUCKET.fullmatch(bucket):
        raise LocationInvalid("bucketName is 3 to 63 small letters, digits, dots and hyphens")
    name = properties.get("objectName") or properties.get("keyName") or default_key
    return Location(
        region, bucket, _key(properties.get("keyPrefix", "") + name), properties.get("endpointOverride", "")
    )


def _key(key: str) -> str:
    if not key or len(key.encode()) > MAX_KEY_BYTES or _CONTROL.search(key):
        raise LocationInvalid(f"objectName is 1 to {MAX_KEY_BYTES} bytes without control characters")
    # Clients and proxies resolve such segments, so what is signed would not be what is asked for.
    if key.startswith("/") or {"", ".", ".."} & set(key.removesuffix("/").split("/")):
        raise LocationInvalid("objectName has no empty, '.' or '..' segments")
    return key


def _credentials(properties: Mapping[str, str]) -> Credentials:
    given = {name: properties.get(name, "") for name in ("accessKeyId", "secretAccessKey")}
    token = properties.get("sessionToken") or None
    for name, value in {**given, "sessionToken": token or "x"}.items():
        if not value or len(value) > MAX_CREDENTIAL_CHARACTERS or not value.isascii() or not value.isprintable():
            raise LocationInvalid(f"{name} is needed, as printable ASCII")
    return Credentials(given["accessKeyId"], given["secretAccessKey"], token)
