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
from sandbox.preview import DryRun, TwinFormat, TwinSidecar


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

    def twin(self, product: str) -> TwinSidecar:
        """What the product's twin is drawn from. Raises as `dry_run` does."""
        return self._sandbox(product).twin(product)

    def twin_table(self, product: str, table: str, format_: TwinFormat) -> bytes:
        """A table of the twin. Raises as `dry_run` does."""
        return self._sandbox(product).twin_table(product, table, format_)

    def _sandbox(self, identifier: str) -> SandboxClient:
        product = read_product(verify_document(self.registry.product(identifier), self.trust.resolve, of_type=TYPE))
        if product.identifier != identifier:
            raise ProductUnknown(f"nobody publishes a product {identifier}")
        home = urlsplit(self.trust.participant(product.provider).dsp_url)
        address = check_callback(f"{home.scheme}://{home.netloc}", unsafe_allow_loopback=self.unsafe_allow_loopback)
        transport = self.transport or peer_transport(unsafe_allow_loopback=self.unsafe_allow_loopback)
        return SandboxClient(address, transport, authorise=lambda: self.authorise(product.provider))
