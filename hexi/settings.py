"""What every service must be told: where it listens, where it keeps its data, how large a request may be.

Each service has one subclass with its own prefix (``HEXI_SPACE_PORT=9000``), built once in its ``cli.py`` and passed to
`create_app`. Nothing reads the environment at import.
"""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from hexi.errors import Malformed

# The largest request body, in bytes. The largest honest one is an encrypted sum (0.4 MB per ciphertext, in base64).
MAX_BODY_BYTES = 4 * 1024 * 1024


Port = Annotated[int, Field(ge=0, le=65_535)]


class SettingsInvalid(Malformed):
    """A setting is missing or cannot be read."""

    code = "hexi.settings-invalid"
    title = "A setting is wrong"


class ServiceSettings(BaseSettings):
    """Settings shared by all services."""

    model_config = SettingsConfigDict(env_prefix="HEXI_", extra="ignore", frozen=True)

    # Keys, the SQLite file and other state of this service live here.
    home: Path = Path(".hexi")
    host: str = "127.0.0.1"
    port: Port = 8080
    # The address others reach this service at; it stands in DID documents and callbacks. Empty means http(s)://host:port.
    public_url: str = ""
    # Empty means an SQLite file in `home`.
    database_url: str = ""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    max_body_bytes: int = MAX_BODY_BYTES

    @model_validator(mode="after")
    def _tls_in_pairs(self) -> "ServiceSettings":
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("give both tls_certificate and tls_key, or neither")
        return self

    @property
    def url(self) -> str:
        """The public address, without a trailing slash."""
        scheme = "https" if self.tls_certificate else "http"
        return (self.public_url or f"{scheme}://{self.host}:{self.port}").rstrip("/")

    @property
    def database(self) -> str:
        """The database URL, or the SQLite file in `home`."""
        return self.database_url or f"sqlite:///{self.home / 'hexi.sqlite'}"


_Settings = TypeVar("_Settings", bound=ServiceSettings)


def build(cls: type[_Settings], **given: object) -> _Settings:
    """Build settings from the environment and the options `given` (those not None win). Raises `SettingsInvalid`."""
    try:
        return cls(**{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
        raise SettingsInvalid(f"{wrong} (environment prefix {cls.model_config.get('env_prefix')})") from error
