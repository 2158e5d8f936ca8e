"""What a provider says about a source when it names a resource, and the source that becomes of it.

    {"type": "file", "path": "/data/visits.parquet"}
    {"type": "directory", "path": "/data/scans"}
    {"type": "postgresql", "secret": "warehouse", "query": "SELECT * FROM visits"}
    {"type": "http", "url": "https://inside.example/export", "secret": "export-header"}

A secret is the name of a file in the connector's ``secrets`` folder: a connection string, or one header line such as
``Authorization: Bearer ...``.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from connector.business_errors import ResourceUnusable
from connector.sources import Source
from connector.sources.files import Digests, DirectorySource, FileSource
from connector.sources.http import HttpSource
from connector.sources.postgresql import PostgresqlSource
from hexi.canonical import Json, Wire

SECRETS_FOLDER = "secrets"
# In bytes. A longer file is no password.
MAX_SECRET_BYTES = 16_384

# The name of a file, not a path to one.
SecretName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
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


Description = Annotated[
    FileDescription | DirectoryDescription | PostgresqlDescription | HttpDescription, Field(discriminator="type")
]

_DESCRIPTION: TypeAdapter[Description] = TypeAdapter(Description)


def read_description(value: Json) -> Description:
    """The description in `value`. Raises `ResourceUnusable`, which never quotes a value."""
    try:
        return _DESCRIPTION.validate_python(value)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'source'}: {e['msg']}" for e in error.errors()[:3])
        raise ResourceUnusable(f"the source cannot be read: {wrong}") from error


@dataclass(frozen=True)
class Sources:
    """Opens what descriptions describe. `home` is the connector's folder."""

    home: Path
    digests: Digests = field(default_factory=Digests)

    def of(self, name: str, description: Json) -> Source:
        """The source of the resource `name`. Raises `ResourceUnusable` for a bad description or a missing secret."""
        match read_description(description):
            case FileDescription(path=path, media_type=kind):
                return FileSource(_absolute(path), self.digests, path.name, kind or "")
            case DirectoryDescription(path=path):
                return DirectorySource(_absolute(path), self.digests, name)
            case PostgresqlDescription(secret=secret, query=query):
                return PostgresqlSource(self._secret(secret), query.strip().rstrip(";"), name)
            case HttpDescription(url=url, secret=secret):
                return HttpSource(url, name, _header(self._secret(secret)) if secret else {})

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


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ResourceUnusable("a source is named by its absolute path")
    return path
