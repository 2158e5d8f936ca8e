"""Everything our end writes in the Dataspace Protocol, held against the specification's own JSON Schemas.

The schemas are in the kit's jars, which ``make conformance`` fetches; without them nothing here can be said. Wherever
they are at hand, `tests.connector.pair` and `tests.asgi` hold what passes through all other tests against them as well.
"""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import ValidationError

from connector.protocol.errors import MessageMalformed
from connector.protocol.messages import CONTEXT, MESSAGES, PATH, ContractAgreementMessage, ContractOfferMessage
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
from connector.protocol.transfer import Complete, Start, Suspend, TerminateTransfer
from hexi.canonical import Json
from tests.conformance.schemas import Schemas, at_hand
from tests.connector.pair import ADDRESS, POLICY, Pair, agreement, offer
from tests.simulator import Dataspace

pytestmark = pytest.mark.conformance

ANSWERS = {"Catalog", "Dataset", "ContractNegotiation", "TransferProcess"}
ERRORS = {"CatalogError", "ContractNegotiationError", "TransferError"}


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    found = at_hand()
    if found is None:
        pytest.skip("the specification's schemas are in the kit's jars; make conformance fetches them (Java, Maven)")
    return found


def test_there_is_a_schema_for_everything_that_is_sent(schemas: Schemas) -> None:
    assert set(MESSAGES) | ANSWERS | ERRORS | {"CatalogRequestMessage"} <= schemas.types


def counters(process: Any) -> NegotiationAction:
    """The consumer of the play: it counters a first offer and accepts a second."""
    return Accept() if process.offer["@id"] == "offer:better" else Request(offer("countered"))


def everything_said(pair: Pair) -> None:
    """A play in which each end says everything it can say, in every role it can say it in."""
    pair.provider.script.negotiations = {
        "REQUESTED": lambda p: Offer(
            {**offer(), "@id": "offer:better"} if p.offer["target"] == "countered" else offer()
        ),
        "ACCEPTED": lambda p: Agree(agreement(p)),
        "VERIFIED": lambda p: Finalize(),
    }
    pair.consumer.script.negotiations = {"OFFERED": counters, "AGREED": lambda p: Verify({"urn:hexi:signature": "s"})}
    pair.provider.script.transfers = {"REQUESTED": lambda p: Start(ADDRESS, {"urn:hexi:note": "hello"})}
    pair.consumer.negotiate(pair.provider)
    pair.run()
    _, agreed = pair.concluded()
    for end in (pair.consumer, pair.provider):
        for act in (Complete(), TerminateTransfer("1", []), TerminateTransfer("1", ["no", "never"])):
            pid = pair.consumer.ask(pair.provider, agreed)
            pair.run()
            own = pid if end is pair.consumer else pair.other(pid).pid
            for step in (Suspend("1", []), Start(), Suspend("2", ["lunch"]), Start(ADDRESS), act):
                end.act(own, step)
                pair.run()
    pair.provider.script.negotiations = pair.consumer.script.negotiations = {}
    with pair.provider.database.transaction() as session:
        address = pair.consumer.url + PATH
        opened = pair.provider.engine.offer_negotiation(
            session, pair.consumer.did, address, offer(), {"urn:hexi:x": {}}
        ).pid
    pair.run()
    pair.provider.act(opened, Offer({**offer(), "prohibition": [{"action": "distribute"}]}))
    pair.run()
    pair.provider.act(opened, TerminateNegotiation("1", ["no"]))
    pid = pair.consumer.negotiate(pair.provider)
    pair.run()
    pair.consumer.act(pid, TerminateNegotiation("1", []))
    pair.run()


def test_every_message_of_both_roles(schemas: Schemas, pair: Pair) -> None:
    everything_said(pair)
    said = {(url.split("/")[2], body["@type"]) for url, body in pair.network.sent}
    for _, body in pair.network.sent:
        schemas.check(body)
    of_both = {name for name in MESSAGES if "Termination" in name or "Suspension" in name or "Completion" in name}
    to_provider = {"ContractRequestMessage", "ContractAgreementVerificationMessage", "TransferRequestMessage"}
    to_consumer = {"ContractOfferMessage", "ContractAgreementMessage"}
    events_and_starts = {"ContractNegotiationEventMessage", "TransferStartMessage"}
    assert {type_ for to, type_ in said if to == "provider.test"} == of_both | to_provider | events_and_starts
    assert {type_ for to, type_ in said if to == "consumer.test"} == of_both | to_consumer | events_and_starts


def test_a_message_with_one_thing_wrong_is_noticed(schemas: Schemas, pair: Pair) -> None:
    """The check can fail: each message without one member, and with a member that is no string."""
    everything_said(pair)
    one_each = {body["@type"]: body for _, body in pair.network.sent if "providerPid" in body}
    assert set(one_each) == set(MESSAGES) - {"TransferRequestMessage"}
    for body in one_each.values():
        for member in ("@context", "@type", "providerPid", "consumerPid"):
            for wrong in ({k: v for k, v in body.items() if k != member}, {**body, member: 7}):
                with pytest.raises(ValidationError):
                    schemas.check(wrong)


BASE = {"@context": [CONTEXT], "@id": "urn:uuid:m"}
BOTH = {"providerPid": "urn:uuid:p", "consumerPid": "urn:uuid:c"}
BAD_BODIES: list[Json] = [None, [], 7, {}, BASE, {**BASE, **BOTH}, {**BASE, "providerPid": 7, "consumerPid": None}]
FOLDERS = {"catalog/request": "CatalogError", "negotiations/request": "ContractNegotiationError"} | {
    f"{folder}{path}": error
    for folder, error, paths in [
        ("negotiations", "ContractNegotiationError", ["/offers", "/urn:uuid:x/events", "/urn:uuid:x/agreement"]),
        ("transfers", "TransferError", ["/request", "/urn:uuid:x/start", "/urn:uuid:x/termination"]),
    ]
    for path in paths
}


@pytest.mark.parametrize(("path", "type_"), FOLDERS.items())
def test_every_error(schemas: Schemas, pair: Pair, path: str, type_: str) -> None:
    for body in BAD_BODIES:
        answer = pair.provider.call("POST", f"{PATH}/{path}", body, by="did:web:consumer")
        schemas.check(answer.json())
        assert (answer.status_code, answer.json()["@type"]) == (400, type_)
    for by, status in [(None, 401), ("did:web:consumer", 404)]:
        for found in ("catalog/datasets/none", "negotiations/none", "transfers/none"):
            answer = pair.provider.call("GET", f"{PATH}/{found}", by=by)
            schemas.check(answer.json())
            assert answer.status_code == status


def test_the_catalogue_of_a_real_provider(schemas: Schemas, dataspace: Dataspace) -> None:
    """Empty, and with policies of every kind of rule that a product can have."""
    request = {"@context": [CONTEXT], "@type": "CatalogRequestMessage"}
    constraint = {"leftOperand": "purpose", "operator": "eq", "rightOperand": "research"}
    policies = [
        POLICY,
        {"permission": [{"action": "use", "constraint": [constraint], "duty": [{"action": "compensate"}]}]},
    ]

    def ask(method: str, path: str, body: Json = None) -> dict[str, Json]:
        authorise = dataspace.consumer.app.state.membership.authorise(dataspace.provider.did)
        return _call(dataspace, method, path, body, authorise)

    empty = ask("POST", "/catalog/request", request)
    schemas.check(empty)
    assert "dataset" not in empty
    for policy in policies:
        dataspace.publish(policy)
        catalogue = ask("POST", "/catalog/request", request)
        schemas.check(catalogue)
        for dataset in catalogue["dataset"]:
            found = ask("GET", f"/catalog/datasets/{dataset['@id']}")
            schemas.check(found)
            assert found["@id"] == dataset["@id"]


def _call(dataspace: Dataspace, method: str, path: str, body: Json, authorise: str) -> dict[str, Json]:
    import httpx

    with httpx.Client(transport=dataspace.network, base_url="http://127.0.0.1:8081") as client:
        answer = client.request(method, PATH + path, json=body, headers={"Authorization": authorise})
    assert answer.status_code == 200
    return dict(answer.json())


TEXT = st.sampled_from(["use", "eq", "purpose", "", "Offer", "2026-01-01"])
OPERAND = st.one_of(TEXT, st.integers(), st.booleans(), st.lists(TEXT, max_size=2), st.just({}), st.just({"@value": 1}))
CONSTRAINT = st.fixed_dictionaries(
    {},
    optional={
        "leftOperand": st.one_of(TEXT, st.just({"@id": "purpose"})),
        "operator": st.one_of(st.sampled_from(["eq", "isAnyOf", "term-lteq", "similar"]), st.just({"@id": "eq"})),
        "rightOperand": OPERAND,
        "and": st.just([{"leftOperand": "a", "operator": "eq", "rightOperand": "b"}]),
        "or": st.lists(st.just({"leftOperand": "a"}), max_size=1),
    },
)
RULES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "action": st.one_of(TEXT, st.just({"@id": "use"})),
            "constraint": st.one_of(st.lists(CONSTRAINT, max_size=2), CONSTRAINT),
            "duty": st.lists(st.fixed_dictionaries({}, optional={"action": TEXT}), max_size=1),
        },
    ),
    max_size=2,
)
POLICIES = st.fixed_dictionaries(
    {"@id": TEXT, "@type": st.sampled_from(["Offer", "Agreement", "Set"]), "target": TEXT},
    optional={
        "permission": RULES,
        "prohibition": RULES,
        "obligation": RULES,
        "profile": st.one_of(TEXT, st.lists(TEXT, max_size=2), st.integers()),
        "assigner": TEXT,
        "assignee": st.one_of(TEXT, st.none()),
        "timestamp": st.sampled_from(["2026-01-01T00:00:00Z", "yesterday", ""]),
    },
)


@given(policy=POLICIES)
def test_what_we_would_send_is_valid_or_refused_before_it_is_sent(schemas: Schemas, policy: dict[str, Any]) -> None:
    for kind, member in ((ContractOfferMessage, "offer"), (ContractAgreementMessage, "agreement")):
        try:
            message = kind(provider_pid="p", consumer_pid="c", **{member: deepcopy(policy)})
            body = message.to_wire()
        except MessageMalformed:
            continue
        schemas.check(body)
