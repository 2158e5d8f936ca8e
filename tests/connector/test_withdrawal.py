"""Withdrawing a product: it is offered no more, and what was agreed goes on."""

import pytest

from connector.contracts.publishing import complete_catalogue
from hexi.errors import RemoteProblem
from ledger.entries import Kind, read_entry
from tests.connector.business import PAID, USE
from tests.marketplace.builders import DECLARED
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
    dataspace.settle()
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
    # The withdrawal reaches the space after the version that follows it: that one stays.
    second = dataspace.publish(USE)
    dataspace.settle()
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


def test_it_leaves_the_market_also_when_the_space_hears_of_it_later(dataspace: Dataspace) -> None:
    product = dataspace.publish(PAID).identifier
    seller, buyer = dataspace.market(dataspace.provider), dataspace.market(dataspace.consumer)
    seller.certify(product, DECLARED)
    listing = seller.list_product(product, 500)
    agreement = str(dataspace.agree(product).agreement)
    before = buyer.order(listing.id, agreement, runs=1, unit_price_fen=500)

    dataspace.clock.advance(seconds=1)
    dataspace.network.leave(SPACE)
    dataspace.provider.client.withdraw(product)
    dataspace.provider.client.withdraw(product)
    dataspace.settle()
    assert list(dataspace.provider.client.products()) == []

    # The market has not heard of it; but nobody serves what it sells meanwhile.
    dataspace.network.join(SPACE, dataspace.space)
    between = buyer.order(listing.id, agreement, runs=1, unit_price_fen=500)
    refused = dataspace.transfer(agreement, order=between.confirmation)
    assert (refused.state, refused.reason[0]) == ("TERMINATED", "connector.order-invalid")
    assert "withdrawn" in refused.reason[1]
    assert dataspace.transfer(agreement, order=before.confirmation).state == "STARTED"

    dataspace.clock.advance(seconds=60)
    dataspace.settle()
    assert buyer.listing(listing.id).state == "withdrawn"
    assert buyer.listings(product=product) == []
    for step, code in (
        (lambda: buyer.order(listing.id, agreement, runs=1, unit_price_fen=500), "market.listing-not-on-sale"),
        (lambda: seller.list_product(product, 500), "market.product-withdrawn"),
    ):
        with pytest.raises(RemoteProblem) as impossible:
            step()
        assert impossible.value.code == code

    dataspace.publish(PAID)
    seller.certify(product, DECLARED)
    assert seller.list_product(product, 600).state == "listed"


def test_a_revoked_providers_listings_are_withdrawn(dataspace: Dataspace) -> None:
    product = dataspace.publish(PAID).identifier
    seller = dataspace.market(dataspace.provider)
    seller.certify(product, DECLARED)
    listing = seller.list_product(product, 500)
    dataspace.operator.revoke(dataspace.provider.did, "contract ended")
    found = dataspace.market(dataspace.consumer).listing(listing.id)
    assert (found.state, found.history[-1].by) == ("withdrawn", dataspace.identity.did)
