"""Part files: kept as long as a delivery may go on, removed once it has ended for good, and nothing else with them."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector.app import create_app
from connector.deliveries import store
from connector.deliveries.parts import open_part
from connector.settings import ConnectorSettings
from hexi.canonical import instant
from hexi.errors import RemoteProblem
from sandbox import owners
from tests.connector.planes.delivery import CONTENT, Offered
from tests.connector.planes.test_deliveries import cut, meddle
from tests.simulator import PLANNER, SPACE, Dataspace

PULL, PUSH = "HttpData-PULL", "HttpData-PUSH"


@pytest.fixture
def offered(dataspace: Dataspace, tmp_path: Path) -> Offered:
    path = tmp_path / "visits.csv"
    path.write_bytes(CONTENT)
    return Offered(dataspace, path)


def interrupted(offered: Offered, format_: str, to: Path | None) -> tuple[str, Path]:
    """A delivery of which a part has come, and that part."""
    transfer = offered.ask(format_, to=None if to is None else str(to))
    if format_ == PULL:
        meddle(offered, offered.space.consumer, cut(10**6, 1_000))
        offered.space.consumer.client.fetch(transfer)
        assert deliveries(offered).downloads.step()
    else:
        with offered.space.provider.app.state.database.reading() as session:
            push = store.push(session, next(offered.space.provider.client.transfers()).id)
        assert push is not None
        shown = {"Authorization": push.destination["authCode"], "Upload-Offset": "0", "Upload-Length": "9"}
        http = httpx.Client(transport=offered.space.network, base_url=f"http://{PLANNER}")
        assert http.patch("/deliveries", content=b"half", headers=shown).status_code == 503
    offered.space.clock.advance(minutes=1)
    place = Path(offered.space.consumer.client.delivery(transfer).path)
    return transfer, place.with_name(place.name + ".part")


def deliveries(offered: Offered) -> Any:
    return offered.space.consumer.app.state.deliveries


def end(offered: Offered, transfer: str) -> None:
    offered.space.consumer.client.end_transfer(transfer, "no longer wanted")
    offered.space.settle()


@pytest.mark.parametrize("format_", [PULL, PUSH])
@pytest.mark.parametrize("named", [True, False])
def test_a_part_stays_until_the_transfer_has_ended(
    offered: Offered, tmp_path: Path, format_: str, *, named: bool
) -> None:
    transfer, part = interrupted(offered, format_, tmp_path / "arrived" if named else None)
    client, clearing = offered.space.consumer.client, deliveries(offered).clearing
    assert not clearing.step()
    client.suspend_transfer(transfer, "a pause")
    offered.space.settle()
    assert not clearing.step()
    deliveries(offered).receiving.fail(transfer, "given up, and asked for again perhaps")
    assert not clearing.step()
    assert part.is_file()
    end(offered, transfer)
    assert clearing.step()
    assert not part.exists()
    assert part.parent.exists() == named, "of the folder that was made for it nothing stays"
    assert not clearing.step()


def test_what_arrived_stays(offered: Offered, tmp_path: Path) -> None:
    transfer, part = interrupted(offered, PULL, None)
    meddle(offered, offered.space.consumer, lambda request, answer: None)
    offered.work()
    assert deliveries(offered).clearing.step()
    assert not deliveries(offered).clearing.step()
    assert [path.name for path in part.parent.iterdir()] == ["data.csv"]
    assert offered.space.consumer.client.delivery(transfer).state == "DONE"


def test_what_ended_while_the_process_was_down_is_cleared_up_at_the_start(offered: Offered, tmp_path: Path) -> None:
    transfer, part = interrupted(offered, PULL, tmp_path / "arrived")
    space = offered.space
    with space.consumer.app.state.database.transaction() as session:  # as a process leaves it that is killed
        arrival = store.arrival(session, transfer)
        assert arrival is not None
        later = instant(space.clock() + timedelta(minutes=10))
        gone = owners.this_process().rpartition("/")[0] + "/0"
        store.save_arrival(session, replace(arrival, holder=gone, due=later))
    end(offered, transfer)
    assert not deliveries(offered).clearing.step(), "it may still be written"
    settings = ConnectorSettings(home=space.home / "planner", port=8082, space_url=f"http://{SPACE}")
    again = create_app(settings, clock=space.clock, transport=space.network, start_worker=False).state.deliveries
    again.recover()
    assert again.clearing.step()
    assert not part.exists()


def linked(part: Path, other: Path) -> None:
    part.symlink_to(other)


def another(part: Path, other: Path) -> None:
    part.write_bytes(other.read_bytes())


def folder(part: Path, _: Path) -> None:
    part.mkdir()


@pytest.mark.parametrize("put", [linked, another, folder])
def test_what_lies_in_the_place_of_a_part_and_is_not_ours_stays(
    offered: Offered, tmp_path: Path, put: Callable[[Path, Path], None]
) -> None:
    transfer, part = interrupted(offered, PULL, tmp_path / "arrived")
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    part.rename(tmp_path / "aside")  # its inode is not given to the other
    put(part, precious)
    assert deliveries(offered).downloads.step(), "it is not written either"
    seen = offered.space.consumer.client.delivery(transfer)
    assert seen.state == "FAILED", seen.error
    end(offered, transfer)
    assert deliveries(offered).clearing.step()
    assert (precious.read_bytes(), os.path.lexists(part)) == (b"precious", True)
    assert part.is_dir() or part.read_bytes() == b"precious"
    assert not deliveries(offered).clearing.step()


def test_a_part_in_a_folder_that_was_exchanged_for_a_link_stays(offered: Offered, tmp_path: Path) -> None:
    place, elsewhere = tmp_path / "place", tmp_path / "elsewhere"
    place.mkdir()
    elsewhere.mkdir()
    (elsewhere / "arrived.part").write_bytes(b"precious")
    transfer, _ = interrupted(offered, PULL, place / "arrived")
    place.rename(tmp_path / "aside")
    place.symlink_to(elsewhere)
    end(offered, transfer)
    assert deliveries(offered).clearing.step()
    assert (elsewhere / "arrived.part").read_bytes() == b"precious"


def test_a_part_that_is_still_written_is_cleared_up_later(offered: Offered, tmp_path: Path) -> None:
    transfer, part = interrupted(offered, PUSH, tmp_path / "arrived")
    with open_part(tmp_path / "arrived", None):
        end(offered, transfer)
        assert deliveries(offered).clearing.step()
        assert part.is_file()
        assert not deliveries(offered).clearing.step()
    offered.space.clock.advance(minutes=2)
    assert deliveries(offered).clearing.step()
    assert not part.exists()


def test_a_place_that_was_taken_meanwhile_gets_no_part(offered: Offered, tmp_path: Path) -> None:
    transfer = offered.ask(PULL, to=str(tmp_path / "arrived"))
    (tmp_path / "arrived").write_bytes(b"precious")
    assert deliveries(offered).downloads.step()
    assert offered.space.consumer.client.delivery(transfer).state == "FAILED"
    assert [path.name for path in tmp_path.glob("arrived*")] == ["arrived"]


def test_no_delivery_is_taken_for_a_place_whose_part_file_is_somebody_elses(offered: Offered, tmp_path: Path) -> None:
    (tmp_path / "arrived.part").write_bytes(b"precious")
    with pytest.raises(RemoteProblem) as refused:
        offered.ask(PULL, to=str(tmp_path / "arrived"))
    assert refused.value.code == "connector.place-taken"
    assert (tmp_path / "arrived.part").read_bytes() == b"precious"
