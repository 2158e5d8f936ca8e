"""SIGKILL at the provider: the negotiation ends once, the run is answered once, charged once, recorded once."""

import threading
import time
import uuid

import pytest

from examples.longyizhen import cast
from examples.longyizhen.cast import HOSPITALS
from examples.longyizhen.scenario import SQL_FORMAT, Node, Road, eventually
from hexi.errors import DataspaceError
from ledger.entries import Kind, read_entry
from sandbox.messages import RunAnswer

pytestmark = pytest.mark.process

# Seconds after which the provider is killed: before it knows, while it answers, while it concludes.
MOMENTS = (0.0, 0.05, 0.1, 0.2, 0.4)
QUERY = "SELECT health, count(*) AS n FROM visits GROUP BY health"


def restart(node: Node) -> None:
    node.service.kill()
    node.service.start()


def test_a_negotiation_survives_the_providers_death_at_any_moment(road: Road) -> None:
    hospital = road.nodes[HOSPITALS[0].key]
    product = road.products[hospital.member.key].identifier
    agreements = []
    for moment in MOMENTS:
        asked = road.planner.client.negotiate(product, purpose=cast.PURPOSE)
        time.sleep(moment)
        restart(hospital)
        ended = eventually(
            "the negotiation's end",
            lambda pid=asked.id: road.planner.client.negotiation(pid),
            lambda seen: seen.state in {"FINALIZED", "TERMINATED"},
        )
        assert ended.state == "FINALIZED", ended
        agreements.append(str(ended.agreement))
    for agreement in agreements:
        theirs = eventually(
            "the provider's evidence",
            lambda a=agreement: hospital.client.agreement(a),
            lambda seen: seen.receipt is not None,
        )
        assert theirs.agreement == road.planner.client.agreement(agreement).agreement
    assert len({entry.id for entry in hospital.client.negotiations()}) == len(MOMENTS)
    logged = [read_entry(logged.entry).subject for logged in road.ledger.entries(kind=Kind.AGREEMENT_CONCLUDED)]
    assert sorted(logged) == sorted(agreements)


def test_a_run_survives_the_providers_death(started: Road) -> None:
    hospital = started.nodes[HOSPITALS[0].key]
    transfer = started.transfers[hospital.member.key, SQL_FORMAT]
    runs = [f"urn:uuid:{uuid.uuid4()}" for _ in range(3)]
    answers = [
        ask_through_a_kill(started, hospital, transfer, run, moment)
        for run, moment in zip(runs, (0.02, 0.1, 0.25), strict=True)
    ]
    assert {answer.verdict for answer in answers} == {"released"}
    started.await_evidence()

    logged = [read_entry(logged.entry) for logged in started.ledger.entries(kind=Kind.RUN_COMPLETED)]
    assert sorted(entry.subject for entry in logged) == sorted(runs)
    statement = started.market(started.planner).state().document
    assert [(line["runs"], line["amountFen"]) for line in statement["lines"]] == [(3, 3 * HOSPITALS[0].price_fen)]
    assert started.market().anomalies() == []


def ask_through_a_kill(road: Road, hospital: Node, transfer: str, run: str, moment: float) -> RunAnswer:
    """Ask, kill the provider while it works, and ask again with the same id until there is an answer."""

    def ask() -> RunAnswer | str:
        try:
            return road.planner.client.run(transfer, QUERY, run=run)
        except DataspaceError as error:
            return error.code

    first = threading.Thread(target=ask)
    first.start()
    time.sleep(moment)
    restart(hospital)
    first.join()
    answer = eventually("the answer", ask, lambda seen: isinstance(seen, RunAnswer))
    assert isinstance(answer, RunAnswer)
    return answer
