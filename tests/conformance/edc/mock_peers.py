"""Peers that identify themselves as EDC's ``iam-mock`` does: by saying who they are, in plain JSON.

    create_app(settings, peers=with_mock_peers("did:web:us", {"edc-provider": "http://127.0.0.1:19194/protocol/2025-1"}))

A plug-in for the tests: it proves nothing about anybody, and production code does not know it. Everybody else is still
known, recognised and called as a member of the space.
"""

import json
from collections.abc import Callable, Mapping

from connector.protocol.peers import Peers
from hexi.keys import VerifyingKey
from registry.errors import PresentationInvalid
from registry.participants import Participant, ParticipantStatus, Role
from registry.presentation import Caller
from registry.trust import Trust


def with_mock_peers(own_did: str, addresses: Mapping[str, str]) -> Callable[[Peers], Peers]:
    """For `create_app`: the mock participants `addresses` (id -> DSP address) stand beside those of the space."""
    mocks = {identifier: _participant(identifier, address) for identifier, address in addresses.items()}

    def beside(peers: Peers) -> Peers:
        def authorise(audience: str) -> str:
            if audience not in mocks:
                return peers.authorise(audience)
            return json.dumps({"clientId": own_did, "audience": audience, "region": "any"})  # noqa: TID251 - nothing is signed

        return Peers(_Trust(peers.trust, mocks), _Verifier(peers, mocks), authorise)

    return beside


class _Trust:
    def __init__(self, space: Trust, mocks: Mapping[str, Participant]) -> None:
        self._space, self._mocks = space, mocks

    @property
    def operator(self) -> str:
        return self._space.operator

    def participant(self, did: str) -> Participant:
        return self._mocks.get(did) or self._space.participant(did)

    def resolve(self, kid: str) -> VerifyingKey:
        return self._space.resolve(kid)


class _Verifier:
    def __init__(self, peers: Peers, mocks: Mapping[str, Participant]) -> None:
        self._peers, self._mocks = peers, mocks

    def verify(self, header: str | None) -> Caller:
        if not header or not header.startswith("{"):
            return self._peers.verifier.verify(header)
        try:
            mock = self._mocks[json.loads(header)["clientId"]]
        except (ValueError, KeyError, TypeError):
            raise PresentationInvalid("this is no token of a known mock participant") from None
        return Caller(mock.did, mock, self._peers.trust.operator)


def _participant(identifier: str, address: str) -> Participant:
    roles = frozenset({Role.PROVIDER, Role.CONSUMER})
    return Participant(
        identifier, identifier, identifier, "", identifier, roles, ParticipantStatus.ACTIVE, {}, address, ""
    )
