"""Object storage end to end: a provider's object fetched, and a consumer's bucket written to, over real sockets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connector.deliveries import store as delivery_store
from connector.deliveries.pushes import MAX_ATTEMPTS
from connector.deliveries.uploads import PART_BYTES
from connector.planes import Refused
from connector.planes.s3_push import FORMAT, read_storage
from tests.connector.planes.serving import Delivery, served
from tests.connector.s3 import peers
from tests.connector.s3.peers import REGION, Peer
from tests.simulator import Dataspace

BUCKET = "exports"
CONTENT = bytes(range(256)) * (2 * PART_BYTES // 256) + b"the rest"


class CutConnection:
    """A way to `port` on loopback that ends when it has carried `limit` bytes towards it; with None, never."""

    def __init__(self, port: int) -> None:
        self.limit: int | None = None
        self.carried = 0
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._carry, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        try:
            while data := source.recv(65_536):
                if counted:
                    self.carried += len(data)
                    if self.limit is not None and self.carried > self.limit:
                        break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        source.close()  # each of the two is the source of one thread


@pytest.fixture(scope="module", params=["moto", "versity"])
def storage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    if request.param == "versity" and peers.VERSITY is None:
        pytest.skip("versitygw is not at hand; tests.connector.s3.peers says how to get it")
    with peers.moto() if request.param == "moto" else peers.versity(tmp_path_factory.mktemp("versity")) as peer:
        peer.admin().create_bucket(Bucket=BUCKET)
        yield peer


@pytest.fixture
def way(storage: Peer) -> Iterator[CutConnection]:
    cut = CutConnection(int(storage.endpoint.rpartition(":")[2]))
    yield cut
    cut.close()


class Upload:
    """A product whose one file is written into the consumer's bucket."""

    def __init__(self, space: Dataspace, storage: Peer, path: Path, policy: dict[str, Any]) -> None:
        self.space, self.storage = space, storage
        self.file = Delivery(space, "", {"type": "file", "path": str(path)}, "file", "HttpData-PULL", policy)

    def ask(self, key: str, endpoint: str | None = None, **changes: str) -> str:
        told = {
            "region": REGION,
            "bucketName": BUCKET,
            "objectName": key,
            "endpointOverride": endpoint or self.storage.endpoint,
            "accessKeyId": self.storage.credentials.access_key_id,
            "secretAccessKey": self.storage.credentials.secret_access_key,
        } | changes
        properties = [{"@type": "EndpointProperty", "name": n, "value": v} for n, v in told.items()]
        address = {"@type": "DataAddress", "endpointType": "AmazonS3", "endpointProperties": properties}
        asked = self.space.consumer.client.transfer(self.file.agreement, FORMAT, destination=address)
        self.file.transfer = asked.id
        self.space.settle()
        return asked.id

    def step(self) -> None:
        """One attempt, after whatever pause the last one asked for."""
        self.space.clock.advance(minutes=2)
        assert self.space.provider.app.state.deliveries.pushes.step()
        self.space.settle()

    def begun(self) -> int:
        """How many uploads storage waits for the rest of."""
        return len(self.storage.admin().list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))

    def holds(self, key: str) -> bytes:
        found: bytes = self.storage.admin().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return found

    def state(self) -> tuple[str, tuple[str, ...]]:
        found = self.space.consumer.client.transfer_status(self.file.transfer)
        return found.state, found.reason


ONCE = {
    "permission": [{"action": "use", "constraint": [{"leftOperand": "count", "operator": "lteq", "rightOperand": "1"}]}]
}


@pytest.fixture
def upload(dataspace: Dataspace, storage: Peer, tmp_path: Path) -> Upload:
    (tmp_path / "visits.bin").write_bytes(CONTENT)
    return Upload(dataspace, storage, tmp_path / "visits.bin", ONCE)


def test_a_file_is_written_into_the_bucket_and_counted_once(upload: Upload) -> None:
    upload.ask("2026/肃州.bin")
    upload.step()
    assert upload.holds("2026/肃州.bin") == CONTENT
    assert upload.state()[0] == "COMPLETED"
    grant = upload.file.grant()
    assert (grant.count, grant.volume, grant.under_way) == (1, len(CONTENT), 0)
    assert grant.digest is not None


def test_an_upload_goes_on_after_the_parts_that_storage_has(upload: Upload, way: CutConnection) -> None:
    upload.ask("big", endpoint=f"http://127.0.0.1:{way.port}")
    way.limit = PART_BYTES + PART_BYTES // 2
    upload.step()
    assert upload.state()[0] == "STARTED"
    way.limit, way.carried = None, 0
    upload.step()
    assert upload.state()[0] == "COMPLETED"
    assert upload.holds("big") == CONTENT
    assert PART_BYTES < way.carried < len(CONTENT) - PART_BYTES // 2
    assert upload.file.grant().count == 1


@pytest.mark.parametrize("named", [{}, {"objectName": "", "keyPrefix": "2026/"}])
def test_what_was_begun_is_given_up_in_storage_when_the_transfer_ends(
    upload: Upload, way: CutConnection, named: dict[str, str]
) -> None:
    """Ended while it was held and storage was away; the object may be called by us."""
    upload.ask("gone", endpoint=f"http://127.0.0.1:{way.port}", **named)
    way.limit = PART_BYTES + PART_BYTES // 2
    upload.step()
    upload.file.end(suspend=True)
    assert not upload.space.provider.app.state.deliveries.pushes.step()
    upload.file.end()
    upload.step()  # it is over
    upload.step()  # storage does not answer
    assert (upload.begun(), upload.state()[0]) == (1, "TERMINATED")
    way.limit = None
    upload.step()
    assert upload.begun() == 0
    upload.space.clock.advance(minutes=2)
    assert not upload.space.provider.app.state.deliveries.pushes.step()


def test_what_was_begun_is_given_up_when_the_source_is_gone_for_good(upload: Upload, way: CutConnection) -> None:
    upload.ask("gone", endpoint=f"http://127.0.0.1:{way.port}")
    way.limit = PART_BYTES + PART_BYTES // 2
    upload.step()
    way.limit = None
    upload_path(upload).unlink()
    for _ in range(MAX_ATTEMPTS):
        upload.step()
    assert (upload.begun(), upload.state()[0]) == (0, "TERMINATED")


def test_what_storage_completed_and_nobody_noted_is_not_sent_again(upload: Upload) -> None:
    upload.ask("noted")
    deliveries, pid = upload.space.provider.app.state.deliveries, upload.file.pid()
    with deliveries.engine.database.reading() as session:
        push = delivery_store.push(session, pid)
    source = deliveries.pushes.sources.of("delivered", {"type": "file", "path": str(upload_path(upload))})
    content = source.content()
    deliveries.pushes.uploads.send(push, content, lambda offset: source.open(content, offset))

    @contextmanager
    def never(_: int) -> Iterator[Any]:
        raise AssertionError("it was read again")
        yield

    deliveries.pushes.uploads.send(push, content, never)
    assert upload.holds("noted") == CONTENT


def upload_path(upload: Upload) -> Path:
    return upload.space.home / "visits.bin"


def test_storage_that_refuses_ends_the_transfer_and_no_secret_is_said(
    upload: Upload, capsys: pytest.CaptureFixture[str]
) -> None:
    upload.ask("refused", secretAccessKey="another-secret-of-theirs")
    upload.step()
    state, reason = upload.state()
    assert (state, reason[0]) == ("TERMINATED", "connector.upload-refused")
    assert "SignatureDoesNotMatch" in reason[1]
    assert upload.file.grant().state == "ENDED"
    said = capsys.readouterr()
    assert "another-secret-of-theirs" not in said.out + said.err + str(reason)


@pytest.mark.parametrize("change", [{"bucketName": "../x"}, {"objectName": "a/../b"}, {"accessKeyId": ""}])
def test_what_names_no_object_is_refused_before_anything_is_sent(upload: Upload, change: dict[str, str]) -> None:
    upload.ask(**{"key": "x", **change} if "objectName" not in change else {"key": change["objectName"]})
    state, reason = upload.state()
    assert (state, reason[0]) == ("TERMINATED", "connector.destination-refused")


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://storage.example",
        "https://127.0.0.1",
        "https://10.0.0.5:9000",
        "https://[::1]",
        "https://169.254.169.254",
    ],
)
def test_an_endpoint_that_is_not_everybody_s_is_not_called(endpoint: str) -> None:
    told = {"bucketName": "abc", "accessKeyId": "a", "secretAccessKey": "b", "endpointOverride": endpoint}
    with pytest.raises(Refused, match="not written there"):
        read_storage(told, unsafe_allow_loopback=False)
    assert read_storage(told | {"endpointOverride": "https://storage.example"}, unsafe_allow_loopback=False)


def test_an_object_is_fetched_in_ranges_until_it_changes(dataspace: Dataspace, storage: Peer) -> None:
    admin = storage.admin()
    admin.put_object(Bucket=BUCKET, Key="visits.csv", Body=b"person,cost\np1,3\n")
    secrets = dataspace.home / "hospital" / "secrets"
    secrets.mkdir(exist_ok=True)
    key = storage.credentials
    (secrets / "s3-key").write_text(f"{key.access_key_id}:{key.secret_access_key}", encoding="utf-8")
    source = {"type": "s3", "bucket": BUCKET, "key": "visits.csv", "endpoint": storage.endpoint, "secret": "s3-key"}
    with served(dataspace.provider.app) as url:
        stored = Delivery(dataspace, url, source, "file", "HttpData-PULL")
        with stored.http:
            shown = {"Authorization": stored.token}
            whole = stored.http.get(stored.endpoint, headers=shown)
            assert (whole.status_code, whole.content) == (200, b"person,cost\np1,3\n")
            rest = {"Range": "bytes=12-", "If-Range": whole.headers["etag"]}
            part = stored.http.get(stored.endpoint, headers=shown | rest)
            assert (part.status_code, part.content) == (206, b"p1,3\n")
            admin.put_object(Bucket=BUCKET, Key="visits.csv", Body=b"other\n")
            changed = stored.http.get(stored.endpoint, headers=shown | rest)
            assert (changed.status_code, changed.content) == (200, b"other\n")
            admin.delete_object(Bucket=BUCKET, Key="visits.csv")
            gone = stored.http.get(stored.endpoint, headers=shown)
            assert (gone.status_code, gone.json()["code"]) == (503, "connector.source-unavailable")
            assert BUCKET not in gone.text
            assert stored.http.get(stored.endpoint, headers={"Authorization": "Bearer x"}).status_code == 401
