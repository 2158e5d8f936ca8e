"""Algorithms in repositories: ours at other providers, and those that were sent to us."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from connector.protocol.callbacks import check_callback, peer_transport
from registry.trust import Trust
from sandbox.algorithms.algorithm import Algorithm
from sandbox.algorithms.client import AlgorithmClient
from sandbox.algorithms.messages import AlgorithmBody, AlgorithmSummary
from sandbox.algorithms.repository import Algorithms


@dataclass(frozen=True)
class OwnRepository:
    """Our own repository, as an `AlgorithmClient` of ours would see it."""

    repository: Algorithms
    did: str

    def submit(self, algorithm: Algorithm) -> AlgorithmBody:
        """Keep an algorithm of our own."""
        return self.repository.submit(algorithm, self.did)

    def algorithms(self) -> list[AlgorithmSummary]:
        """All, in every state."""
        return self.repository.listing(self.did)

    def show(self, digest: str) -> AlgorithmBody:
        """One with its whole story."""
        return self.repository.show(digest, self.did)

    def withdraw(self, digest: str) -> AlgorithmBody:
        """Have it run no more."""
        return self.repository.withdraw(digest, self.did)


@dataclass(frozen=True)
class Repositories:
    """The algorithm repositories of providers in the space, by their DID; None is `own`.

    Everything raises `ParticipantUnknown`, and what is answered there.
    """

    own: OwnRepository
    trust: Trust
    authorise: Callable[[str], str]
    unsafe_allow_loopback: bool
    transport: httpx.BaseTransport | None = None

    def of(self, provider: str | None) -> AlgorithmClient | OwnRepository:
        """The repository of `provider`."""
        if provider is None or provider == self.own.did:
            return self.own
        home = urlsplit(self.trust.participant(provider).dsp_url)
        address = check_callback(f"{home.scheme}://{home.netloc}", unsafe_allow_loopback=self.unsafe_allow_loopback)
        transport = self.transport or peer_transport(unsafe_allow_loopback=self.unsafe_allow_loopback)
        return AlgorithmClient(address, lambda: self.authorise(provider), transport)
