"""The consumer's tokens: told to its own programs, renewed once however many ask, and left behind by a new start."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from connector.deliveries.tokens import DownloadRefused
from hexi.errors import RemoteProblem
from tests.connector.planes.delivery import CONTENT, Offered
from tests.connector.planes.test_deliveries import PULL, PUSH, Meddling
from tests.simulator import Dataspace


@pytest.fixture
def offered(dataspace: Dataspace, tmp_path: Path) -> Offered:
    path = tmp_path / "visits.csv"
    path.write_bytes(CONTENT)
    return Offered(dataspace, path)


def read(offered: Offered, transfer: str, authorization: str) -> httpx.Response:
    endpoint = offered.space.consumer.client.data.access(transfer).endpoint
    with httpx.Client(transport=offered.space.network) as http:
        return http.get(endpoint, headers={"Authorization": authorization})


def test_a_program_reads_with_what_it_is_told_and_with_something_newer_when_that_is_refused(offered: Offered) -> None:
    data, transfer = offered.space.consumer.client.data, offered.ask(PULL)
    first = data.access(transfer)
    assert (read(offered, transfer, first.authorization).content, first.format) == (CONTENT, PULL)
    assert first.provider_transfer == offered.space.consumer.client.transfer_status(transfer).peer_id
    offered.space.clock.advance(minutes=11)
    assert read(offered, transfer, first.authorization).status_code == 401
    second = data.access(transfer, refused=first.authorization)
    assert data.access(transfer, refused=first.authorization) == data.access(transfer) == second
    assert read(offered, transfer, second.authorization).content == CONTENT
    assert first.authorization not in repr(first)


def test_however_many_ask_the_provider_is_asked_once(offered: Offered) -> None:
    tokens, transfer = offered.space.consumer.app.state.deliveries.tokens, offered.ask(PULL)
    network = Meddling(offered.space.network, lambda _request, _answer: None)
    object.__setattr__(tokens, "client", httpx.Client(transport=network))
    refused = offered.space.consumer.client.data.access(transfer).authorization
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: tokens.renewed(transfer, refused=refused)["authorization"], range(4)))
    assert (len(set(found)), len(network.requests)) == (1, 1)
    assert read(offered, transfer, f"Bearer {found[0]}").content == CONTENT


def test_a_renewal_that_failed_is_tried_again_by_the_next(offered: Offered) -> None:
    tokens, transfer = offered.space.consumer.app.state.deliveries.tokens, offered.ask(PULL)
    refused = offered.space.consumer.client.data.access(transfer).authorization
    answers = [httpx.Response(403, json={"detail": "not you"})]
    network = Meddling(offered.space.network, lambda _request, _answer: answers.pop() if answers else None)
    object.__setattr__(tokens, "client", httpx.Client(transport=network))
    with pytest.raises(DownloadRefused, match="not you"):
        tokens.renewed(transfer, refused=refused)
    assert tokens.renewed(transfer, refused=refused)["authorization"] not in refused


def test_a_new_start_brings_new_tokens(offered: Offered) -> None:
    data, transfer = offered.space.consumer.client.data, offered.ask(PULL)
    provider, pid = offered.space.provider.client, data_at_provider(offered, transfer)
    first = data.access(transfer).authorization
    renewed = data.access(transfer, refused=first).authorization
    provider.suspend_transfer(pid, "a pause")
    offered.space.settle()
    with pytest.raises(RemoteProblem, match=r"SUSPENDED; .*a pause") as said:
        data.access(transfer)
    assert (said.value.code, said.value.status) == ("connector.not-fetched", 409)
    provider.resume_transfer(pid)
    offered.space.settle()
    third = data.access(transfer).authorization
    assert len({first, renewed, third}) == 3
    assert read(offered, transfer, third).content == CONTENT


def test_only_what_is_ours_to_fetch_is_told(offered: Offered) -> None:
    transfer = offered.ask(PULL)
    pushed = offered.ask(PUSH)
    theirs = offered.space.provider.client.data
    for client, pid in ((offered.space.consumer.client.data, pushed), (theirs, data_at_provider(offered, transfer))):
        with pytest.raises(RemoteProblem) as said:
            client.access(pid)
        assert said.value.code == "connector.not-fetched"
    with pytest.raises(RemoteProblem) as said:
        offered.space.consumer.client.data.access("urn:uuid:0c2f5b1e-6a3d-4d0c-9f7e-000000000009")
    assert said.value.status == 404


def data_at_provider(offered: Offered, transfer: str) -> str:
    return next(t.id for t in offered.space.provider.client.transfers() if t.peer_id == transfer)
