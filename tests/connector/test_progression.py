"""What becomes of two messages that meet: the rules of `protocol.progression`, each with its counter-example."""

from dataclasses import replace

import pytest

from connector.protocol.errors import IllegalTransition, MessageCrossed
from connector.protocol.messages import (
    ContractAgreementMessage,
    ContractNegotiationEventMessage,
    ContractNegotiationTerminationMessage,
    ContractOfferMessage,
    ContractRequestMessage,
    EventType,
    ProcessMessage,
    TransferCompletionMessage,
    TransferStartMessage,
    TransferSuspensionMessage,
)
from connector.protocol.processes import Kind, Process, Role
from connector.protocol.progression import SUSPENDED_BY, InFlight, as_answered, is_said_again, receive

POLICY = {"@id": "o", "@type": "Offer", "target": "d", "permission": [{"action": "use"}]}
PIDS = {"provider_pid": "p", "consumer_pid": "c"}
OFFER = ContractOfferMessage(offer=POLICY, **PIDS)
OPENING = ContractRequestMessage(offer=POLICY, consumer_pid="c", callback_address="https://c.test")
COUNTER = ContractRequestMessage(offer=POLICY, **PIDS)
ACCEPT = ContractNegotiationEventMessage(event_type=EventType.ACCEPTED, **PIDS)
FINALIZE = ContractNegotiationEventMessage(event_type=EventType.FINALIZED, **PIDS)
AGREE = ContractAgreementMessage(agreement={**POLICY, "@id": "a"}, **PIDS)
TERMINATE = ContractNegotiationTerminationMessage(code="1", reason=["no"], **PIDS)
SUSPEND = TransferSuspensionMessage(code="1", reason=["lunch"], **PIDS)
COMPLETE = TransferCompletionMessage(**PIDS)
ADDRESS = {"@type": "DataAddress", "endpointType": "https://w3id.org/idsa/v4.1/HTTP"}


def process(role: str, state: str, kind: Kind = Kind.NEGOTIATION) -> Process:
    return Process("p" if role == "provider" else "c", kind, Role(role), state, "did:web:other", "https://o.test")


def states(
    role: str, state: str, ours: ProcessMessage | None, theirs: ProcessMessage, *, tried: bool = True
) -> list[str]:
    kind = (
        Kind.TRANSFER if isinstance(theirs, TransferSuspensionMessage | TransferCompletionMessage) else Kind.NEGOTIATION
    )
    in_flight = InFlight(ours, tried) if ours else None
    return [entered.state for entered in receive(process(role, state, kind), in_flight, theirs)]


def test_without_anything_on_its_way_the_table_decides() -> None:
    assert states("consumer", "REQUESTED", None, OFFER) == ["OFFERED"]
    with pytest.raises(IllegalTransition):
        states("consumer", "ACCEPTED", None, OFFER)


def test_a_reply_shows_that_ours_was_taken() -> None:
    assert states("provider", "REQUESTED", OFFER, ACCEPT) == ["OFFERED", "ACCEPTED"]
    assert states("consumer", "REQUESTED", OPENING, AGREE) == ["REQUESTED", "AGREED"]
    assert states("consumer", "OFFERED", COUNTER, OFFER) == ["REQUESTED", "OFFERED"]


def test_what_was_never_tried_shows_nothing() -> None:
    with pytest.raises(IllegalTransition):
        states("provider", "REQUESTED", OFFER, ACCEPT, tried=False)
    assert states("consumer", "OFFERED", ACCEPT, OFFER, tried=False) == ["OFFERED"]


@pytest.mark.parametrize(
    ("role", "state", "ours"),
    [("provider", "VERIFIED", FINALIZE), ("consumer", "OFFERED", ACCEPT), ("provider", "REQUESTED", TERMINATE)],
)
def test_a_termination_wins(role: str, state: str, ours: ProcessMessage) -> None:
    assert states(role, state, ours, TERMINATE) == ["TERMINATED"]


@pytest.mark.parametrize("state", ["FINALIZED", "TERMINATED"])
def test_but_not_over_an_end(state: str) -> None:
    with pytest.raises(IllegalTransition):
        states("consumer", state, None, TERMINATE)


def test_who_is_terminating_takes_nothing_else() -> None:
    with pytest.raises(IllegalTransition):
        states("consumer", "VERIFIED", TERMINATE, FINALIZE)


def test_two_messages_to_the_same_state_are_both_right() -> None:
    assert states("provider", "STARTED", COMPLETE, COMPLETE) == ["COMPLETED"]
    for role in ("provider", "consumer"):
        [both] = receive(process(role, "STARTED", Kind.TRANSFER), InFlight(SUSPEND, tried=True), SUSPEND)
        assert (both.state, both.suspended_by) == ("SUSPENDED", Role.PROVIDER)


def test_of_two_resumptions_the_providers_counts_and_must_arrive() -> None:
    ours, theirs = (
        TransferStartMessage(provider_pid="p", consumer_pid="c", data_address={**ADDRESS, "endpoint": end})
        for end in ("https://provider.test/fresh", "https://consumer.test/whatever")
    )
    suspended = {
        role: replace(process(role, "SUSPENDED", Kind.TRANSFER), suspended_by=Role.CONSUMER)
        for role in ("provider", "consumer")
    }
    with pytest.raises(MessageCrossed):
        receive(suspended["provider"], InFlight(ours, tried=True), theirs)
    [resumed] = receive(suspended["consumer"], InFlight(theirs, tried=True), ours)
    assert (resumed.state, resumed.data_address) == ("STARTED", ours.data_address)


def test_the_provider_says_in_its_answer_that_it_has_suspended_as_well() -> None:
    ours = {
        role: replace(process(role, "SUSPENDED", Kind.TRANSFER), suspended_by=Role(role))
        for role in ("provider", "consumer")
    }
    both = {SUSPENDED_BY: "provider"}
    assert as_answered(ours["consumer"], both).suspended_by is Role.PROVIDER
    for answer in ({SUSPENDED_BY: "consumer"}, {}, "nonsense", None):  # a peer of another make says nothing of it
        assert as_answered(ours["consumer"], answer) == ours["consumer"]
    assert as_answered(ours["provider"], {SUSPENDED_BY: "consumer"}) == ours["provider"]


def test_only_the_providers_finalization_may_be_said_again() -> None:
    assert is_said_again(process("consumer", "FINALIZED"), FINALIZE)
    assert not is_said_again(process("consumer", "VERIFIED"), FINALIZE)
    assert not is_said_again(process("provider", "FINALIZED"), FINALIZE)
    assert not is_said_again(process("consumer", "FINALIZED"), AGREE)
    assert not is_said_again(process("consumer", "TERMINATED"), TERMINATE)


def test_two_messages_to_different_states_are_not() -> None:
    with pytest.raises(IllegalTransition):
        states("provider", "STARTED", SUSPEND, COMPLETE)


def test_an_acceptance_of_nobody_knows_which_offer_must_wait() -> None:
    with pytest.raises(MessageCrossed):
        states("provider", "OFFERED", OFFER, ACCEPT)
