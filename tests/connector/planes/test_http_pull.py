"""HttpData-PULL, provider's side: what a token opens, what it does not, and what is counted."""

import asyncio
import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest

from connector.api.streaming import Streaming
from connector.deliveries import store
from connector.planes.data_address import properties_of
from connector.planes.handovers import HandoverRefused, Span
from connector.planes.http_pull import Answer, Asked
from connector.planes.under_way import TooManyAtOnce, UnderWay
from connector.protocol.transfer import Suspend
from connector.sources import SourceUnavailable
from connector.usage import store as usage_store
from tests.connector.business import USE
from tests.connector.planes.delivery import CONTENT, publish_source
from tests.simulator import HOSPITAL, Dataspace, Member

MIB = 1024**2
MEBIBYTES_25 = {"leftOperand": "urn:hexi:volume", "operator": "lteq", "rightOperand": str(25 * MIB)}


class Pull:
    """A transfer of a file that has started, and a client that fetches."""

    def __init__(self, space: Dataspace, source: dict[str, Any], policy: dict[str, Any] = USE) -> None:
        self.space = space
        self.product = publish_source(space, source, policy=policy)
        self.agreement = str(space.agree(self.product).agreement)
        self.transfer = self.start()
        self.http = httpx.Client(transport=space.network)

    def start(self) -> str:
        asked = self.space.consumer.client.transfer(self.agreement, "HttpData-PULL")
        self.space.settle()
        started = self.space.consumer.client.transfer_status(asked.id)
        assert started.state == "STARTED", started
        return str(asked.id)

    def address(self, transfer: str | None = None) -> dict[str, str]:
        engine = self.space.consumer.app.state.engine
        with engine.database.reading() as session:
            return properties_of(engine.transfer(session, transfer or self.transfer).data_address)

    def get(self, path: str = "", *, token: str | None = None, method: str = "GET", **headers: str) -> httpx.Response:
        address = self.address()
        shown = {"Authorization": token or address["authorization"]}
        asked = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(method, address["endpoint"] + path, headers=shown | asked)

    def at_provider(self) -> str:
        return next(self.space.provider.client.transfers()).id

    def counted(self) -> tuple[int, int]:
        with self.space.provider.app.state.engine.database.reading() as session:
            grant = usage_store.grant(session, self.at_provider())
        assert grant is not None
        return grant.count, grant.volume

    def suspend(self) -> None:
        engine = self.space.provider.app.state.engine
        with engine.database.transaction() as session:
            engine.act_transfer(session, self.at_provider(), Suspend("pause", ["a pause"]))
        self.space.settle()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "visits 2026.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def pull(dataspace: Dataspace, file: Path) -> Pull:
    return Pull(dataspace, {"type": "file", "path": str(file)})


def test_a_file_is_fetched_whole_with_its_digest(pull: Pull) -> None:
    answer = pull.get()
    assert (answer.status_code, answer.content) == (200, CONTENT)
    headers = answer.headers
    assert headers["Content-Disposition"] == 'attachment; filename="visits_2026.bin"'
    assert headers["Repr-Digest"] == headers["Content-Digest"] == _field(CONTENT)
    assert (headers["Accept-Ranges"], headers["Content-Length"]) == ("bytes", str(len(CONTENT)))
    assert "visits 2026" not in str(pull.address())
    assert pull.counted() == (1, len(CONTENT))


def test_the_rest_of_a_download_is_no_new_use_but_its_repetition_is(pull: Pull) -> None:
    begun = pull.get(Range="bytes=0-99")
    assert (begun.status_code, begun.headers["Content-Range"]) == (206, f"bytes 0-99/{len(CONTENT)}")
    rest = pull.get(Range="bytes=100-", If_Range=begun.headers["ETag"])
    assert begun.content + rest.content == CONTENT
    assert pull.counted() == (1, len(CONTENT))
    assert pull.get(method="HEAD").headers["Content-Length"] == str(len(CONTENT))
    assert pull.counted() == (1, len(CONTENT))
    assert pull.get().content == CONTENT
    assert pull.counted() == (2, 2 * len(CONTENT))


def test_volume_is_admitted_ahead_and_yet_used_up_to_the_last_chunk(dataspace: Dataspace, file: Path) -> None:
    terms = {"permission": [{"action": "use", "constraint": [MEBIBYTES_25]}]}
    transfer = Pull(dataspace, {"type": "file", "path": str(file)}, terms).at_provider()
    state = dataspace.provider.app.state
    handovers, span = state.deliveries.pushes.handovers, Span(0, 64 * MIB, 64 * MIB)
    admitted = [handovers.begin(transfer, span)]
    chunks = handovers.metered(transfer, span, admitted[0], iter([bytes(MIB)] * 64))
    for _ in range(25):
        assert len(next(chunks)) == MIB
        with state.engine.database.reading() as session:
            admitted.append(store.handover(session, transfer).volume)
    with pytest.raises(HandoverRefused):
        next(chunks)
    assert max(admitted) == 25 * MIB
    assert len(set(admitted)) < 25


@pytest.mark.parametrize("asked", ["bytes=99999-", "bytes=0-1,3-4", "bytes=5-4", "bytes=-0", "lines=1-2", "bytes=a-b"])
def test_a_range_that_is_none_is_refused_and_not_counted(pull: Pull, asked: str) -> None:
    answer = pull.get(Range=asked)
    assert (answer.status_code, answer.json()["code"]) == (416, "connector.range-refused")
    assert pull.counted() == (0, 0)


def test_a_range_bomb_is_refused(pull: Pull) -> None:
    bomb = "bytes=" + ",".join("0-" for _ in range(1000))
    assert pull.get(Range=bomb).status_code == 416


def test_what_has_changed_comes_whole(pull: Pull, file: Path) -> None:
    tag = pull.get(Range="bytes=0-9").headers["ETag"]
    file.write_bytes(b"another content")
    answer = pull.get(Range="bytes=10-", If_Range=tag)
    assert (answer.status_code, answer.content) == (200, b"another content")


def answered(pull: Pull) -> Answer:
    """What the provider's plane answers to a request for everything, of which nothing is read yet."""
    plane = pull.space.provider.app.state.engine.decisions.fulfilment._planes["HttpData-PULL"]
    return plane.serve(Asked(pull.at_provider(), f"Bearer {pull.address()['authorization']}"))


def test_who_finds_no_place_has_used_nothing_up(pull: Pull) -> None:
    full = UnderWay("downloads", of_transfer=0, in_all=9)
    with pytest.raises(TooManyAtOnce):
        asyncio.run(Streaming(answered(pull), "urn:x:1", full)({}, AsyncMock(), AsyncMock()))
    assert pull.counted() == (0, 0)


def test_what_cannot_be_opened_is_nobodys_use(pull: Pull, file: Path) -> None:
    answer = answered(pull)
    file.unlink()
    assert answer.body is not None
    with pytest.raises(SourceUnavailable), answer.body():
        pass
    assert pull.counted() == (0, 0)


def test_a_token_counts_only_for_its_transfer_and_its_time(pull: Pull) -> None:
    stolen = pull.address()["authorization"]
    pull.transfer = pull.start()
    assert pull.get().status_code == 200
    for token in (stolen, "", "Bearer x.y.z", pull.address()["refreshToken"]):
        answer = pull.get(token=token or "none")
        assert (answer.status_code, answer.json()["code"]) == (401, "connector.data-token-invalid")
    pull.space.clock.advance(minutes=11)
    assert "expired" in pull.get().json()["detail"]


def test_a_token_opens_nothing_once_the_transfer_is_over(pull: Pull) -> None:
    pull.suspend()
    answer = pull.get()
    assert (answer.status_code, answer.json()["reasons"][0]["code"]) == (403, "connector.transfer-not-active")
    pull.space.provider.client.end_transfer(pull.at_provider(), "enough")
    pull.space.settle()
    assert pull.get().status_code == 403
    assert pull.get(method="HEAD").status_code == 403
    assert pull.counted() == (0, 0)


def renew(pull: Pull, by: Member, token: str) -> httpx.Response:
    provider = str(pull.space.provider.did)
    shown = {"Authorization": by.app.state.membership.authorise(provider)}
    return pull.http.post(pull.address()["refreshEndpoint"], json={"refreshToken": token}, headers=shown)


def test_tokens_rotate_and_a_used_one_closes_the_door(pull: Pull) -> None:
    first = pull.address()
    lost = renew(pull, pull.space.consumer, first["refreshToken"])
    second = properties_of(renew(pull, pull.space.consumer, first["refreshToken"]).json())
    assert lost.status_code == 200
    assert pull.get(token=second["authorization"]).status_code == 200
    assert pull.get(token=first["authorization"]).status_code == 401
    assert renew(pull, pull.space.consumer, first["refreshToken"]).json()["code"] == "connector.data-token-invalid"
    assert pull.get(token=second["authorization"]).status_code == 401


def test_nobody_else_renews_a_token(pull: Pull) -> None:
    thief = pull.space.join("thief", "127.0.0.1:8090", "consumer")
    answer = renew(pull, thief, pull.address()["refreshToken"])
    assert (answer.status_code, answer.json()["code"]) == (401, "connector.data-token-invalid")


def test_a_directory_is_an_archive_or_its_members(dataspace: Dataspace, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    (folder / "b").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"a" * 700)
    (folder / "b" / "c.csv").write_bytes(CONTENT)
    (tmp_path / "secret.txt").write_text("not offered")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    pull = Pull(dataspace, {"type": "directory", "path": str(folder)})
    whole = pull.get()
    assert whole.headers["Repr-Digest"] == _field(whole.content)
    with tarfile.open(fileobj=io.BytesIO(whole.content)) as archive:
        assert {m.name: archive.extractfile(m).read() for m in archive} == {  # type: ignore[union-attr]
            "a.txt": b"a" * 700,
            "b/c.csv": CONTENT,
        }
    for offset in (1, 511, 512, 700, 1211, 1212, 1300, 1536, 2100, len(whole.content) - 1):
        assert pull.get(Range=f"bytes={offset}-").content == whole.content[offset:], offset
    listed = pull.get("/members").json()
    assert [(m["name"], m["bytes"]) for m in listed] == [("a.txt", 700), ("b/c.csv", len(CONTENT))]
    assert pull.get("/members/b/c.csv", Range="bytes=5-").content == CONTENT[5:]
    for name in ("link.txt", "../secret.txt", "%2e%2e/secret.txt", "b/../../secret.txt", "/etc/passwd", ""):
        assert pull.get(f"/members/{name}").status_code in {404, 405}, name


def test_a_file_that_is_gone_says_so_without_its_path(pull: Pull, file: Path) -> None:
    file.unlink()
    answer = pull.get()
    assert (answer.status_code, answer.json()["code"]) == (503, "connector.source-unavailable")
    assert str(file.parent) not in answer.text
    assert next(pull.space.provider.client.transfers()).state == "STARTED"


def test_a_missing_secret_ends_the_transfer_and_stays_at_home(dataspace: Dataspace) -> None:
    secrets = Path(dataspace.provider.app.state.settings.home) / "secrets"
    secrets.mkdir()
    (secrets / "header").write_text("Authorization: Bearer hidden")
    source = {"type": "http", "url": f"http://{HOSPITAL}/health", "secret": "header"}
    with pytest.raises(Exception, match="server behind this data"):
        Pull(dataspace, source)  # no such server in memory: publishing says so
    assert "hidden" not in str(dataspace.provider.client.resources())


def _field(content: bytes) -> str:
    import base64

    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
