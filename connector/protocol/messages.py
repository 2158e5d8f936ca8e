"""The messages of the Dataspace Protocol: read tolerantly, written strictly.

DSP 2025-1 fixes its JSON-LD context and prescribes compact JSON, so no JSON-LD processor is needed. Inbound, a
context may be a string or a list with strangers in it, nulls and unknown properties are dropped, and a single object
stands for a list of one. Outbound, `Message.to_wire` writes the one context as a list, leaves out what is empty, and
refuses what the specification's schemas would refuse. Properties whose key begins with ``urn:hexi:`` are ours and are
kept in `properties`.
Source: Dataspace Protocol 2025-1, sections 6 to 10, and its JSON Schemas.

    >>> TransferCompletionMessage(id="urn:uuid:m", provider_pid="p", consumer_pid="c").to_wire()["@type"]
    'TransferCompletionMessage'
"""

import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from connector.protocol import negotiation, transfer
from connector.protocol.errors import MessageMalformed
from connector.protocol.policy_form import check_agreement, check_offer
from hexi.canonical import Json, encode

CONTEXT = "https://w3id.org/dspace/2025/1/context.jsonld"
VERSION = "2025-1"
PATH = f"/dsp/{VERSION}"
# The relation of a catalogue's link to a page whose ETag changes with the whole catalogue, as the caller sees it. Ours;
# an extension relation is an IRI (RFC 8288, section 2.1.2).
REVISION = "urn:hexi:catalogue-revision"

# Extension properties of ours start so. They are absolute IRIs, which every JSON-LD reader passes over unharmed.
EXTENSION = "urn:hexi:"

# Longer identifiers are refused, and those with control characters: they are database keys, and honest ones are UUIDs
# or IRIs.
MAX_IDENTIFIER_CHARACTERS = 512
_IDENTIFIER = re.compile(rf"[^\x00-\x1f\x7f]{{1,{MAX_IDENTIFIER_CHARACTERS}}}")

Event = negotiation.Event | transfer.Event


def _text(reason: Json) -> str:
    if isinstance(reason, dict) and isinstance(reason.get("@value"), str):
        return str(reason["@value"])
    return reason if isinstance(reason, str) else encode(reason).decode()


def _reasons(value: Json) -> list[str]:
    return [_text(reason) for reason in (value if isinstance(value, list) else [value])]


def _lists(value: Json) -> Json:
    """`value` with a list wherever ODRL has many of something; some peers write one as an object."""
    if isinstance(value, list):
        return [_lists(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: [_lists(item)] if key in _PLURAL and not isinstance(item, list) else _lists(item)
        for key, item in value.items()
    }


_PLURAL = {"permission", "prohibition", "obligation", "duty", "constraint"}


def _named(policy: dict[str, Json]) -> dict[str, Json]:
    """`policy`, whose own name and its target's are kept as database keys too."""
    for member in ("@id", "target"):
        if isinstance(name := policy.get(member), str) and not _IDENTIFIER.fullmatch(name):
            raise MessageMalformed(f"the {member} of the policy is empty, too long, or has control characters")
    return policy


Identifier = Annotated[str, StringConstraints(pattern=rf"^{_IDENTIFIER.pattern}$")]
Code = Annotated[str, BeforeValidator(str)]
Reasons = Annotated[list[str], BeforeValidator(_reasons)]
Policy = Annotated[dict[str, Json], BeforeValidator(_lists), AfterValidator(_named)]


class Message(BaseModel):
    """Any message. `id` is the same for every attempt to send it, so that the other end can tell a repetition."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    id: Identifier | None = Field(default=None, alias="@id")
    # Written beside the other members, never under a name of their own.
    properties: dict[str, Json] = Field(default_factory=dict, exclude=True)

    @classmethod
    def read(cls, body: Json) -> Self:
        """The message in `body`. Raises `MessageMalformed`."""
        if not isinstance(body, dict):
            raise MessageMalformed(f"a {cls.__name__} is a JSON object")
        said = _without_nulls(body)
        contexts = said.get("@context")
        if CONTEXT not in (contexts if isinstance(contexts, list) else [contexts]):
            raise MessageMalformed(f"the @context must contain {CONTEXT}")
        if said.get("@type") != cls.__name__:
            raise MessageMalformed(f"a {cls.__name__} was expected here, not {said.get('@type')!r}")
        extensions = {key: value for key, value in said.items() if key.startswith(EXTENSION)}
        try:
            return cls.model_validate(said | {"properties": extensions})
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
            raise MessageMalformed(f"this {cls.__name__} cannot be read: {wrong}") from error

    def to_wire(self) -> dict[str, Json]:
        """The JSON to send. Raises `MessageMalformed` for what the specification's schemas would not accept."""
        self.check_sendable()
        body = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"@context": [CONTEXT], "@type": type(self).__name__, **_without_empty(body), **self.properties}

    def check_sendable(self) -> None:
        """Raise `MessageMalformed` unless the schemas would accept this. Subclasses add their own rules."""


class ProcessMessage(Message):
    """A message of a process. `event` is what it does to it."""

    event: ClassVar[Event]
    provider_pid: Identifier | None = None
    consumer_pid: Identifier | None = None

    @property
    def is_initial(self) -> bool:
        """Whether it opens a process. Only requests and offers can."""
        return False

    def check_sendable(self) -> None:
        if not self.is_initial and not (self.provider_pid and self.consumer_pid):
            raise MessageMalformed(f"a {type(self).__name__} names both process ids")


class ContractRequestMessage(ProcessMessage):
    """The consumer asks for a contract, or answers an offer with another."""

    event = negotiation.Event.REQUEST
    consumer_pid: Identifier
    offer: Policy
    callback_address: str | None = None

    @property
    def is_initial(self) -> bool:
        return self.provider_pid is None

    def check_sendable(self) -> None:
        _check_initial_or_reply(self, self.provider_pid, self.callback_address)
        check_offer(_without_empty(self.offer))


class ContractOfferMessage(ProcessMessage):
    """The provider offers terms, or answers a request with others."""

    event = negotiation.Event.OFFER
    provider_pid: Identifier
    offer: Policy
    callback_address: str | None = None

    @property
    def is_initial(self) -> bool:
        return self.consumer_pid is None

    def check_sendable(self) -> None:
        _check_initial_or_reply(self, self.consumer_pid, self.callback_address)
        check_offer(_without_empty(self.offer))


class ContractAgreementMessage(ProcessMessage):
    """The provider's agreement."""

    event = negotiation.Event.AGREEMENT
    agreement: Policy

    def check_sendable(self) -> None:
        super().check_sendable()
        check_agreement(_without_empty(self.agreement))


class ContractAgreementVerificationMessage(ProcessMessage):
    """The consumer confirms the agreement."""

    event = negotiation.Event.VERIFICATION


class EventType(StrEnum):
    """The two things a negotiation event says."""

    ACCEPTED = "ACCEPTED"
    FINALIZED = "FINALIZED"


class ContractNegotiationEventMessage(ProcessMessage):
    """The consumer accepts, or the provider concludes."""

    event_type: EventType

    @property
    def event(self) -> Event:  # type: ignore[override]
        """Which of the two it is."""
        return negotiation.Event[self.event_type.name]


class ContractNegotiationTerminationMessage(ProcessMessage):
    """Either end gives up."""

    event = negotiation.Event.TERMINATION
    code: Code | None = None
    reason: Reasons = []


class TransferRequestMessage(ProcessMessage):
    """The consumer asks for delivery under an agreement."""

    event = transfer.Event.REQUEST
    consumer_pid: Identifier
    agreement_id: Identifier
    format: Identifier
    callback_address: str
    data_address: dict[str, Json] | None = None

    @property
    def is_initial(self) -> bool:
        return True

    def check_sendable(self) -> None:
        _check_address(self.data_address)


class TransferStartMessage(ProcessMessage):
    """The provider says where the data is, or either end resumes."""

    event = transfer.Event.START
    data_address: dict[str, Json] | None = None

    def check_sendable(self) -> None:
        super().check_sendable()
        _check_address(self.data_address)


class TransferSuspensionMessage(ProcessMessage):
    """Either end pauses."""

    event = transfer.Event.SUSPENSION
    code: Code | None = None
    reason: Reasons = []


class TransferCompletionMessage(ProcessMessage):
    """Either end is done."""

    event = transfer.Event.COMPLETION


class TransferTerminationMessage(ProcessMessage):
    """Either end gives up."""

    event = transfer.Event.TERMINATION
    code: Code | None = None
    reason: Reasons = []


class CatalogRequestMessage(Message):
    """Anybody asks what there is. A `filter` is each implementation's own and is passed over."""


MESSAGES: dict[str, type[ProcessMessage]] = {
    cls.__name__: cls
    for cls in (
        ContractRequestMessage,
        ContractOfferMessage,
        ContractAgreementMessage,
        ContractAgreementVerificationMessage,
        ContractNegotiationEventMessage,
        ContractNegotiationTerminationMessage,
        TransferRequestMessage,
        TransferStartMessage,
        TransferSuspensionMessage,
        TransferCompletionMessage,
        TransferTerminationMessage,
    )
}


def read_any(body: Json) -> ProcessMessage:
    """The process message in `body`, by its @type. Raises `MessageMalformed`."""
    cls = MESSAGES.get(str(body.get("@type"))) if isinstance(body, dict) else None
    if cls is None:
        raise MessageMalformed("this is no message of a negotiation or transfer")
    return cls.read(body)


def wire(type_: str, **members: Json) -> dict[str, Json]:
    """An answer (a Catalog, a ContractNegotiation, an error): context, type, and what is not empty of `members`."""
    return {"@context": [CONTEXT], "@type": type_, **_without_empty(_without_nulls(members))}


def _without_nulls(value: Json) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _without_empty(value: Json) -> Any:
    if isinstance(value, dict):
        return {key: _without_empty(item) for key, item in value.items() if item not in ([], {})}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def _check_address(address: dict[str, Json] | None) -> None:
    if not address:
        return
    texts = (address.get("endpointType"), address.get("endpoint", ""))
    if address.get("@type") != "DataAddress" or not all(isinstance(text, str) for text in texts):
        raise MessageMalformed("a data address has the @type DataAddress and an endpointType; its endpoint is a text")
    properties = address.get("endpointProperties", [])
    pairs = properties if isinstance(properties, list) else [None]
    for pair in pairs:
        named = pair if isinstance(pair, dict) else {}
        if named.get("@type") != "EndpointProperty" or not all(
            isinstance(named.get(n), str) for n in ("name", "value")
        ):
            raise MessageMalformed("endpointProperties are a list of EndpointProperty, each with a name and a value")


def _check_initial_or_reply(message: ProcessMessage, peer_pid: str | None, callback: str | None) -> None:
    if bool(peer_pid) == bool(callback):
        raise MessageMalformed(f"a {type(message).__name__} has either the peer's pid or a callbackAddress")
