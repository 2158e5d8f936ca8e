"""Many negotiations at once, each way. EDC races with itself under load and ends some of them with an error.

What is promised: every process ends, once; both ends say the same, or ours says why it ended otherwise.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from connector.management.answers import Negotiation
from tests.conformance.edc.exchange import PATIENCE_SECONDS, Exchange, eventually
from tests.conformance.edc.offers import ended, offered, our_offer

pytestmark = pytest.mark.edc

BURST = 30

# One negotiation, as we see it and as EDC does.
Ends = tuple[Negotiation, dict[str, Any]]


def check(way: str, seen: list[Ends]) -> None:
    counted = Counter((ours.state, theirs["state"], "; ".join(ours.reason)[:160]) for ours, theirs in seen)
    for (state, theirs, why), often in counted.most_common():
        print(f"{way}: {often} x ours {state}, EDC's {theirs} {why}")
    for ours, theirs in seen:
        concluded = ours.state == theirs["state"] == "FINALIZED"
        assert concluded or (ours.state == "TERMINATED" and ours.reason), (ours, theirs)
    agreements = [ours.agreement for ours, _ in seen if ours.state == "FINALIZED"]
    assert len(set(agreements)) == len(agreements) > 0
    assert len(seen) == len({ours.peer_id for ours, _ in seen}) == BURST, "a request has made two processes, or none"


def test_thirty_at_once_with_edc_as_provider(parties: Exchange) -> None:
    ours, edc = parties.ours.client, parties.provider
    offer = offered(parties)

    with ThreadPoolExecutor(BURST) as pool:
        pids = list(pool.map(lambda _: ours.negotiate_offer(edc.participant, offer).id, range(BURST)))

    seen = [ours.wait_negotiation(pid, PATIENCE_SECONDS) for pid in pids]
    theirs = [eventually("EDC's", lambda pid=one.peer_id: edc.management.negotiation(pid), ended) for one in seen]
    check("EDC provides", list(zip(seen, theirs, strict=True)))
    known = Counter(one["correlationId"] for one in edc.management.negotiations())
    assert [known[pid] for pid in pids] == [1] * BURST


def test_thirty_at_once_with_edc_as_consumer(parties: Exchange) -> None:
    ours, edc = parties.ours, parties.consumer
    offer = our_offer(parties)
    before = {one.id for one in ours.client.negotiations(counterparty=edc.participant)}

    with ThreadPoolExecutor(BURST) as pool:
        pids = list(pool.map(lambda _: edc.management.negotiate(ours.did, ours.dsp_url, offer), range(BURST)))

    theirs = {pid: eventually("EDC's", lambda pid=pid: edc.management.negotiation(pid), ended) for pid in pids}
    known = [one.id for one in ours.client.negotiations(counterparty=edc.participant) if one.id not in before]
    seen = [ours.client.wait_negotiation(pid, PATIENCE_SECONDS) for pid in known]
    check("EDC consumes", [(one, theirs[str(one.peer_id)]) for one in seen])
