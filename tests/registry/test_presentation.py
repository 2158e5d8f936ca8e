"""Presentations and the credentials in them: the one that holds, and next to it each that does not."""

from collections.abc import Callable
from typing import Any

import pytest

from hexi.errors import DataspaceError
from hexi.keys import SigningKey
from registry import presentation as presentations
from registry.credentials import CLOCK_LEEWAY_SECONDS, issue_membership, verify_membership
from registry.credentials import TYP as CREDENTIAL_TYP
from registry.errors import (
    CallerUnknown,
    CredentialInvalid,
    ParticipantRevoked,
    PresentationInvalid,
    PresentationReplayed,
    PresentationsSaturated,
    TrustUnavailable,
)
from registry.identity import Identity
from registry.participants import Participant, ParticipantStatus, Role
from registry.presentation import TYP, PresentationVerifier, present
from tests.builders import SettableClock
from tests.registry.builders import HOSPITAL, OPERATOR, PLANNER, FixedTrust, identity, participant

US = "did:web:data.example"


@pytest.fixture
def credential(clock: SettableClock) -> str:
    return issue_membership(identity(OPERATOR), participant(), clock)


@pytest.fixture
def verifier(clock: SettableClock) -> PresentationVerifier:
    return PresentationVerifier(US, FixedTrust([participant(), participant(PLANNER)]), clock)


def forged(clock: SettableClock, typ: str = TYP, key: SigningKey | None = None, **changes: Any) -> str:
    """A presentation of the hospital with some claims changed; None takes one away."""
    now = int(clock().timestamp())
    claims = {"iss": HOSPITAL, "sub": HOSPITAL, "aud": US, "iat": now, "exp": now + 60, "jti": "urn:uuid:1", **changes}
    kept = {name: value for name, value in claims.items() if value is not None}
    return "Bearer " + (key or identity().key).sign(kept, typ=typ, kid=identity().kid)


def test_a_participant_is_known_by_its_presentation(
    verifier: PresentationVerifier, credential: str, clock: SettableClock
) -> None:
    caller = verifier.verify(present(identity(), US, credential, clock))
    assert (caller.did, caller.participant.name_zh, caller.is_operator) == (HOSPITAL, "第一医院", False)


def test_the_operator_needs_no_credential(verifier: PresentationVerifier, clock: SettableClock) -> None:
    assert verifier.verify(present(identity(OPERATOR), US, None, clock)).is_operator


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic x", "bearer x", "Bearer x", "Bearer a.b.c"])
def test_without_a_presentation_nobody_is_known(verifier: PresentationVerifier, header: str | None) -> None:
    with pytest.raises(PresentationInvalid):
        verifier.verify(header)


DEFECTS: dict[str, dict[str, Any]] = {
    "for_somebody_else": {"aud": PLANNER},
    "for_nobody": {"aud": None},
    "in_the_name_of_another": {"iss": PLANNER},
    "about_another": {"sub": PLANNER},
    "of_another_type": {"typ": "hexi-application+jws"},
    "by_another_key": {"key": SigningKey.generate()},
    "without_jti": {"jti": None},
    "without_exp": {"exp": None},
    "exp_as_text": {"exp": "9999999999"},
    "good_for_an_hour": {"exp": 4_000_000_000},
}


@pytest.mark.parametrize("changes", DEFECTS.values(), ids=DEFECTS.keys())
def test_a_presentation_with_a_defect_is_refused(
    verifier: PresentationVerifier, credential: str, clock: SettableClock, changes: dict[str, Any]
) -> None:
    with pytest.raises(PresentationInvalid):
        verifier.verify(forged(clock, **{"vc": credential, **changes}))
    assert verifier.verify(forged(clock, vc=credential)).did == HOSPITAL


@pytest.mark.parametrize(
    ("seconds", "holds"), [(-6, False), (-5, True), (0, True), (60, True), (64, True), (65, False), (600, False)]
)
def test_a_presentation_lives_one_minute(
    verifier: PresentationVerifier, credential: str, clock: SettableClock, seconds: int, holds: bool
) -> None:
    header = present(identity(), US, credential, clock)
    clock.advance(seconds=seconds)
    if holds:
        assert verifier.verify(header).did == HOSPITAL
    else:
        with pytest.raises(PresentationInvalid, match=r"expired|future"):
            verifier.verify(header)


def test_a_presentation_is_taken_once(verifier: PresentationVerifier, credential: str, clock: SettableClock) -> None:
    header = present(identity(), US, credential, clock)
    verifier.verify(header)
    for seconds in (0, 30, 30):
        clock.advance(seconds=seconds)
        with pytest.raises(PresentationReplayed):
            verifier.verify(header)


def test_one_participant_cannot_use_up_the_presentations_of_another(
    verifier: PresentationVerifier, credential: str, clock: SettableClock
) -> None:
    with pytest.raises(PresentationInvalid):
        verifier.verify(forged(clock, key=SigningKey.generate(), vc=credential))
    assert verifier.verify(forged(clock, vc=credential)).did == HOSPITAL


def test_a_full_memory_refuses_rather_than_forgets(
    verifier: PresentationVerifier, credential: str, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presentations, "MAX_REMEMBERED", 2)
    for _ in range(2):
        verifier.verify(present(identity(), US, credential, clock))
    with pytest.raises(PresentationsSaturated):
        verifier.verify(present(identity(), US, credential, clock))
    clock.advance(seconds=presentations.MEMORY_SECONDS)
    assert verifier.verify(present(identity(), US, credential, clock)).did == HOSPITAL


STANDINGS = [
    (ParticipantStatus.APPLIED, CallerUnknown, "registry.participant-unknown"),
    (ParticipantStatus.REJECTED, CallerUnknown, "registry.participant-unknown"),
    (ParticipantStatus.REVOKED, ParticipantRevoked, "registry.participant-revoked"),
]


@pytest.mark.parametrize(("status", "error", "code"), STANDINGS)
def test_only_active_participants_are_let_in(
    clock: SettableClock, credential: str, status: ParticipantStatus, error: type[DataspaceError], code: str
) -> None:
    verifier = PresentationVerifier(US, FixedTrust([participant(status=status)]), clock)
    with pytest.raises(error) as refused:
        verifier.verify(present(identity(), US, credential, clock))
    assert refused.value.code == code


def test_a_credential_that_held_saves_nobody_who_was_revoked(clock: SettableClock, credential: str) -> None:
    trust = FixedTrust([participant()])
    verifier = PresentationVerifier(US, trust, clock)
    verifier.verify(present(identity(), US, credential, clock))
    verifier._trust = FixedTrust([participant(status=ParticipantStatus.REVOKED)])
    with pytest.raises(ParticipantRevoked):
        verifier.verify(present(identity(), US, credential, clock))


def test_a_credential_is_believed_no_longer_than_it_lasts(verifier: PresentationVerifier, clock: SettableClock) -> None:
    ends = int(clock().timestamp()) + 2
    vc = _issue(clock, OURS, exp=ends)
    verifier.verify(present(identity(), US, vc, clock))
    clock.advance(seconds=2 + CLOCK_LEEWAY_SECONDS)
    with pytest.raises(CredentialInvalid):
        verifier.verify(present(identity(), US, vc, clock))


def test_what_held_for_one_holder_holds_for_no_other(
    verifier: PresentationVerifier, credential: str, clock: SettableClock
) -> None:
    verifier.verify(present(identity(), US, credential, clock))
    for vc in (credential, credential[:-4] + "AAAA"):
        with pytest.raises(CredentialInvalid):
            verifier.verify(present(identity(PLANNER), US, vc, clock))


def test_a_stranger_is_not_let_in(clock: SettableClock, credential: str) -> None:
    with pytest.raises(CallerUnknown):
        PresentationVerifier(US, FixedTrust(), clock).verify(present(identity(), US, credential, clock))


def test_without_an_answer_about_participants_nobody_is_let_in(clock: SettableClock, credential: str) -> None:
    class Silent(FixedTrust):
        def participant(self, did: str) -> Participant:
            raise TrustUnavailable("the registry does not answer")

    with pytest.raises(TrustUnavailable):
        PresentationVerifier(US, Silent(), clock).verify(present(identity(), US, credential, clock))


def _issue(clock: SettableClock, by: Identity, typ: str = CREDENTIAL_TYP, **changes: Any) -> str:
    now = int(clock().timestamp())
    subject = {"id": HOSPITAL, "identifier": "5", "ownerCode": "9", "roles": ["provider"], **changes.pop("subject", {})}
    vc = {
        "type": ["VerifiableCredential", "MembershipCredential"],
        "credentialSubject": subject,
        **changes.pop("vc", {}),
    }
    claims = {"iss": OPERATOR, "sub": HOSPITAL, "nbf": now, "exp": now + 60, "jti": "j", "vc": vc, **changes}
    return by.key.sign(claims, typ=typ, kid=by.kid)


OURS = identity(OPERATOR)
CREDENTIALS: dict[str, Callable[[SettableClock], str]] = {
    "none": lambda clock: "",
    "not_a_jwt": lambda clock: "x.y.z",
    "by_the_holder_itself": lambda clock: _issue(clock, identity(), iss=HOSPITAL),
    "by_the_holder_as_operator": lambda clock: _issue(clock, identity()),
    "by_a_stranger": lambda clock: _issue(clock, Identity("did:web:evil.example", SigningKey.generate())),
    "by_a_forged_operator_key": lambda clock: _issue(clock, Identity(OPERATOR, SigningKey.generate())),
    "of_another_type": lambda clock: _issue(clock, OURS, typ="JWT"),
    "for_another_holder": lambda clock: _issue(clock, OURS, sub=PLANNER),
    "about_another_inside": lambda clock: _issue(clock, OURS, subject={"id": PLANNER}),
    "by_another_issuer": lambda clock: _issue(clock, OURS, iss=PLANNER),
    "no_membership": lambda clock: _issue(clock, OURS, vc={"type": ["VerifiableCredential"]}),
    "unknown_role": lambda clock: _issue(clock, OURS, subject={"roles": ["king"]}),
    "expired": lambda clock: _issue(clock, OURS, exp=int(clock().timestamp()) - 5),
    "not_yet_in_force": lambda clock: _issue(clock, OURS, nbf=int(clock().timestamp()) + 6),
    "never_expires": lambda clock: _issue(clock, OURS, exp=None),
    "empty": lambda clock: OURS.key.sign({}, typ=CREDENTIAL_TYP, kid=OURS.kid),
}


@pytest.mark.parametrize("make", CREDENTIALS.values(), ids=CREDENTIALS.keys())
def test_a_credential_with_a_defect_is_refused(
    verifier: PresentationVerifier, clock: SettableClock, make: Callable[[SettableClock], str]
) -> None:
    with pytest.raises(CredentialInvalid) as refused:
        verifier.verify(present(identity(), US, make(clock), clock))
    assert refused.value.code == "registry.credential-invalid"
    assert verifier.verify(present(identity(), US, _issue(clock, OURS), clock)).did == HOSPITAL


def test_a_credential_says_what_the_operator_said(clock: SettableClock) -> None:
    trust = FixedTrust([participant()])
    jwt = issue_membership(OURS, participant(roles=frozenset({Role.PROVIDER, Role.AUDITOR})), clock, days=1)
    membership = verify_membership(jwt, HOSPITAL, trust, clock)
    assert membership.issuer == OPERATOR
    assert membership.roles == {Role.PROVIDER, Role.AUDITOR}
    clock.advance(days=1, seconds=5)
    with pytest.raises(CredentialInvalid, match="in force"):
        verify_membership(jwt, HOSPITAL, trust, clock)
