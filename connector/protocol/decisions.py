"""What the engine asks of whoever decides: it moves messages, somebody else says yes or no.

Two implementations: `connector.decisions.BusinessDecisions` (policies, agreements, permits), and the script that plays
the conformance kit's scenarios.
"""

from typing import Protocol

from sqlmodel import Session

from connector.catalogue.question import Page, Wanted
from connector.protocol.negotiation import NegotiationAction
from connector.protocol.processes import Process
from connector.protocol.transfer import TransferAction
from hexi.canonical import Json
from registry.presentation import Caller


class Decisions(Protocol):
    """The decisions of a connector. They run inside the engine's transaction and must not call other services in it."""

    def catalogue(self, session: Session, caller: Caller, wanted: Wanted) -> Page:
        """A page of the DSP datasets this caller may see. A distribution without `accessService` gets the connector's.

        Raises `connector.catalogue.errors.FilterUnsupported` for what the catalogue cannot be asked.
        """

    def dataset(self, session: Session, dataset_id: str, caller: Caller) -> dict[str, Json]:
        """One of them. Raises `connector.protocol.errors.DatasetUnknown`."""

    def after_negotiation(self, session: Session, process: Process) -> NegotiationAction | None:
        """What to do now that `process` has entered its state; None waits.

        Called in the transaction of every state entry, once per entry: when their message arrived, and when ours was
        taken. When their reply shows that ours was taken, it is called for both entries and the answer to the first
        is ignored, because the other end has already gone on.
        """

    def after_transfer(self, session: Session, process: Process) -> TransferAction | None:
        """The same for a transfer."""
