"""Peers: how the other participants are known, recognised and called.

A connector of a space knows them from the space's registry and recognises them by their presentations. That is all the
connector asks about identity, so a plug-in can stand another kind of peer beside it: `create_app(..., peers=wrap)` gets
what would be used and returns what is used.
"""

from collections.abc import Callable
from dataclasses import dataclass

from registry.access import CallerVerifier
from registry.trust import Trust


@dataclass(frozen=True)
class Peers:
    """`trust` says who takes part and with which keys, `verifier` who calls, `authorise` gives an ``Authorization``
    value for calling the service with that DID."""

    trust: Trust
    verifier: CallerVerifier
    authorise: Callable[[str], str]


def of_the_space(peers: Peers) -> Peers:
    """The peers of the space and nobody else: what production uses."""
    return peers
