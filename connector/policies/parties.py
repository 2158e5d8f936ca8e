"""Parties: what the registry says about a participant, as the facts that terms may speak of."""

from urllib.parse import urlsplit

from connector.policies.evaluation import Party
from registry.participants import Participant


def party_of(participant: Participant) -> Party:
    """The facts about `participant`. Its connector is known by the origin of its address."""
    scheme, host = urlsplit(participant.dsp_url)[:2]
    return Party(participant.owner_code, frozenset(participant.roles), participant.region, f"{scheme}://{host}")
