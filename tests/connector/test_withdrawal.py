"""Withdrawing a product: it is offered no more, and what was agreed goes on."""

import pytest

from connector.contracts.publishing import complete_catalogue
from hexi.errors import RemoteProblem, Unavailable
from ledger.entries import Kind, read_entry
from tests.connector.business import USE
from tests.simulator import QUERY, SPACE, Dataspace


def test_what_is_withdrawn_is_offered_nowhere_and_what_was_agreed_goes_on(dataspace: Dataspace) -> None:
    product = dataspace.publish()
    provider, consumer = dataspace.provider.client, dataspace.consumer.client
    agreement = dataspace.agree(product.identifier).agreement
    offer = consumer.peer_catalogue(dataspace.provider.did).datasets[0].offers[0]

    assert provider.withdraw(product.identifier).identifier == product.identifier
    assert provider.withdraw(product.identifier).version == 1  # again, it changes nothing
    assert list(provider.products()) == []
    assert provider.status().products == 0
    assert consumer.catalogue().total == 0
    assert consumer.peer_catalogue(dataspace.provider.did).datasets == ()
    complete_catalogue(dataspace.provider.app.state.database)  # as at the next start
    assert consumer.peer_catalogue(dataspace.provider.did).datasets == ()
    asked = consumer.negotiate_offer(dataspace.provider.did, offer)
    dataspace.settle()
    refused = consumer.negotiation(asked.id)
    assert (refused.state, refused.reason[0]) == ("TERMINATED", "connector.product-unknown")

    transfer = dataspace.transfer(agreement)
    assert transfer.state == "STARTED"
    assert consumer.run(transfer.id, QUERY).verdict == "released"


def test_it_comes_back_as_the_next_version(dataspace: Dataspace) -> None:
    first = dataspace.publish()
    dataspace.provider.client.withdraw(first.identifier)
    second = dataspace.publish(USE)
    assert (second.identifier, second.version) == (first.identifier, 2)
    assert [found.version for found in dataspace.provider.client.products()] == [2]
    assert dataspace.consumer.client.catalogue().total == 1
    assert dataspace.agree(first.identifier).agreement


def test_the_ledger_says_so_and_only_its_provider_may(dataspace: Dataspace) -> None:
    product = dataspace.publish()
    with pytest.raises(RemoteProblem) as unknown:
        dataspace.consumer.client.withdraw(product.identifier)
    assert unknown.value.code == "connector.product-unknown"
    registry = dataspace.consumer.app.state.desk.registry
    with pytest.raises(RemoteProblem) as refused:
        registry.withdraw(product.identifier)
    assert refused.value.status == 403
    assert dataspace.consumer.client.catalogue().total == 1

    publication = dataspace.provider.app.state.desk.registry.withdraw(product.identifier)
    entry = read_entry(publication.receipt["entry"])
    assert (entry.kind, entry.subject) == (Kind.PRODUCT_WITHDRAWN, f"{product.identifier}#v1")


def test_without_the_registry_nothing_changes(dataspace: Dataspace) -> None:
    product = dataspace.publish()
    dataspace.network.leave(SPACE)
    with pytest.raises((RemoteProblem, Unavailable)):
        dataspace.provider.client.withdraw(product.identifier)
    assert [found.identifier for found in dataspace.provider.client.products()] == [product.identifier]
