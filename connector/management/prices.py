"""What the market of the space asks for a run of a product: what a dry run says before anybody orders.

A price is the market's word alone. A provider's dry run that names one is not believed: it is not what is ordered at.
"""

from dataclasses import dataclass

import httpx
from pydantic import ConfigDict, Field

from hexi.canonical import Wire
from hexi.client import ServiceClient
from hexi.errors import DataspaceError
from sandbox.preview import DryRun

# How long the market may take, in seconds: a dry run without its price is worth more than one that comes late.
ANSWER_SECONDS = 5.0
NOT_LISTED = "the product is not on sale in the space's market"


class _Listing(Wire):
    """What matters here of a listing that is on sale."""

    model_config = ConfigDict(extra="ignore")

    product: str
    unit_price_fen: int = Field(ge=0, strict=True)


class _Listings(Wire):
    model_config = ConfigDict(extra="ignore")

    items: tuple[_Listing, ...]


@dataclass(frozen=True)
class Prices:
    """Asks a market for prices. Listings are public there, so it is not told who asks."""

    market: ServiceClient

    @classmethod
    def of_space(cls, space_url: str, transport: httpx.BaseTransport | None) -> "Prices":
        """Those of the market of the space at this address."""
        return cls(ServiceClient(space_url, "the market", transport=transport, timeout=ANSWER_SECONDS))

    def put_into(self, found: DryRun, product: str) -> DryRun:
        """`found` with the price of a run of `product`, or with why there is none."""
        try:
            answer = self.market.get("/market/listings", {"product": product}, public=True)
            listings = self.market.read(_Listings, answer).items
        except DataspaceError as error:
            return found.unpriced(error.detail)
        # A product has one listing at most (`market.listing-exists`).
        listed = next((listing for listing in listings if listing.product == product), None)
        return found.unpriced(NOT_LISTED) if listed is None else found.priced(listed.unit_price_fen)
