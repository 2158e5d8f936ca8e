"""The life of a participant: applied, then active or rejected, and perhaps one day revoked.

States are data: `TRANSITIONS` says everything, `next_status` is the only function that reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hexi.canonical import Json
from registry.errors import StepImpossible


class Role(StrEnum):
    """What a participant may do in the space."""

    PROVIDER = "provider"
    CONSUMER = "consumer"
    AUDITOR = "auditor"
    OPERATOR = "operator"


class ParticipantStatus(StrEnum):
    """Where a participant stands."""

    APPLIED = "applied"
    ACTIVE = "active"
    REJECTED = "rejected"
    REVOKED = "revoked"


class Step(StrEnum):
    """What the operator can do about it."""

    APPROVE = "approve"
    REJECT = "reject"
    REVOKE = "revoke"


# Rejected and revoked are ends: who was rejected may apply anew, which is another application; who was revoked may not.
TRANSITIONS: Mapping[tuple[ParticipantStatus, Step], ParticipantStatus] = {
    (ParticipantStatus.APPLIED, Step.APPROVE): ParticipantStatus.ACTIVE,
    (ParticipantStatus.APPLIED, Step.REJECT): ParticipantStatus.REJECTED,
    (ParticipantStatus.ACTIVE, Step.REVOKE): ParticipantStatus.REVOKED,
}


def next_status(status: ParticipantStatus, step: Step) -> ParticipantStatus:
    """Where `step` leads from `status`. Raises `StepImpossible`."""
    try:
        return TRANSITIONS[(status, step)]
    except KeyError:
        raise StepImpossible(f"{step} is not possible for a participant that is {status}") from None


@dataclass(frozen=True)
class Participant:
    """An organisation in the space, as the registry knows it. `document` is its DID document, as it was approved."""

    did: str
    name: str
    name_zh: str
    owner_code: str
    identifier: str
    roles: frozenset[Role]
    status: ParticipantStatus
    document: dict[str, Json]
    dsp_url: str
    region: str
