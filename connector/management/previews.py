"""Preview of others' products: asked of their providers, before anything is agreed."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from connector.contracts.errors import ProductUnknown
from connector.protocol.callbacks import check_callback, peer_transport
from ledger.documents import verify_document
from registry.catalogue import TYPE, read_product
from registry.client import RegistryClient
from registry.trust import Trust
from sandbox.client import SandboxClient
from sandbox.preview import DryRun


@dataclass(frozen=True)
class Previews:
    """Asks providers of the space what would come of a query."""

    registry: RegistryClient
    trust: Trust
    authorise: Callable[[str], str]
    unsafe_allow_loopback: bool
    transport: httpx.BaseTransport | None = None

    def dry_run(self, product: str, query: str) -> DryRun:
        """What its provider says would come of `query`. Raises `ProductUnknown`, and what is answered elsewhere."""
        return self._sandbox(product).dry_run(product, query)

    def _sandbox(self, identifier: str) -> SandboxClient:
        product = read_product(verify_document(self.registry.product(identifier), self.trust.resolve, of_type=TYPE))
        if product.identifier != identifier:
            raise ProductUnknown(f"nobody publishes a product {identifier}")
        home = urlsplit(self.trust.participant(product.provider).dsp_url)
        address = check_callback(f"{home.scheme}://{home.netloc}", unsafe_allow_loopback=self.unsafe_allow_loopback)
        transport = self.transport or peer_transport(unsafe_allow_loopback=self.unsafe_allow_loopback)
        return SandboxClient(address, transport, authorise=lambda: self.authorise(product.provider))
