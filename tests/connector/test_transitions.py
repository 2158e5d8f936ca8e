"""Truth tables: every sender x state x event, permitted and refused."""

import itertools

import pytest

from connector.protocol import negotiation, transfer
from connector.protocol.errors import IllegalTransition
from connector.protocol.processes import Role

P, C = Role.PROVIDER, Role.CONSUMER

# Written out by hand from the specification, so that the table in the code is checked and not copied.
# state: what the provider may send -> what it leads to | what the consumer may send -> what it leads to
NEGOTIATION = {
    None: ("offer OFFERED", "request REQUESTED"),
    "REQUESTED": ("offer OFFERED, agreement AGREED, termination TERMINATED", "termination TERMINATED"),
    "OFFERED": (
        "offer OFFERED, termination TERMINATED",
        "request REQUESTED, accepted ACCEPTED, termination TERMINATED",
    ),
    "ACCEPTED": ("agreement AGREED, termination TERMINATED", "termination TERMINATED"),
    "AGREED": ("termination TERMINATED", "verification VERIFIED, termination TERMINATED"),
    "VERIFIED": ("finalized FINALIZED, termination TERMINATED", "termination TERMINATED"),
    "FINALIZED": ("", ""),
    "TERMINATED": ("", ""),
}
TRANSFER = {
    None: ("", "request REQUESTED"),
    "REQUESTED": ("start STARTED, termination TERMINATED", "termination TERMINATED"),
    "STARTED": ("suspension SUSPENDED, completion COMPLETED, termination TERMINATED",) * 2,
    "SUSPENDED": ("start STARTED, termination TERMINATED",) * 2,
    "COMPLETED": ("", ""),
    "TERMINATED": ("", ""),
}


def expected(table: dict[str | None, tuple[str, str]], sender: Role, state: str | None, event: str) -> str | None:
    moves = table[state][0 if sender is P else 1]
    return dict(move.split() for move in moves.split(", ") if move).get(event)


@pytest.mark.parametrize("event", list(negotiation.Event))
@pytest.mark.parametrize("state", [None, *negotiation.State])
@pytest.mark.parametrize("sender", list(Role))
def test_negotiation(sender: Role, state: negotiation.State | None, event: negotiation.Event) -> None:
    leads_to = expected(NEGOTIATION, sender, state, event)
    if leads_to is None:
        with pytest.raises(IllegalTransition):
            negotiation.next_state(sender, state, event)
    else:
        assert negotiation.next_state(sender, state, event) == leads_to


@pytest.mark.parametrize("event", list(transfer.Event))
@pytest.mark.parametrize("state", [None, *transfer.State])
@pytest.mark.parametrize("sender", list(Role))
def test_transfer(sender: Role, state: transfer.State | None, event: transfer.Event) -> None:
    leads_to = expected(TRANSFER, sender, state, event)
    if leads_to is None:
        with pytest.raises(IllegalTransition):
            transfer.next_state(sender, state, event, suspended_by=sender)
    else:
        assert transfer.next_state(sender, state, event, suspended_by=sender) == leads_to


@pytest.mark.parametrize(
    ("sender", "suspended_by", "may"),
    [(P, P, True), (P, C, True), (P, None, True), (C, C, True), (C, P, False), (C, None, False)],
)
def test_who_suspended_resumes_and_the_provider_always(sender: Role, suspended_by: Role | None, may: bool) -> None:
    if may:
        assert transfer.next_state(sender, transfer.State.SUSPENDED, transfer.Event.START, suspended_by) == "STARTED"
    else:
        with pytest.raises(IllegalTransition):
            transfer.next_state(sender, transfer.State.SUSPENDED, transfer.Event.START, suspended_by)


def test_nothing_leads_out_of_an_end() -> None:
    for module in (negotiation, transfer):
        assert not [key for key in module.TRANSITIONS if key[1] in module.TERMINAL]


def test_every_state_can_be_reached_and_left() -> None:
    for module in (negotiation, transfer):
        assert set(module.TRANSITIONS.values()) == set(module.State)
        left = {state for _, state, _ in module.TRANSITIONS}
        assert left == {None, *module.State} - module.TERMINAL
    assert len(list(itertools.product(Role, negotiation.State, negotiation.Event))) == 98
