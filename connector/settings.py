"""What a connector must be told. Environment prefix ``HEXI_CONNECTOR_``."""

import warnings
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from hexi.settings import Port, ServiceSettings
from registry.identity import did_web, is_loopback


class UnsafeSettingWarning(UserWarning):
    """A setting with an ugly name is on."""


class ConnectorSettings(ServiceSettings):
    """Settings of one connector, built once in `connector.cli` and passed to `connector.app.create_app`."""

    model_config = SettingsConfigDict(env_prefix="HEXI_CONNECTOR_", extra="ignore", frozen=True)

    port: Port = 8081
    # The space this connector belongs to: its registry, ledger, market and aggregation point.
    space_url: str = "http://127.0.0.1:8080"
    # The operator's DID. Empty means the did:web of `space_url`; give it where the two differ.
    space_did: str = ""
    # Agreements without Hexi signatures prove nothing to third parties; only for trying out peers of other makes.
    unsafe_accept_unsigned_agreements: bool = False
    # Call peers on http, loopback and private addresses. None means: only if this connector is itself on loopback. On a
    # public host it would let any participant make this process call services that trust its address.
    unsafe_allow_loopback_callbacks: bool | None = None
    # Deliver webhooks to http, loopback and private addresses. None means: only if this connector is on loopback.
    # Elsewhere whoever has the management token could make this process call services that trust its address.
    unsafe_allow_private_webhooks: bool | None = None
    # Seconds the outbox worker rests when nothing is due.
    worker_seconds: float = 0.2
    # Seconds between two looks at the deliveries that run. What the terms forbid is refused at once; so long a
    # transfer may still be called running.
    monitor_seconds: float = 1.0

    # Whether the catalogues of all providers of the space are crawled, or only those of participants named by hand.
    crawl_members: bool = True
    # Seconds between two crawls of a catalogue. One that has not changed costs its owner a single question.
    crawl_seconds: Annotated[float, Field(ge=1)] = 600.0
    # Catalogues asked at once. Half of them leave those alone that answer slowly.
    crawl_parallel: Annotated[int, Field(ge=1, le=64)] = 4

    # The port of the Arrow Flight server, beside the connector's own. None: no tables are delivered (mode `table`).
    flight_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    # The address others reach it at, such as grpc+tls://clinic.example:8815. Empty means this host and that port.
    flight_url: str = ""

    @property
    def flight_listens_at(self) -> str:
        """The address the Flight server listens at, encrypted where the connector itself is."""
        scheme = "grpc+tls" if self.tls_certificate else "grpc+tcp"
        return f"{scheme}://{self.host}:{self.flight_port}"

    @property
    def flight_address(self) -> str:
        """The address the Flight server is reached at."""
        scheme = "grpc+tls" if self.tls_certificate else "grpc+tcp"
        return self.flight_url or f"{scheme}://{urlsplit(self.url).hostname}:{self.flight_port}"

    @property
    def unserved(self) -> dict[str, str]:
        """Modes that nothing is delivered in with these settings, and the setting that is missing."""
        return {"table": "HEXI_CONNECTOR_FLIGHT_PORT"} if self.flight_port is None else {}

    @property
    def operator(self) -> str:
        """The DID of the operator of the space."""
        return self.space_did or did_web(self.space_url)

    @property
    def aggregation_point(self) -> str:
        """Where encrypted numbers of this space are added up; no other place gets any."""
        return f"{self.space_url.rstrip('/')}/aggregations"

    @property
    def allows_loopback(self) -> bool:
        """Whether peers on loopback and private addresses are called."""
        return self._unless_told(self.unsafe_allow_loopback_callbacks)

    @property
    def allows_private_webhooks(self) -> bool:
        """Whether webhooks on loopback and private addresses are called."""
        return self._unless_told(self.unsafe_allow_private_webhooks)

    def _unless_told(self, told: bool | None) -> bool:
        return is_loopback(urlsplit(self.url).hostname or "") if told is None else told

    @model_validator(mode="after")
    def _warn(self) -> "ConnectorSettings":
        if self.unsafe_accept_unsigned_agreements:
            warnings.warn(
                "agreements without signatures are accepted: they prove nothing to third parties",
                UnsafeSettingWarning,
                stacklevel=2,
            )
        return self
