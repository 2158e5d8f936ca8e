"""Algorithms of ours in providers' repositories: sent there, and what became of them."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from connector.protocol.callbacks import check_callback, peer_transport
from registry.trust import Trust
from sandbox.algorithms.algorithm import Algorithm
from sandbox.algorithms.client import AlgorithmClient
from sandbox.algorithms.messages import AlgorithmBody, AlgorithmSummary


@dataclass(frozen=True)
class PeerAlgorithms:
    """Asks the algorithm repositories of providers in the space."""

    trust: Trust
    authorise: Callable[[str], str]
    unsafe_allow_loopback: bool
    transport: httpx.BaseTransport | None = None

    def submit(self, provider: str, algorithm: Algorithm) -> AlgorithmBody:
        """Send an algorithm of ours to `provider`. Raises `ParticipantUnknown`, and what is answered there."""
        return self._repository(provider).submit(algorithm)

    def algorithms(self, provider: str) -> list[AlgorithmSummary]:
        """What `provider` accepted, and ours there. Raises `ParticipantUnknown`, and what is answered there."""
        return self._repository(provider).algorithms()

    def algorithm(self, provider: str, digest: str) -> AlgorithmBody:
        """One with trials and judgements. Raises `ParticipantUnknown`, and what is answered there."""
        return self._repository(provider).show(digest)

    def _repository(self, provider: str) -> AlgorithmClient:
        home = urlsplit(self.trust.participant(provider).dsp_url)
        address = check_callback(f"{home.scheme}://{home.netloc}", unsafe_allow_loopback=self.unsafe_allow_loopback)
        transport = self.transport or peer_transport(unsafe_allow_loopback=self.unsafe_allow_loopback)
        return AlgorithmClient(address, lambda: self.authorise(provider), transport)
