"""The decisions of a real connector: contracts in `contracts.contracting`, what they entitle to in `fulfilment`."""

from dataclasses import dataclass

from sqlmodel import Session

from connector.catalogue.question import Page, Wanted
from connector.contracts.contracting import Contracting
from connector.fulfilment import Fulfilment
from connector.protocol.negotiation import NegotiationAction
from connector.protocol.processes import Process
from connector.protocol.transfer import TransferAction
from hexi.canonical import Json
from registry.presentation import Caller


@dataclass(frozen=True)
class BusinessDecisions:
    """Implements `protocol.decisions.Decisions` with offers, policies, agreements, permits and data planes."""

    contracting: Contracting
    fulfilment: Fulfilment

    def catalogue(self, session: Session, caller: Caller, wanted: Wanted) -> Page:
        """A page of the datasets whose terms may let this caller in at all."""
        return self.contracting.catalogue(session, caller, wanted)

    def dataset(self, session: Session, dataset_id: str, caller: Caller) -> dict[str, Json]:
        """One of them. Raises `DatasetUnknown`."""
        return self.contracting.dataset(session, dataset_id, caller)

    def after_negotiation(self, session: Session, process: Process) -> NegotiationAction | None:
        """What follows from the state a negotiation has entered."""
        return self.contracting.after(session, process)

    def after_transfer(self, session: Session, process: Process) -> TransferAction | None:
        """What follows from the state a transfer has entered."""
        return self.fulfilment.after(session, process)
