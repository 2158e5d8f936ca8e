"""The federated catalogue over a whole data space in memory: real connectors, real management API."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from connector.crawler.states import PeerState
from hexi.errors import RemoteProblem
from tests.connector.business import USE
from tests.simulator import HOSPITAL, PLANNER, Dataspace, Member

REFUSED = [
    ({"region": "6210"}, "region"),
    ({"colour": "red"}, "colour"),
    ([{"sortField": "id"}], "sorted"),
]


def crawl(dataspace: Dataspace, member: Member) -> int:
    """Follow the registry, then ask whoever is due until nobody is; returns how many questions that took."""
    federated, steps = member.app.state.federated, 0
    federated.roster.follow_registry()
    dataspace.clock.advance(seconds=10)
    while federated.crawler.step():
        steps += 1
    return steps


def found(member: Member, wanted: Any = None) -> list[str]:
    return [dataset.id for dataset in member.client.federated.search(wanted)]


def test_what_a_provider_offers_is_found_searched_and_negotiated(dataspace: Dataspace) -> None:
    product = dataspace.publish(keywords=["Cardio"]).identifier
    client = dataspace.consumer.client
    crawl(dataspace, dataspace.consumer)

    page = client.federated.page({"text": "visits"}, facets=True)
    (dataset,) = page.items
    assert (dataset.provider, dataset.id, dataset.title) == (dataspace.provider.did, product, "门诊 / Visits")
    assert "HexiSandbox-SQL" in dataset.formats
    assert page.facets is not None
    counted = {name: [(one.value, one.count) for one in values] for name, values in page.facets.items()}
    assert counted == {
        "provider": [(dataspace.provider.did, 1)],
        "theme": [("C0000", 1)],
        "keyword": [("cardio", 1)],
    }
    assert page.incomplete == ()
    for question, ids in (
        ({"theme": "C0000", "keyword": "CARDIO"}, [product]),
        ({"title": "visits", "provider": dataspace.provider.did}, [product]),
        ({"id": product}, [product]),
        ([{"filterExpression": [{"operandLeft": "name", "operator": "like", "operandRight": "vis%"}]}], [product]),
        ({"text": "absent"}, []),
        ({"provider": "did:web:nobody.example"}, []),
    ):
        assert found(dataspace.consumer, question) == ids, question
    negotiation = client.negotiate_offer(dataset.provider, dataset.offers[0])
    dataspace.settle()
    assert client.negotiation(negotiation.id).state == "FINALIZED"


def test_a_catalogue_that_has_not_changed_costs_one_question_without_an_answer(dataspace: Dataspace) -> None:
    dataspace.publish()
    crawl(dataspace, dataspace.consumer)
    before = dataspace.consumer.client.federated.peer(dataspace.provider.did)
    said: list[tuple[str, int]] = []
    passed = dataspace.network.handle_request

    def listening(request: httpx.Request) -> httpx.Response:
        answer = passed(request)
        if request.url.path.endswith("/catalog/request"):
            said.append((request.method, answer.status_code))
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataspace.network, "handle_request", listening)
        dataspace.clock.advance(hours=1)
        assert crawl(dataspace, dataspace.consumer) == 1
        assert said == [("GET", 304)]
        after = dataspace.consumer.client.federated.peer(dataspace.provider.did)
        assert (after.completed, after.datasets) == (before.completed, 1)
        assert str(after.checked) > str(before.checked)
        dataspace.publish(keywords=["new"])
        dataspace.clock.advance(hours=1)
        crawl(dataspace, dataspace.consumer)
        assert said[1:] == [("GET", 200)]
    assert len(found(dataspace.consumer, {"keyword": "new"})) == 1


def test_what_is_withdrawn_or_no_longer_for_us_disappears_with_the_next_crawl(dataspace: Dataspace) -> None:
    product = dataspace.publish().identifier
    crawl(dataspace, dataspace.consumer)
    assert found(dataspace.consumer) == [product]
    others_only = {"leftOperand": "participant", "operator": "eq", "rightOperand": "did:web:other.example"}
    dataspace.publish({"permission": [{"action": "use", "constraint": [others_only]}]})
    dataspace.clock.advance(hours=1)
    crawl(dataspace, dataspace.consumer)
    assert found(dataspace.consumer) == []
    dataspace.publish(USE)
    dataspace.clock.advance(hours=1)
    crawl(dataspace, dataspace.consumer)
    assert found(dataspace.consumer) == [product]
    dataspace.provider.client.withdraw(product)
    dataspace.clock.advance(hours=1)
    crawl(dataspace, dataspace.consumer)
    assert found(dataspace.consumer) == []


def test_the_roster_is_the_registrys_providers_and_never_ourselves(dataspace: Dataspace) -> None:
    crawl(dataspace, dataspace.consumer)
    crawl(dataspace, dataspace.provider)
    (peer,) = dataspace.consumer.client.federated.peers()
    assert (peer.participant, peer.member, peer.by_hand, peer.state) == (
        dataspace.provider.did,
        True,
        False,
        PeerState.IDLE,
    )
    assert dataspace.provider.client.federated.peers() == []
    with pytest.raises(RemoteProblem) as own:
        dataspace.consumer.client.federated.add(dataspace.consumer.did)
    assert own.value.code == "connector.own-catalogue"


def test_a_connector_that_follows_the_registry_no_more_keeps_only_whom_somebody_named(dataspace: Dataspace) -> None:
    clinic = dataspace.join("clinic", "127.0.0.1:8083", "provider")
    product = dataspace.publish().identifier
    crawl(dataspace, dataspace.consumer)
    client = dataspace.consumer.client
    client.federated.add(dataspace.provider.did)
    assert {peer.participant for peer in client.federated.peers()} == {clinic.did, dataspace.provider.did}
    federated = dataspace.consumer.app.state.federated
    replace(federated, follows_registry=False).recover()
    (peer,) = client.federated.peers()
    assert (peer.participant, peer.member, peer.by_hand) == (dataspace.provider.did, False, True)
    assert found(dataspace.consumer) == [product]


def test_who_leaves_the_space_is_dropped_with_all_datasets(dataspace: Dataspace) -> None:
    dataspace.publish()
    crawl(dataspace, dataspace.consumer)
    dataspace.operator.revoke(dataspace.provider.did, "left")
    crawl(dataspace, dataspace.consumer)
    (peer,) = dataspace.consumer.client.federated.peers()
    assert (peer.state, peer.member, peer.datasets, peer.due) == (PeerState.GONE, False, 0, None)
    assert peer.reason is not None
    assert peer.reason.code == "registry.participant-revoked"
    assert found(dataspace.consumer) == []
    dataspace.consumer.client.federated.crawl()
    assert crawl(dataspace, dataspace.consumer) == 0


def test_a_participant_named_by_hand_is_crawled_until_the_name_is_taken_back(dataspace: Dataspace) -> None:
    client, did = dataspace.provider.client, dataspace.consumer.did
    with pytest.raises(RemoteProblem) as stranger:
        client.federated.add("did:web:stranger.example")
    assert stranger.value.code == "registry.participant-unknown"
    with pytest.raises(RemoteProblem) as elsewhere:
        client.federated.add(did, "ftp://planner.example")
    assert elsewhere.value.code == "connector.callback-refused"
    assert client.federated.add(did).by_hand
    assert client.federated.add(did, f"http://{PLANNER}/dsp/2025-1").address == f"http://{PLANNER}/dsp/2025-1"
    assert crawl(dataspace, dataspace.provider) == 1
    assert client.federated.peer(did).completed is not None
    assert not client.federated.remove(did).by_hand
    assert client.federated.peers() == []
    for unknown in (client.federated.remove, client.federated.peer, client.federated.crawl):
        with pytest.raises(RemoteProblem) as gone:
            unknown(did)
        assert gone.value.code == "connector.crawled-peer-unknown"


def test_one_named_by_hand_that_leaves_and_one_in_the_registry_that_was_named(dataspace: Dataspace) -> None:
    client, did = dataspace.consumer.client, dataspace.provider.did
    product = dataspace.publish().identifier
    client.federated.add(did)
    crawl(dataspace, dataspace.consumer)
    assert client.federated.peer(did).member
    kept = client.federated.remove(did)
    assert (kept.by_hand, kept.member, kept.datasets) == (False, True, 1)
    client.federated.add(did)
    assert found(dataspace.consumer) == [product]
    dataspace.operator.revoke(did, "left")
    dataspace.clock.advance(minutes=1)
    crawl(dataspace, dataspace.consumer)
    peer = client.federated.peer(did)
    assert (peer.state, peer.by_hand, peer.member, peer.datasets) == (PeerState.GONE, True, False, 0)
    assert peer.due is not None


def test_a_peer_that_is_away_is_left_alone_longer_each_time_until_it_answers(dataspace: Dataspace) -> None:
    product = dataspace.publish().identifier
    dataspace.network.leave(HOSPITAL)
    client, did = dataspace.consumer.client, dataspace.provider.did
    waits = []
    for failures in range(1, 5):
        crawl(dataspace, dataspace.consumer)
        peer = client.federated.peer(did)
        assert (peer.state, peer.failures, peer.completed) == (PeerState.BACKING_OFF, failures, None)
        assert peer.reason is not None
        assert peer.reason.code == "hexi.unreachable"
        assert client.federated.page().incomplete == (did,)
        waits.append(peer.due)
        assert crawl(dataspace, dataspace.consumer) == 0
        client.federated.crawl(did)
    assert waits == sorted(map(str, waits))
    dataspace.network.join(HOSPITAL, dataspace.provider.app)
    crawl(dataspace, dataspace.consumer)
    healed = client.federated.peer(did)
    assert (healed.state, healed.failures, healed.reason, healed.datasets) == (PeerState.IDLE, 0, None, 1)
    assert found(dataspace.consumer) == [product]


def test_pages_of_what_was_found_lead_to_everything_once(dataspace: Dataspace) -> None:
    titles = [{"zh": f"门诊{n}", "en": f"Visits {n}"} for n in range(5)]
    products = [dataspace.publish(title=title).identifier for title in titles]
    crawl(dataspace, dataspace.consumer)
    client, seen, cursor = dataspace.consumer.client, [], None
    assert len(client.federated.page([{"limit": 3}]).items) == 3
    assert len(client.federated.page([{"limit": 3}], limit=1).items) == 1
    while True:
        page = client.federated.page({"theme": "C0000"}, limit=2, cursor=cursor)
        seen.append([item.id for item in page.items])
        if (cursor := page.next) is None:
            break
    assert [len(ids) for ids in seen] == [2, 2, 1]
    assert sorted(one for ids in seen for one in ids) == sorted(products)


@pytest.mark.parametrize(("question", "why"), REFUSED)
def test_what_others_catalogues_do_not_say_is_refused_by_name(dataspace: Dataspace, question: Any, why: str) -> None:
    with pytest.raises(RemoteProblem, match=why) as refused:
        dataspace.consumer.client.federated.page(question)
    assert refused.value.code == "connector.filter-unsupported"


def test_only_our_own_people_may_look(dataspace: Dataspace) -> None:
    anonymous = httpx.Client(transport=dataspace.network, base_url=f"http://{PLANNER}/management/federated")
    assert anonymous.post("/datasets", json={}).status_code == 401
    assert anonymous.get("/peers").status_code == 401
    assert anonymous.post("/crawl", json={}).status_code == 401


def test_programs_are_told_of_what_changed_at_a_peer(dataspace: Dataspace) -> None:
    client = dataspace.consumer.client
    hook = client.subscribe("http://127.0.0.1:9/hook", ["hexi.catalogue.*"])
    product = dataspace.publish().identifier
    crawl(dataspace, dataspace.consumer)
    dataspace.clock.advance(hours=1)
    crawl(dataspace, dataspace.consumer)
    dataspace.provider.client.withdraw(product)
    dataspace.clock.advance(hours=1)
    crawl(dataspace, dataspace.consumer)
    told = [one.event["data"] for one in client.event_deliveries(hook.id)]
    about = {"provider": dataspace.provider.did, "added": 0, "changed": 0, "withdrawn": 0}
    assert told == [about | {"withdrawn": 1}, about | {"added": 1}]
