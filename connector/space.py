"""The space as a connector sees it: whom to believe, and its services."""

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from connector.management.membership import Membership
from connector.protocol.peers import Peers
from connector.settings import ConnectorSettings
from hexi.canonical import Clock
from ledger.client import LedgerClient
from registry.client import RegistryClient
from registry.identity import Identity
from registry.presentation import PresentationVerifier
from registry.trust import RemoteTrust
from sandbox.client import AggregationClient


@dataclass(frozen=True)
class Space:
    """What this connector calls of its space."""

    membership: Membership
    peers: Peers
    registry: RegistryClient
    ledger: LedgerClient
    aggregation: AggregationClient

    def contribute(self, _point: str, job: str, ciphertext: bytes, run: str, terms: str) -> None:
        """Send an encrypted number. The sandbox has checked that the point is the one it trusts: our space's."""
        self.aggregation.contribute(job, ciphertext, run, terms)


def space_of(
    settings: ConnectorSettings,
    identity: Identity,
    clock: Clock,
    transport: httpx.BaseTransport | None,
    peers: Callable[[Peers], Peers],
) -> Space:
    """The space that `settings` name. `peers` stands other kinds of peers beside those of the space."""
    public = RegistryClient(settings.space_url, transport=transport)
    membership = Membership(settings.home, settings.url, identity, public, clock)

    def authorise() -> str:
        return membership.authorise(settings.operator)

    trust = RemoteTrust(public, settings.operator, clock)
    return Space(
        membership,
        peers(Peers(trust, PresentationVerifier(identity.did, trust, clock), membership.authorise)),
        RegistryClient(settings.space_url, authorise, transport),
        LedgerClient(settings.space_url, authorise, transport),
        AggregationClient(settings.space_url, authorise, transport),
    )
