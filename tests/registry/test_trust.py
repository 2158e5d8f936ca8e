"""Trust over HTTP: believed for seconds, refused to the revoked, closed when nobody answers."""

import pytest

from hexi.errors import DataspaceError
from registry.client import RegistryClient
from registry.errors import DidInvalid, ParticipantRevoked, ParticipantUnknown, TrustUnavailable
from registry.presentation import PresentationVerifier, present
from registry.trust import TRUST_SECONDS, RemoteTrust
from tests.registry.builders import HOSPITAL, OPERATOR, PLANNER, SPACE_URL, Space, identity

HOST = SPACE_URL.removeprefix("http://")


@pytest.fixture
def trust(space: Space) -> RemoteTrust:
    return RemoteTrust(RegistryClient(SPACE_URL, transport=space.hosts), OPERATOR, space.clock)


def test_participants_and_the_operator_are_known(space: Space, trust: RemoteTrust) -> None:
    space.admit()
    assert trust.participant(HOSPITAL).name_zh == "第一医院"
    assert trust.resolve(identity().kid) == identity().key.public
    assert trust.resolve(space.operator.kid) == space.operator.key.public
    with pytest.raises(ParticipantUnknown):
        trust.participant(PLANNER)
    with pytest.raises(DidInvalid):
        trust.resolve("key-1")


def test_a_revocation_bites_within_seconds(space: Space, trust: RemoteTrust) -> None:
    space.admit()
    trust.resolve(identity().kid)
    space.client(OPERATOR).revoke(HOSPITAL, "contract ended")
    assert trust.participant(HOSPITAL).did == HOSPITAL
    space.clock.advance(seconds=TRUST_SECONDS)
    for _ in range(2):
        with pytest.raises(ParticipantRevoked):
            trust.resolve(identity().kid)


def test_silence_means_no(space: Space, trust: RemoteTrust) -> None:
    hospital = space.admit()
    assert hospital
    trust.participant(HOSPITAL)
    app = space.hosts._apps[HOST].app
    space.hosts.leave(HOST)
    assert trust.participant(HOSPITAL).did == HOSPITAL
    space.clock.advance(seconds=TRUST_SECONDS)
    for did in (HOSPITAL, PLANNER):
        with pytest.raises(TrustUnavailable) as refused:
            trust.participant(did)
        assert refused.value.status == 503
    verifier = PresentationVerifier("did:web:us.example", trust, space.clock)
    with pytest.raises(TrustUnavailable):
        verifier.verify(present(identity(), "did:web:us.example", "x", space.clock))
    space.hosts.join(HOST, app)
    assert trust.participant(HOSPITAL).did == HOSPITAL


@pytest.mark.parametrize("name", ["", "/", "..", "did:web:", "did:web:a/../b", "did:web:a?role=provider"])
def test_what_is_no_did_is_no_participant_and_asks_for_nothing(trust: RemoteTrust, name: str) -> None:
    with pytest.raises(ParticipantUnknown):
        trust.participant(name)


def test_an_answer_that_is_none_means_no(space: Space, trust: RemoteTrust) -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"{}"})  # type: ignore[operator]

    space.hosts.join(HOST, app)
    with pytest.raises(TrustUnavailable):
        trust.participant(HOSPITAL)


def test_a_connector_knows_its_callers_through_remote_trust(space: Space, trust: RemoteTrust) -> None:
    space.admit()
    [state] = [a for a in space.client(OPERATOR).applications() if a.did == HOSPITAL]
    us = "did:web:us.example"
    verifier = PresentationVerifier(us, trust, space.clock)
    assert verifier.verify(present(identity(), us, state.credential, space.clock)).did == HOSPITAL
    with pytest.raises(DataspaceError):
        verifier.verify(present(identity(), us, None, space.clock))


def test_a_transaction_sees_its_own_changes(space: Space) -> None:
    registry = space.app.state.registry
    space.admit()
    with space.database.transaction() as session:
        registry.registrar.revoke(session, HOSPITAL, "x")
        with pytest.raises(ParticipantRevoked):
            registry.trust.within(session).participant(HOSPITAL)
        assert registry.trust.participant(HOSPITAL).did == HOSPITAL
