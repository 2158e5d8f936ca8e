"""Steering transfers through the management API, and what their history says of it."""

from pathlib import Path

import pytest

from connector.management.answers import History
from connector.protocol.transfer import State
from hexi.errors import RemoteProblem
from tests.connector.planes.test_http_pull import Pull
from tests.simulator import Dataspace


@pytest.fixture
def pull(dataspace: Dataspace, tmp_path: Path) -> Pull:
    """A file that is being fetched."""
    path = tmp_path / "visits.bin"
    path.write_bytes(b"visits")
    return Pull(dataspace, {"type": "file", "path": str(path)})


def states(history: History) -> list[tuple[str, str | None]]:
    return [(step.direction, step.state) for step in history.items]


def test_the_provider_suspends_and_resumes(pull: Pull) -> None:
    provider, consumer = pull.space.provider.client, pull.space.consumer.client
    theirs = pull.at_provider()

    provider.suspend_transfer(theirs, "maintenance")
    assert pull.get().status_code == 403  # at once, before the consumer has heard of it
    pull.space.settle()
    assert provider.suspend_transfer(theirs, "again").reason == ("connector.suspended-by-owner", "maintenance")
    seen = consumer.transfer_status(pull.transfer)
    assert (seen.state, seen.suspended_by) == (State.SUSPENDED, "provider")
    assert seen.reason == ("connector.suspended-by-owner", "maintenance")
    with pytest.raises(RemoteProblem, match="cannot send 'start'"):
        consumer.resume_transfer(pull.transfer)

    provider.resume_transfer(theirs)
    pull.space.settle()
    assert provider.resume_transfer(theirs).state is State.STARTED
    assert pull.get().content == b"visits"


def test_the_consumer_suspends_resumes_and_completes(pull: Pull) -> None:
    provider, consumer = pull.space.provider.client, pull.space.consumer.client
    consumer.suspend_transfer(pull.transfer, "disk full")
    pull.space.settle()
    assert pull.get().status_code == 403
    consumer.resume_transfer(pull.transfer)
    pull.space.settle()
    assert pull.get().content == b"visits"
    consumer.complete_transfer(pull.transfer)
    pull.space.settle()
    assert consumer.complete_transfer(pull.transfer).state is State.COMPLETED
    assert provider.transfer_status(pull.at_provider()).state is State.COMPLETED
    assert pull.get().status_code == 403
    with pytest.raises(RemoteProblem, match="while the transfer is COMPLETED"):
        provider.suspend_transfer(pull.at_provider(), "too late")

    ours, theirs = consumer.transfer_history(pull.transfer), provider.transfer_history(pull.at_provider())
    assert states(ours) == [
        ("sent", "REQUESTED"),
        ("received", "STARTED"),
        ("sent", "SUSPENDED"),
        ("sent", "STARTED"),
        ("sent", "COMPLETED"),
    ]
    assert [step.message_id for step in ours.items] == [step.message_id for step in theirs.items]
    assert [step.message for step in ours.items] == [step.message for step in theirs.items]
    assert theirs.items[2].reason == ours.items[2].reason == ("connector.suspended-by-owner", "disk full")


def test_a_suspended_computation_is_not_resumed_and_the_way_out_is_said(dataspace: Dataspace) -> None:
    transfer = dataspace.transfer(dataspace.agree(dataspace.publish().identifier).agreement)
    provider = dataspace.provider.client
    theirs = next(provider.transfers()).id
    provider.suspend_transfer(theirs, "maintenance")
    dataspace.settle()
    with pytest.raises(RemoteProblem, match="request a new transfer") as refused:
        provider.resume_transfer(theirs)
    assert refused.value.code == "connector.computation-ended"
    assert dataspace.consumer.client.transfer_status(transfer.id).state is State.SUSPENDED


def test_only_what_was_suspended_is_resumed(dataspace: Dataspace) -> None:
    agreement = str(dataspace.agree(dataspace.publish().identifier).agreement)
    asked = dataspace.consumer.client.transfer(agreement, "HexiSandbox-SQL")
    dataspace.settle(dataspace.consumer)  # the provider's answer is still to be sent
    for member in (dataspace.consumer, dataspace.provider):
        (found,) = member.client.transfers()
        with pytest.raises(RemoteProblem, match="only a suspended transfer is resumed; this one is REQUESTED"):
            member.client.resume_transfer(found.id)
    waiting = dataspace.provider.client.transfer_history(next(dataspace.provider.client.transfers()).id)
    assert [(step.outcome, step.state) for step in waiting.items] == [("taken", "REQUESTED"), ("waiting", None)]
    assert dataspace.consumer.client.transfer_history(asked.id).items[0].attempts == 1


def test_a_negotiation_given_up_before_anybody_answered_says_so(dataspace: Dataspace) -> None:
    client = dataspace.consumer.client
    asked = client.negotiate(dataspace.publish().identifier)
    client.end_negotiation(asked.id, "found another")
    told = client.negotiation_history(asked.id).items
    assert [(step.direction, step.outcome, step.state) for step in told] == [
        ("sent", "cancelled", "REQUESTED"),
        ("here", "taken", "TERMINATED"),
    ]
    assert told[1].reason == ("connector.ended-by-owner", "found another")
