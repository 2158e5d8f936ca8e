"""What a provider says about a source when it names a resource, and the source that becomes of it.

    {"type": "file", "path": "/data/visits.parquet"}
    {"type": "directory", "path": "/data/scans"}
    {"type": "postgresql", "secret": "warehouse", "query": "SELECT * FROM visits"}
    {"type": "http", "url": "https://inside.example/export", "secret": "export-header"}
    {"type": "s3", "bucket": "exports", "key": "visits.parquet", "endpoint": "https://s3.inside", "secret": "s3-key"}

A secret is the name of a file in the connector's ``secrets`` folder: a connection string, one header line such as
``Authorization: Bearer ...``, or an access key as ``id:secret``.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from connector.s3.errors import LocationInvalid
from connector.s3.location import Location, read_location
from connector.s3.signing import Credentials
from connector.sources import Content, Source
from connector.sources.errors import ResourceUnusable
from connector.sources.files import Digests, DirectorySource, FileSource
from connector.sources.http import HttpSource
from connector.sources.ndjson import NdjsonStream
from connector.sources.postgresql import PostgresqlSource
from connector.sources.s3 import S3Source
from connector.sources.services import ApiDescription, NdjsonDescription, SecretName, StreamDescription
from hexi.canonical import Clock, Json, Wire, system_clock
from registry.codes import Mode

SECRETS_FOLDER = "secrets"
# Below the connector's home, what was delivered to it; that may be offered on.
RECEIVED_FOLDER = "received"
# In bytes. A longer file is no password.
MAX_SECRET_BYTES = 16_384

MediaType = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+$", max_length=127)]


class FileDescription(Wire):
    """One file."""

    type: Literal["file"]
    path: Path
    media_type: MediaType | None = None


class DirectoryDescription(Wire):
    """Every file below a directory."""

    type: Literal["directory"]
    path: Path


class PostgresqlDescription(Wire):
    """What a query of the provider's own gives; the connection string is the secret."""

    type: Literal["postgresql"]
    secret: SecretName
    query: Annotated[str, Field(min_length=1, max_length=20_000)]


class HttpDescription(Wire):
    """What a server of the provider's own answers; one header line may be the secret."""

    type: Literal["http"]
    url: Annotated[str, Field(pattern=r"^https?://[^\s@#]+$", max_length=2_048)]
    secret: SecretName | None = None


class S3Description(Wire):
    """An object in S3-compatible storage; the secret is an access key, as ``id:secret``."""

    type: Literal["s3"]
    bucket: Annotated[str, Field(max_length=63)]
    key: Annotated[str, Field(max_length=1_024)]
    region: Annotated[str, Field(max_length=32)] = "us-east-1"
    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s@?#]+$", max_length=2_048)] | None = None
    secret: SecretName


# What is delivered whole, and what is served piece by piece (`connector.sources.services`).
Whole = FileDescription | DirectoryDescription | PostgresqlDescription | HttpDescription | S3Description
Service = ApiDescription | StreamDescription | NdjsonDescription
Description = Annotated[Whole | Service, Field(discriminator="type")]

_DESCRIPTION: TypeAdapter[Description] = TypeAdapter(Description)


def read_description(value: Json) -> Description:
    """The description in `value`. Raises `ResourceUnusable`, which never quotes a value."""
    try:
        return _DESCRIPTION.validate_python(value)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'source'}: {e['msg']}" for e in error.errors()[:3])
        raise ResourceUnusable(f"the source cannot be read: {wrong}") from error


def check_modes(modes: Json, description: Json) -> None:
    """Raise `ResourceUnusable` where a product's modes need another kind of source than the resource has."""
    found = None if description is None else read_description(description)
    kinds: dict[Mode, Any] = {
        Mode.FILE: Whole,
        Mode.API: ApiDescription,
        Mode.STREAM: StreamDescription | NdjsonDescription,
    }
    wrong = [mode for mode, kind in kinds.items() if mode in (modes or ()) and not isinstance(found, kind)]
    if wrong:
        raise ResourceUnusable(f"the mode {', '.join(wrong)} needs another kind of source than this resource has")


@dataclass(frozen=True)
class Sources:
    """Opens what descriptions describe. `home` is the connector's folder."""

    home: Path
    digests: Digests = field(default_factory=Digests)
    clock: Clock = system_clock

    def of(self, name: str, description: Json) -> Source:
        """The source of the resource `name`. Raises `ResourceUnusable` for a bad description or a missing secret."""
        match read_description(description):
            case FileDescription(path=path, media_type=kind):
                return FileSource(self._checked(path), self.digests, path.name, kind or "")
            case DirectoryDescription(path=path):
                return DirectorySource(self._checked(path), self.digests, name)
            case PostgresqlDescription(secret=secret, query=query):
                return PostgresqlSource(self._secret(secret), query.strip().rstrip(";"), name)
            case HttpDescription(url=url, secret=secret):
                return HttpSource(url, name, _header(self._secret(secret)) if secret else {})
            case S3Description() as stored:
                return S3Source(*self._stored(stored), self.clock)
            case ApiDescription(type=kind) | StreamDescription(type=kind) | NdjsonDescription(type=kind):
                raise ResourceUnusable(f"a resource of type {kind} is served piece by piece, not delivered as a file")

    def check(self, name: str, description: Json) -> None:
        """Raise `ResourceUnusable` unless the description is a good one and its secrets are at hand."""
        match read_description(description):
            case ApiDescription():
                self.api(description)
            case NdjsonDescription(path=path):
                NdjsonStream(self._checked(path)).extent()
            case StreamDescription():
                pass
            case _:
                self.of(name, description)

    def content(self, name: str, description: Json) -> Content | None:
        """What would be delivered whole; None of what is served piece by piece. Raises what `of` raises, and
        `SourceUnavailable`."""
        return None if isinstance(read_description(description), Service) else self.of(name, description).content()

    def api(self, description: Json) -> tuple[ApiDescription, dict[str, str]]:
        """An API, and the header that only its provider knows. Raises `ResourceUnusable`."""
        found = read_description(description)
        if not isinstance(found, ApiDescription):
            raise ResourceUnusable("the resource is no API; name one with a source of type api")
        return found, _header(self._secret(found.secret)) if found.secret else {}

    def _stored(self, stored: S3Description) -> tuple[Location, Credentials]:
        access_key_id, _, secret_access_key = self._secret(stored.secret).partition(":")
        try:
            return read_location(
                {
                    "region": stored.region,
                    "bucketName": stored.bucket,
                    "objectName": stored.key,
                    "endpointOverride": stored.endpoint or "",
                    "accessKeyId": access_key_id,
                    "secretAccessKey": secret_access_key,
                }
            )
        except LocationInvalid as error:
            raise ResourceUnusable(f"the object cannot be named so: {error.detail}") from error

    def _checked(self, path: Path) -> Path:
        """`path`, if it may be delivered: not what holds this connector's own keys. Raises `ResourceUnusable`."""
        if not path.is_absolute() or "\0" in str(path):
            raise ResourceUnusable("a source is named by its absolute path")
        home, found = self.home.resolve(), path.resolve()
        within = found.is_relative_to(home) and not found.is_relative_to(home / RECEIVED_FOLDER)
        if within or home.is_relative_to(found):
            raise ResourceUnusable(
                f"the connector's own folder holds its keys and is not delivered, but for what was {RECEIVED_FOLDER}"
            )
        return path

    def _secret(self, name: str) -> str:
        path = self.home / SECRETS_FOLDER / name
        try:
            found = path.read_bytes()[: MAX_SECRET_BYTES + 1]
        except OSError as error:
            raise ResourceUnusable(f"the secret {name} is missing; put it into the file {path}") from error
        if not 0 < len(found) <= MAX_SECRET_BYTES or not found.isascii():
            raise ResourceUnusable(f"the secret {name} is empty, too long, or not ASCII")
        return found.decode("ascii").strip()


def _header(line: str) -> dict[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip() or "\n" in line or "\r" in line:
        raise ResourceUnusable("the secret of an http source is one header line, such as Authorization: Bearer ...")
    return {name.strip(): value.strip()}
