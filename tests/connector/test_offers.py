"""Offers: who sees which, what is answered to whom, and what persons say, through a whole data space."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from connector.contracts.offers import Acceptance, Definition, Outcome, Rule, Selector, check
from connector.management.answers import Evidence, Negotiation
from connector.policies.errors import PolicyInvalid
from connector.protocol.messages import ContractNegotiationTerminationMessage
from connector.protocol.progression import AGREEMENT_ENDED
from hexi.errors import RemoteProblem
from ledger.entries import read_entry
from ledger.receipts import Receipt
from tests.asgi import ASGITransport
from tests.connector.business import USE, published
from tests.simulator import PLANNER, Dataspace, Member

COMPUTE = {"permission": [{"action": "urn:hexi:compute"}]}
NOBODY = {"permission": [{"action": "use", "constraint": [
    {"leftOperand": "participant", "operator": "eq", "rightOperand": "did:web:nobody.example"}
]}]}  # fmt: skip
ALL = {"everything": True}


def limited(count: int) -> dict[str, Any]:
    constraint = {"leftOperand": "count", "operator": "lteq", "rightOperand": str(count)}
    return {"permission": [{"action": "use", "constraint": [constraint]}]}


def offers(dataspace: Dataspace, product: str) -> list[dict[str, Any]]:
    """What the consumer sees offered of a product, in the provider's catalogue."""
    found = dataspace.consumer.client.peer_catalogue(dataspace.provider.did)
    return [offer for dataset in found.datasets if dataset.id == product for offer in dataset.offers]


def ask(dataspace: Dataspace, offer: dict[str, Any]) -> Negotiation:
    asked = dataspace.consumer.client.negotiate_offer(dataspace.provider.did, offer)
    dataspace.settle()
    return dataspace.consumer.client.negotiation(asked.id)


def of(member: Member) -> Negotiation:
    """The one negotiation a member has."""
    (found,) = member.client.negotiations()
    return found


def test_a_product_is_offered_on_its_definitions_and_no_others(dataspace: Dataspace) -> None:
    product = dataspace.publish().identifier
    (own,) = offers(dataspace, product)
    assert own["@id"] == f"{product}#v1"

    defined = dataspace.provider.client.define_offer("research", {"contract": COMPUTE, "selector": ALL})
    assert (defined.revision, defined.acceptance) == (1, "automatic")
    dataspace.provider.client.define_offer("secret", {"contract": USE, "access": NOBODY, "selector": ALL})
    (seen,) = offers(dataspace, product)
    assert (seen["@id"], seen["permission"]) == (f"{product}#v1/research.1", COMPUTE["permission"])

    old = ask(dataspace, own)
    assert old.state == "TERMINATED"
    assert old.reason[0] == "connector.offer-changed"
    hidden = ask(dataspace, {**seen, "@id": f"{product}#v1/secret.1", **USE})
    assert hidden.state == "TERMINATED"
    assert "secret" not in " ".join(hidden.reason).replace(f"{product}#v1/secret.1", "")
    agreed = ask(dataspace, seen)
    assert agreed.state == "FINALIZED"
    document = dataspace.consumer.client.agreement(str(agreed.agreement)).agreement["document"]
    assert document["policy"]["permission"] == COMPUTE["permission"]

    assert dataspace.provider.client.define_offer("research", {"contract": COMPUTE, "selector": ALL}).revision == 1
    assert dataspace.provider.client.define_offer("research", {"contract": USE, "selector": ALL}).revision == 2
    assert ask(dataspace, seen).state == "TERMINATED"
    dataspace.provider.client.withdraw_offer("research")
    assert offers(dataspace, product) == []  # what is left is for nobody
    dataspace.provider.client.withdraw_offer("secret")
    assert offers(dataspace, product) == [own]
    assert [one.name for one in dataspace.provider.client.offers()] == []


def test_a_person_accepts_or_counters_and_the_other_answers(dataspace: Dataspace) -> None:
    product = dataspace.publish().identifier
    manual = {"contract": limited(5), "selector": {"products": [product]}, "acceptance": "manual"}
    dataspace.provider.client.define_offer("by-hand", manual)
    (offer,) = offers(dataspace, product)

    waiting = ask(dataspace, {**offer, **limited(50)})
    assert waiting.state == "REQUESTED"
    theirs = of(dataspace.provider)
    assert (theirs.our_turn, theirs.offer and theirs.offer["permission"]) == (True, limited(50)["permission"])
    assert not waiting.our_turn
    with pytest.raises(RemoteProblem) as early:
        dataspace.consumer.client.accept_negotiation(waiting.id)
    assert early.value.code == "connector.not-our-turn"

    dataspace.provider.client.counter_negotiation(theirs.id, limited(20))
    dataspace.settle()
    offered = dataspace.consumer.client.negotiation(waiting.id)
    assert (offered.state, offered.our_turn) == ("OFFERED", True)
    dataspace.consumer.client.counter_negotiation(waiting.id, limited(30))
    dataspace.settle()
    assert of(dataspace.provider).state == "REQUESTED"  # a person has spoken, so no program answers
    dataspace.provider.client.accept_negotiation(theirs.id)
    dataspace.settle()
    assert dataspace.provider.client.accept_negotiation(theirs.id).state == "FINALIZED"  # again changes nothing
    agreed = dataspace.consumer.client.negotiation(waiting.id)
    assert agreed.state == "FINALIZED"
    document = dataspace.provider.client.agreement(str(agreed.agreement)).agreement["document"]
    assert document["policy"]["permission"] == limited(30)["permission"]


def test_a_provider_offers_unasked_and_the_consumer_accepts(dataspace: Dataspace) -> None:
    product = dataspace.publish().identifier
    made = dataspace.provider.client.offer_product(dataspace.consumer.did, product, limited(3))
    dataspace.settle()
    mine = of(dataspace.consumer)
    assert (mine.state, mine.our_turn, mine.product) == ("OFFERED", True, product)
    dataspace.consumer.client.accept_negotiation(mine.id)
    dataspace.settle()
    assert dataspace.provider.client.negotiation(made.id).state == "FINALIZED"
    document = dataspace.consumer.client.agreement(str(of(dataspace.consumer).agreement)).agreement["document"]
    assert document["policy"]["permission"] == limited(3)["permission"]


def test_a_script_decides_first_and_a_person_where_it_is_silent(dataspace: Dataspace) -> None:
    product = dataspace.publish().identifier
    rules = [
        {"outcome": "reject", "when": {"purpose": ["marketing"]}, "reason": "not for marketing"},
        {"outcome": "accept", "when": {"purpose": ["research"]}, "otherTerms": False},
        {"outcome": "counter", "when": {"purpose": ["research"]}, "otherTerms": True, "terms": limited(7)},
    ]
    script = {"contract": limited(5), "selector": ALL, "acceptance": "scripted", "rules": rules}
    dataspace.provider.client.define_offer("script", script)
    (offer,) = offers(dataspace, product)
    purpose = "urn:hexi:purpose"

    assert ask(dataspace, {**offer, purpose: "research"}).state == "FINALIZED"
    declined = ask(dataspace, {**offer, purpose: "marketing"})
    assert declined.reason == ("connector.offer-declined", "not for marketing")
    countered = ask(dataspace, {**offer, **limited(9), purpose: "research"})
    assert (countered.state, (countered.offer or {})["permission"]) == ("OFFERED", limited(7)["permission"])
    assert ask(dataspace, {**offer, purpose: "teaching"}).state == "REQUESTED"


def test_terms_that_forbid_this_consumer_are_not_accepted_by_hand(dataspace: Dataspace) -> None:
    product = dataspace.publish().identifier
    dataspace.provider.client.define_offer("by-hand", {"contract": USE, "selector": ALL, "acceptance": "manual"})
    (offer,) = offers(dataspace, product)
    ask(dataspace, {**offer, **NOBODY})
    with pytest.raises(RemoteProblem) as refused:
        dataspace.provider.client.accept_negotiation(of(dataspace.provider).id)
    assert refused.value.code == "connector.terms-refuse"
    assert of(dataspace.provider).state == "REQUESTED"


def test_an_agreement_is_ended_with_everything_under_it(dataspace: Dataspace) -> None:
    product = dataspace.publish().identifier
    agreement = str(dataspace.agree(product).agreement)
    running = dataspace.transfer(agreement)
    assert running.state == "STARTED"

    ended = dataspace.provider.client.end_agreement(agreement, "the study is over")
    assert ended.state == "ENDED"
    late = dataspace.consumer.client.transfer(agreement, "HexiSandbox-SQL")  # before it has heard of it
    dataspace.settle()
    told = dataspace.consumer.client.transfer_status(running.id)
    assert (told.state, told.reason) == ("TERMINATED", ("connector.agreement-ended", "the study is over"))
    with pytest.raises(RemoteProblem):
        dataspace.consumer.client.run(running.id, "SELECT count(*) FROM visits")
    later = dataspace.consumer.client.transfer_status(late.id)
    assert (later.state, later.reason[0]) == ("TERMINATED", "connector.agreement-ended")
    assert dataspace.provider.client.end_agreement(agreement, "again").state == "ENDED"
    kinds = [entry.kind for entry in dataspace.provider.client.evidence(subject=agreement)]
    assert sorted(kinds) == ["agreement-concluded", "agreement-ended"]


def ended_by(entry: Evidence) -> object:
    return read_entry(Receipt.from_json(entry.receipt).entry).facts["endedBy"]


@pytest.mark.parametrize("by", ["provider", "consumer"])
def test_the_end_of_an_agreement_is_told_though_nothing_runs_under_it(dataspace: Dataspace, by: str) -> None:
    agreed = dataspace.agree(dataspace.publish().identifier)
    ends = {"provider": dataspace.provider, "consumer": dataspace.consumer}
    ends[by].client.end_agreement(agreed.agreement, "the study is over")
    dataspace.settle()
    for member in ends.values():
        client = member.client
        assert [held.state for held in client.agreements()] == ["ENDED"]
        assert [one.state for one in client.negotiations()] == ["FINALIZED"]
        entries = [entry for entry in client.evidence(subject=agreed.agreement) if entry.kind == "agreement-ended"]
        assert [entry.receipt is not None for entry in entries] == [True]
        assert ended_by(entries[0]) == ends[by].did
    digests = {next(iter(member.client.evidence(kind="agreement-ended"))).digest for member in ends.values()}
    assert len(digests) == 1  # both put the same on record
    last = ends["consumer"].client.negotiation_history(agreed.id).items[-1]
    assert (last.message, last.reason[0]) == ("ContractNegotiationTerminationMessage", "connector.agreement-ended")


def test_both_ends_may_end_an_agreement_at_once(dataspace: Dataspace) -> None:
    agreement = str(dataspace.agree(dataspace.publish().identifier).agreement)
    for member in (dataspace.provider, dataspace.consumer):
        member.client.end_agreement(agreement, f"{member.did} is done")
    dataspace.settle()
    for member in (dataspace.provider, dataspace.consumer):
        assert [held.state for held in member.client.agreements()] == ["ENDED"]
        (entry,) = member.client.evidence(kind="agreement-ended")
        assert ended_by(entry) == member.did


@pytest.mark.parametrize("named", ["urn:uuid:another", None])
def test_a_negotiation_that_is_concluded_is_not_terminated(dataspace: Dataspace, named: str | None) -> None:
    agreed = dataspace.agree(dataspace.publish().identifier)
    engine = dataspace.consumer.app.state.engine
    with engine.database.reading() as session:
        process = engine.negotiation(session, agreed.id)
    message = ContractNegotiationTerminationMessage(
        id="urn:uuid:m1", provider_pid=process.provider_pid, consumer_pid=process.pid, code="1"
    ).to_wire() | ({AGREEMENT_ENDED: named} if named else {})
    answer = ASGITransport(dataspace.consumer.app).handle_request(
        httpx.Request(
            "POST",
            f"http://{PLANNER}/dsp/2025-1/negotiations/{process.pid}/termination",
            json=message,
            headers={"Authorization": dataspace.provider.app.state.membership.authorise(dataspace.consumer.did)},
        )
    )
    assert answer.status_code == 400
    assert [held.state for held in dataspace.consumer.client.agreements()] == ["CONCLUDED"]


def test_a_consumer_ends_an_agreement_too(dataspace: Dataspace) -> None:
    product = dataspace.publish().identifier
    agreement = str(dataspace.agree(product).agreement)
    running = dataspace.transfer(agreement)
    dataspace.consumer.client.end_agreement(agreement, "not needed any more")
    dataspace.settle()
    (theirs,) = dataspace.provider.client.transfers()
    assert (theirs.state, theirs.reason[0]) == ("TERMINATED", "connector.agreement-ended")
    assert dataspace.consumer.client.transfer_status(running.id).state == "TERMINATED"
    with pytest.raises(RemoteProblem) as refused:
        dataspace.consumer.client.transfer(agreement, "HexiSandbox-SQL")
    assert refused.value.code == "connector.agreement-not-concluded"


def test_a_silent_consumer_does_not_hold_up_the_end_of_an_agreement(dataspace: Dataspace) -> None:
    agreement = str(dataspace.agree(dataspace.publish().identifier).agreement)
    finishing, running = dataspace.transfer(agreement), dataspace.transfer(agreement)
    provider = dataspace.provider.client
    dataspace.network.leave(PLANNER)
    provider.complete_transfer(of_peer(dataspace, finishing.id))
    dataspace.settle(dataspace.provider)  # tried, and not heard: whether the consumer has it nobody knows

    assert provider.end_agreement(agreement, "the study is over").state == "ENDED"

    dataspace.network.join(PLANNER, dataspace.consumer.app)
    dataspace.clock.advance(minutes=5)
    dataspace.settle()
    told = {one.id: one.state for one in dataspace.consumer.client.transfers()}
    assert told == {finishing.id: "COMPLETED", running.id: "TERMINATED"}
    with pytest.raises(RemoteProblem):
        dataspace.consumer.client.run(finishing.id, "SELECT count(*) FROM visits")


def of_peer(dataspace: Dataspace, consumers: str) -> str:
    """The provider's id of a transfer that the consumer knows as `consumers`."""
    (found,) = (one.id for one in dataspace.provider.client.transfers() if one.peer_id == consumers)
    return found


def test_a_consumer_puts_on_record_that_it_has_deleted(dataspace: Dataspace) -> None:
    terms = {"permission": [{"action": "use"}], "obligation": [{"action": "delete"}]}
    agreement = str(dataspace.agree(dataspace.publish(terms).identifier).agreement)
    provider, consumer = dataspace.provider.client, dataspace.consumer.client
    consumer.end_agreement(agreement, "not needed any more")
    done = consumer.perform_duty(agreement, "delete")
    assert (done.kind, done.subject) == ("duty-performed", f"{agreement}#delete")
    assert consumer.perform_duty(agreement, "delete") == done
    dataspace.settle()
    (entry,) = consumer.evidence(kind="duty-performed")
    assert entry.receipt
    for client, duty in ((consumer, "anonymize"), (provider, "delete")):
        with pytest.raises(RemoteProblem) as refused:
            client.perform_duty(agreement, duty)
        assert refused.value.code == "connector.duty-not-owed"


WRONG: dict[str, Callable[[], Definition]] = {
    "rules without a script": lambda: definition(rules=(Rule(Outcome.ACCEPT),)),
    "a counter without terms": lambda: scripted(Rule(Outcome.COUNTER)),
    "terms without a counter": lambda: scripted(Rule(Outcome.ACCEPT, terms=USE)),
    "a rule that looks at what nobody knows": lambda: scripted(Rule(Outcome.ACCEPT, {"mood": ("good",)})),
    "a selector that selects nothing": lambda: definition(selector=Selector()),
    "no contract": lambda: definition(contract={}),
    "an access policy that cannot be read": lambda: definition(access={"permission": [{"action": "fly"}]}),
}


def definition(**changes: Any) -> Definition:
    given: dict[str, Any] = {"access": None, "contract": USE, "selector": Selector(everything=True), "rules": ()}
    return Definition(**{"name": "n", "revision": 0, "acceptance": Acceptance.AUTOMATIC, **given, **changes})


def scripted(rule: Rule) -> Definition:
    return definition(acceptance=Acceptance.SCRIPTED, rules=(rule,))


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_definition_that_makes_no_sense_is_refused(wrong: Callable[[], Definition]) -> None:
    with pytest.raises(PolicyInvalid):
        check(wrong())


@pytest.mark.parametrize(
    ("selector", "is_selected"),
    [
        (Selector(), False),
        (Selector(everything=True), True),
        (Selector(themes=frozenset({"C0000"})), True),
        (Selector(themes=frozenset({"C0000"}), keywords=frozenset({"no such word"})), False),
        (Selector(everything=True, products=frozenset({"another"})), False),
    ],
)
def test_a_selector_wants_every_criterion_met(selector: Selector, is_selected: bool) -> None:
    assert selector.selects(published().product) is is_selected
