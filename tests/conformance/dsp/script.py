"""The kit's scenarios, as decisions: what our end does of its own accord, by dataset (negotiations) or agreement
(transfers) and by the state it has entered. What is not here waits for the kit.

Source: the kit's test classes, `verification.cn` and `verification.tp` of release 1.0.0-RC6.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlmodel import Session

from connector.catalogue.question import Page, Wanted
from connector.contracts.errors import AgreementUnknown
from connector.protocol.binding import Action, fresh_id
from connector.protocol.errors import DatasetUnknown
from connector.protocol.negotiation import (
    Accept,
    Agree,
    Finalize,
    NegotiationAction,
    Offer,
    Request,
    TerminateNegotiation,
    Verify,
)
from connector.protocol.processes import Process
from connector.protocol.transfer import Complete, Start, Suspend, TerminateTransfer, TransferAction
from hexi.canonical import Json
from registry.presentation import Caller

# Who the kit says it is, in every role.
KIT = "TCK_PARTICIPANT"
FORMAT = "HttpData-PULL"
# The kit listens for our next message only some 200 ms after its own was answered, and drops what comes too early;
# in seconds.
DELAY_SECONDS = 0.5

POLICY: dict[str, Json] = {"permission": [{"action": "use"}]}
DATA_ADDRESS: dict[str, Json] = {
    "@type": "DataAddress",
    "endpointType": "https://w3id.org/idsa/v4.1/HTTP",
    "endpoint": "http://127.0.0.1/data",
    "endpointProperties": [{"@type": "EndpointProperty", "name": "authorization", "value": "for the kit"}],
}


def offer_of(dataset_id: str) -> dict[str, Json]:
    """The offer for a dataset, by the id that the kit's counter-offers name."""
    return {"@id": f"CD123:{dataset_id}:456", "@type": "Offer", **POLICY}


def dataset(dataset_id: str) -> dict[str, Json]:
    """A dataset as it stands in the catalogue."""
    distribution = {"@type": "Distribution", "format": FORMAT}
    return {
        "@id": dataset_id,
        "@type": "Dataset",
        "hasPolicy": [offer_of(dataset_id)],
        "distribution": [distribution],
    }


def offer(process: Process) -> Action:
    return Offer({**offer_of(str(process.dataset_id)), "target": process.dataset_id})


def counter(process: Process) -> Action:
    return Request(process.offer or {})


def accept(process: Process) -> Action:
    return Accept()


def agree(process: Process) -> Action:
    agreement = {
        "@id": fresh_id(),
        "@type": "Agreement",
        "target": process.dataset_id,
        "assigner": "did:web:hexi.test",
        "assignee": process.counterparty,
        "timestamp": process.updated,
    }
    return Agree(agreement | POLICY)


def verify(process: Process) -> Action:
    return Verify()


def finalize(process: Process) -> Action:
    return Finalize()


def give_up(process: Process) -> Action:
    return TerminateNegotiation("1", ["the scenario ends here"])


def start(process: Process) -> Action:
    return Start(DATA_ADDRESS)


def suspend(process: Process) -> Action:
    return Suspend("1", ["the scenario pauses here"])


def complete(process: Process) -> Action:
    return Complete()


def end(process: Process) -> Action:
    return TerminateTransfer("1", ["the scenario ends here"])


# The state entered -> the action at the first entry, at the second, and so on; further entries wait.
Scenario = Mapping[str, Sequence[Callable[[Process], Action]]]

PROVIDER_NEGOTIATIONS: Mapping[str, Scenario] = {
    "ACN0101": {"REQUESTED": [offer]},
    "ACN0102": {"REQUESTED": [offer, give_up]},
    "ACN0103": {"REQUESTED": [offer], "ACCEPTED": [agree], "VERIFIED": [finalize]},
    "ACN0104": {"REQUESTED": [agree], "VERIFIED": [finalize]},
    "ACN0201": {"REQUESTED": [give_up]},
    "ACN0202": {},
    "ACN0203": {"REQUESTED": [agree]},
    "ACN0204": {"REQUESTED": [offer]},
    "ACN0205": {"REQUESTED": [offer], "OFFERED": [give_up]},
    "ACN0206": {"REQUESTED": [offer], "ACCEPTED": [give_up]},
    "ACN0207": {"REQUESTED": [agree], "VERIFIED": [give_up]},
    "ACN0301": {"REQUESTED": [agree], "VERIFIED": [finalize]},
    "ACN0302": {"REQUESTED": [offer]},
    "ACN0303": {"REQUESTED": [offer]},
    "ACN0304": {"REQUESTED": [offer]},
}
CONSUMER_NEGOTIATIONS: Mapping[str, Scenario] = {
    "ACNC0101": {"OFFERED": [accept], "AGREED": [verify]},
    "ACNC0102": {"OFFERED": [counter]},
    "ACNC0103": {"OFFERED": [give_up]},
    "ACNC0104": {"AGREED": [verify]},
    "ACNC0201": {},
    "ACNC0202": {"REQUESTED": [give_up]},
    "ACNC0203": {"AGREED": [give_up]},
    "ACNC0204": {},
    "ACNC0205": {"OFFERED": [accept]},
    "ACNC0206": {"AGREED": [verify]},
    "ACNC0301": {},
    "ACNC0302": {},
    "ACNC0303": {},
    "ACNC0304": {"OFFERED": [accept]},
    "ACNC0305": {"OFFERED": [accept]},
    "ACNC0306": {"OFFERED": [accept]},
}
PROVIDER_TRANSFERS: Mapping[str, Scenario] = {
    "ATP0101": {"REQUESTED": [start], "STARTED": [end]},
    "ATP0102": {"REQUESTED": [start], "STARTED": [complete]},
    "ATP0103": {"REQUESTED": [start], "STARTED": [suspend], "SUSPENDED": [end]},
    "ATP0104": {"REQUESTED": [start], "STARTED": [suspend, complete], "SUSPENDED": [start]},
    "ATP0105": {"REQUESTED": [end]},
    "ATP0201": {"REQUESTED": [start]},
    "ATP0202": {"REQUESTED": [start]},
    "ATP0203": {"REQUESTED": [start]},
    "ATP0204": {"REQUESTED": [start]},
    "ATP0205": {},
    "ATP0301": {},
    "ATP0302": {},
    "ATP0303": {"REQUESTED": [start]},
    "ATP0304": {"REQUESTED": [start]},
    "ATP0305": {"REQUESTED": [start]},
    "ATP0306": {"REQUESTED": [start]},
}
CONSUMER_TRANSFERS: Mapping[str, Scenario] = {
    **{f"ATPC010{number}": {} for number in range(1, 6)},
    "ATPC0201": {"STARTED": [end]},
    "ATPC0202": {"STARTED": [complete]},
    "ATPC0203": {"STARTED": [suspend], "SUSPENDED": [end]},
    "ATPC0204": {"STARTED": [suspend, complete], "SUSPENDED": [start]},
    "ATPC0205": {"REQUESTED": [end]},
    **{f"ATPC030{number}": {} for number in range(1, 7)},
}
CATALOGUE = ("CAT0101", "CAT0102")
# The kit asks for this one and must not get it.
NOT_IN_THE_CATALOGUE = "CAT0103"

_SCENARIOS = {**PROVIDER_NEGOTIATIONS, **CONSUMER_NEGOTIATIONS, **PROVIDER_TRANSFERS, **CONSUMER_TRANSFERS}


@dataclass
class Script:
    """Plays the scenarios. It counts entries in memory: one process serves the kit, and a run is a process."""

    _entries: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def catalogue(self, session: Session, caller: Caller, wanted: Wanted) -> Page:
        return Page(tuple(dataset(dataset_id) for dataset_id in (*CATALOGUE, *PROVIDER_NEGOTIATIONS)))

    def dataset(self, session: Session, dataset_id: str, caller: Caller) -> dict[str, Json]:
        for found in self.catalogue(session, caller, Wanted()).datasets:
            if found["@id"] == dataset_id:
                return found
        raise DatasetUnknown("the kit's catalogue has no such dataset")

    def after_negotiation(self, session: Session, process: Process) -> NegotiationAction | None:
        action = self._next(process, str(process.dataset_id))
        assert action is None or isinstance(action, NegotiationAction)
        return action

    def after_transfer(self, session: Session, process: Process) -> TransferAction | None:
        if process.agreement is None:
            raise AgreementUnknown("the kit's agreements are seeded; this is none of them")
        action = self._next(process, str(process.agreement_id))
        assert action is None or isinstance(action, TransferAction)
        return action

    def _next(self, process: Process, key: str) -> Action | None:
        with self._lock:
            entry = self._entries[process.pid, process.state]
            self._entries[process.pid, process.state] += 1
        steps = _SCENARIOS.get(key, {}).get(process.state, [])
        return replace(steps[entry](process), delay=DELAY_SECONDS) if entry < len(steps) else None
