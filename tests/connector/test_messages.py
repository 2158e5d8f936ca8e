"""The wire: tolerant inbound, and outbound what the specification's schemas demand (their rules, by hand)."""

from typing import Any

import pytest

from connector.protocol.errors import MessageMalformed
from connector.protocol.messages import (
    CONTEXT,
    MESSAGES,
    CatalogRequestMessage,
    ContractAgreementMessage,
    ContractNegotiationTerminationMessage,
    ContractOfferMessage,
    ContractRequestMessage,
    TransferStartMessage,
    read_any,
)
from connector.protocol.negotiation import TerminateNegotiation
from connector.protocol.transfer import Complete, Start, Suspend, TerminateTransfer
from hexi.canonical import Json
from tests.connector.pair import ADDRESS, POLICY, PROVIDER_OFFERS, Pair, offer

REQUEST = {
    "@context": [CONTEXT],
    "@type": "ContractRequestMessage",
    "@id": "urn:uuid:m",
    "consumerPid": "urn:uuid:c",
    "offer": offer(),
    "callbackAddress": "https://c.test/dsp",
}
BOTH = {"providerPid": "urn:uuid:p", "consumerPid": "urn:uuid:c"}


@pytest.mark.parametrize(
    "tolerated",
    [
        {},
        {"@context": CONTEXT},
        {"@context": [CONTEXT, "https://w3id.org/edc/dspace/v0.0.1", {"x": "urn:x"}]},
        {"unknown": {"deep": []}, "profile": "p"},
        {"providerPid": None},
        {"@id": None},
        {"properties": "not ours"},
    ],
)
def test_reading_tolerates(tolerated: dict[str, Json]) -> None:
    message = ContractRequestMessage.read(REQUEST | tolerated)
    assert (message.consumer_pid, message.offer, message.properties) == ("urn:uuid:c", offer(), {})


@pytest.mark.parametrize(
    "defect",
    [
        {"@context": []},
        {"@context": "https://example.org/other"},
        {"@type": "ContractOfferMessage"},
        {"@type": ["ContractRequestMessage"]},
        {"consumerPid": None},
        {"consumerPid": ""},
        {"consumerPid": "x" * 513},
        {"consumerPid": {"@id": "urn:uuid:c"}},
        {"offer": None},
        {"offer": "an offer"},
    ],
)
def test_reading_refuses(defect: dict[str, Json]) -> None:
    with pytest.raises(MessageMalformed):
        ContractRequestMessage.read(REQUEST | defect)


@pytest.mark.parametrize("body", [None, [], "text", {}, {"@type": "Catalog"}, {"@type": ["ContractRequestMessage"]}])
def test_what_is_no_message_is_refused(body: Json) -> None:
    with pytest.raises(MessageMalformed):
        read_any(body)
    with pytest.raises(MessageMalformed):
        CatalogRequestMessage.read(body)


def test_one_object_stands_for_a_list_of_one() -> None:
    rule = {"action": "use", "constraint": {"leftOperand": "purpose", "operator": "eq", "rightOperand": "research"}}
    read = ContractRequestMessage.read(REQUEST | {"offer": {**offer(), "permission": rule}})
    assert read.offer["permission"] == [{**rule, "constraint": [rule["constraint"]]}]


def test_extensions_are_kept_and_come_back() -> None:
    body = {"@context": [CONTEXT], "@type": "TransferStartMessage", **BOTH, "urn:hexi:order": "jws", "other": 1}
    message = TransferStartMessage.read(body)
    assert message.properties == {"urn:hexi:order": "jws"}
    assert message.to_wire() == {key: value for key, value in body.items() if key != "other"}


def test_reasons_are_read_in_every_spelling() -> None:
    base = {"@context": [CONTEXT], "@type": "ContractNegotiationTerminationMessage", **BOTH}
    for reason, read in [
        ("no", ["no"]),
        (["no", {"@value": "nein", "@language": "de"}], ["no", "nein"]),
        ([{"why": 1}], ['{"why":1}']),
    ]:
        assert ContractNegotiationTerminationMessage.read({**base, "code": 1, "reason": reason}).reason == read


@pytest.mark.parametrize(
    "message",
    [
        ContractRequestMessage(consumer_pid="c", offer=offer()),
        ContractRequestMessage(consumer_pid="c", provider_pid="p", callback_address="https://c.test", offer=offer()),
        ContractOfferMessage(provider_pid="p", consumer_pid="c", callback_address="https://p.test", offer=offer()),
        ContractOfferMessage(provider_pid="p", consumer_pid="c", offer={**offer(), "permission": []}),
        ContractOfferMessage(provider_pid="p", consumer_pid="c", offer={"@id": "o", "@type": "Offer", **POLICY}),
        ContractOfferMessage(
            provider_pid="p", consumer_pid="c", offer={**offer(), "permission": [{"action": {"@id": "odrl:use"}}]}
        ),
        ContractOfferMessage(
            provider_pid="p",
            consumer_pid="c",
            offer={**offer(), "permission": [{"action": "use", "constraint": [{"rightOperand": 5}]}]},
        ),
        ContractAgreementMessage(provider_pid="p", consumer_pid="c", agreement=offer()),
        TransferStartMessage(provider_pid="p"),
    ],
    ids=["neither", "both", "offer both", "empty", "no target", "action object", "number", "no assignee", "no pid"],
)
def test_writing_refuses_what_the_schemas_refuse(message: ContractRequestMessage) -> None:
    with pytest.raises(MessageMalformed):
        message.to_wire()


def check_wire(body: dict[str, Any]) -> None:
    """The rules of the specification's schemas that bite, for any message we send."""
    assert body["@context"] == [CONTEXT]
    assert isinstance(body["@type"], str)
    assert body["@id"].startswith("urn:uuid:")
    check_no_empty(body)
    kind = body["@type"]
    if kind == "ContractRequestMessage":
        assert ("callbackAddress" in body) != ("providerPid" in body)
        assert "consumerPid" in body
    elif kind == "ContractOfferMessage":
        assert ("callbackAddress" in body) != ("consumerPid" in body)
        assert "providerPid" in body
    elif kind == "TransferRequestMessage":
        assert {"consumerPid", "agreementId", "format", "callbackAddress"} <= body.keys()
        assert "dataAddress" not in body
    else:
        assert {"providerPid", "consumerPid"} <= body.keys()
    if "offer" in body:
        assert body["offer"]["@type"] == "Offer"
        assert {"@id", "target", "permission"} <= body["offer"].keys()
    if "agreement" in body:
        assert body["agreement"]["@type"] == "Agreement"
        assert {"@id", "target", "assigner", "assignee", "timestamp", "permission"} <= body["agreement"].keys()
    if "eventType" in body:
        assert body["eventType"] in {"ACCEPTED", "FINALIZED"}
    if "dataAddress" in body:
        assert body["dataAddress"]["@type"] == "DataAddress"
    if "callbackAddress" in body:
        assert not body["callbackAddress"].endswith("/")


def check_no_empty(value: Json) -> None:
    assert value not in ([], {}, None)
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            check_no_empty(item)


def test_every_message_we_send_has_the_form_of_the_schemas(pair: Pair) -> None:
    pair.provider.script.negotiations = {**PROVIDER_OFFERS}
    pair.provider.script.transfers = {"REQUESTED": lambda p: Start(ADDRESS), "SUSPENDED": lambda p: Start()}
    _, agreed = pair.concluded()
    for act in (Suspend("1", []), Complete(), TerminateTransfer("1", ["no"])):
        pid = pair.consumer.ask(pair.provider, agreed)
        pair.run()
        pair.consumer.act(pid, act)
        pair.run()
    pair.consumer.script.negotiations = {"OFFERED": lambda p: TerminateNegotiation("1", [])}
    pair.consumer.negotiate(pair.provider)
    pair.run()
    for _, body in pair.network.sent:
        check_wire(body)
    assert set(pair.network.types()) == set(MESSAGES)


def test_answers_carry_a_state_of_the_protocol(pair: Pair) -> None:
    pid, _ = pair.concluded()
    answer = pair.consumer.call("GET", f"/dsp/2025-1/negotiations/{pid}", by=pair.provider.did).json()
    assert answer == {
        "@context": [CONTEXT],
        "@type": "ContractNegotiation",
        "providerPid": pair.other(pid).pid,
        "consumerPid": pid,
        "state": "FINALIZED",
    }
