"""The crawler at a live EDC: no revision to ask for, new offer identifiers in each answer, pages followed with POST."""

import json
from contextlib import closing

import pytest

from connector.crawler import steps
from connector.crawler.states import PeerState
from hexi.database import Database
from tests.builders import SettableClock
from tests.conformance.edc.exchange import LARGE, SLOW, TABLE, Exchange, eventually
from tests.connector.crawler.peers import Local

pytestmark = pytest.mark.edc


def test_what_edc_offers_is_found_negotiated_and_not_written_again(parties: Exchange) -> None:
    ours, edc = parties.ours.client, parties.provider.participant
    ours.federated.add(edc)
    seen = eventually("the crawl", lambda: ours.federated.peer(edc), lambda peer: peer.completed is not None)
    assert (seen.state, seen.reason, seen.left_out, seen.by_hand) == (PeerState.IDLE, None, 0, True)
    found = {dataset.id: dataset for dataset in ours.federated.search({"provider": edc})}
    assert {TABLE, LARGE, SLOW} <= found.keys()
    assert found[TABLE].title == TABLE
    assert "HttpData-PUSH" in found[TABLE].formats
    negotiation = ours.negotiate_offer(edc, found[TABLE].offers[0])
    assert ours.wait_negotiation(negotiation.id).state == "FINALIZED"
    ours.federated.crawl(edc)
    eventually("the next crawl", lambda: ours.federated.peer(edc), lambda peer: peer.completed > seen.completed)
    again = {dataset.id: dataset for dataset in ours.federated.search({"provider": edc})}
    assert {name: one.changed for name, one in again.items()} == {name: one.changed for name, one in found.items()}


def test_edcs_pages_are_followed(
    parties: Exchange, two_sqlite: list[Database], clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "PAGE", 2)
    edc, us = parties.provider, {"clientId": parties.ours.did, "region": "any"}
    local = Local(
        two_sqlite[0],
        clock,
        authorise=lambda audience: json.dumps(us | {"audience": audience}),  # noqa: TID251 - nothing is signed
    )
    local.add(edc.participant, edc.own_url)
    with closing(local.crawler):
        asked = local.crawl()
    peer = local.peer(edc.participant)
    assert (peer.state, peer.reason) == (PeerState.IDLE, None), (peer, asked)
    assert asked == 2
