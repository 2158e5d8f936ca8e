"""Preview of others' products: asked of their providers, before anything is agreed."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from connector.contracts.errors import ProductUnknown
from connector.management.prices import Prices
from connector.protocol.callbacks import check_callback, peer_transport
from ledger.documents import SignedDocument, verify_document
from registry.catalogue import TYPE, Product, read_product
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
    prices: Prices
    unsafe_allow_loopback: bool
    transport: httpx.BaseTransport | None = None

    def dry_run(self, product: str, query: str, mode: str) -> DryRun:
        """What its provider says would come of `query`, and what the space's market asks for a run.

        Raises `ProductUnknown`, and what the registry and the provider answer.
        """
        return self.prices.put_into(self._sandbox(product).dry_run(product, query, mode), product)

    def twin(self, product: str) -> TwinSidecar:
        """What the product's twin is drawn from. Raises as `dry_run` does."""
        return self._sandbox(product).twin(product)

    def twin_table(self, product: str, table: str, format_: TwinFormat) -> bytes:
        """A table of the twin. Raises as `dry_run` does."""
        return self._sandbox(product).twin_table(product, table, format_)

    def product(self, identifier: str) -> SignedDocument:
        """A product of the space, signed by its provider. Raises `ProductUnknown`, and what the registry answers."""
        return self._verified(identifier)[0]

    def _verified(self, identifier: str) -> tuple[SignedDocument, Product]:
        signed = self.registry.product(identifier)
        product = read_product(verify_document(signed, self.trust.resolve, of_type=TYPE))
        if product.identifier != identifier:
            raise ProductUnknown(f"nobody publishes a product {identifier}")
        return signed, product

    def _sandbox(self, identifier: str) -> SandboxClient:
        _, product = self._verified(identifier)
        home = urlsplit(self.trust.participant(product.provider).dsp_url)
        address = check_callback(f"{home.scheme}://{home.netloc}", unsafe_allow_loopback=self.unsafe_allow_loopback)
        transport = self.transport or peer_transport(unsafe_allow_loopback=self.unsafe_allow_loopback)
        return SandboxClient(address, transport, authorise=lambda: self.authorise(product.provider))
