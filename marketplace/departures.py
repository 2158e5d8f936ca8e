"""Departures: a product that is offered no more leaves the market, in the transaction in which it leaves the catalogue.

The registry tells (`registry.registrar.Registrar.on_departure`): it and the marketplace are one process over one
database, so nothing is sent, and no order comes in between: an order holds its listing's row until it has committed,
and so does the departure.
"""

from dataclasses import dataclass, replace

from sqlmodel import Session

from marketplace import listings, store
from marketplace.listings import Step
from marketplace.notary import Notary


@dataclass(frozen=True)
class Departures:
    """Withdraws listings. `notary` has the clock."""

    notary: Notary

    def __call__(self, session: Session, product: str, by: str) -> None:
        """Withdraw the living listing of `product`, if it has one; `by` is the DID that took the product away."""
        living = store.living_listing(session, product)
        if living is None:
            return
        listing = store.listing(session, living.id, lock=True)
        if listing.state is listings.State.WITHDRAWN:
            return
        listing = replace(listing, state=listings.next_state(listing.state, Step.WITHDRAW))
        store.set_listing(session, listing)
        store.add_event(session, listing, Step.WITHDRAW, by, self.notary.now)
