"""Reading and writing objects, against servers of others."""

from dataclasses import replace

import httpx
import pytest

from connector.s3.errors import StorageRefused, StorageUnreachable
from connector.s3.objects import StoredObject
from connector.s3.signing import Credentials
from hexi.canonical import system_clock
from tests.connector.s3.conftest import Bucket
from tests.connector.s3.peers import Peer

# The least part size that S3 takes for all but the last one, in bytes.
PART = 5 * 1024 * 1024
KEYS = ["a.csv", "2026/11/visits 肃州.csv", "a+b&c=d;e,f@g!h'(i)*j.csv", "q?x#y%20z~.csv"]


@pytest.mark.parametrize("key", KEYS)
def test_what_is_put_is_read_whole_and_in_ranges_under_any_name(bucket: Bucket, key: str) -> None:
    content = bytes(range(256)) * 100
    stored = bucket.object(key)
    stored.put(content)
    assert bucket.holds(key) == content
    facts = stored.facts()
    assert facts.size == len(content)
    assert b"".join(stored.read(0, facts.size, facts.etag)) == content
    assert b"".join(stored.read(1000, 2000)) == content[1000:2000]
    assert b"".join(stored.read(25_599, 25_600)) == content[-1:]
    assert list(stored.read(7, 7)) == []


def test_an_upload_is_taken_up_from_the_parts_that_storage_lists(bucket: Bucket) -> None:
    first, second, last = b"1" * PART, b"2" * PART, b"end"
    upload = bucket.object("big").begin()
    bucket.object("big").put_part(upload, 1, first)
    bucket.object("big").put_part(upload, 3, last)  # and here the process died
    again = bucket.object("big")
    listed = again.parts(upload)
    assert set(listed) == {1, 3}
    assert listed[1].holds(first)
    assert not listed[1].holds(second)
    assert not listed[3].holds(b"and")
    again.complete(upload, [listed[1], again.put_part(upload, 2, second), listed[3]])
    assert bucket.holds("big") == first + second + last


def test_an_upload_given_up_leaves_nothing(bucket: Bucket) -> None:
    stored = bucket.object("big")
    upload = stored.begin()
    stored.put_part(upload, 1, b"x")
    stored.abort(upload)
    with pytest.raises(StorageRefused, match="404 NoSuchUpload"):
        stored.parts(upload)
    with pytest.raises(StorageRefused, match="404"):
        stored.facts()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"secret_access_key": "another"}, "403 SignatureDoesNotMatch"),
        ({"access_key_id": "stranger"}, "403 InvalidAccessKeyId|404 XAdminUserNotFound"),
    ],
)
def test_a_wrong_key_is_refused_and_nothing_secret_is_said(bucket: Bucket, change: dict[str, str], status: str) -> None:
    wrong = replace(bucket.peer.credentials, **change)
    with pytest.raises(StorageRefused, match=status) as refused:
        bucket.object("a", credentials=wrong).put(b"x")
    assert wrong.secret_access_key not in str(refused.value.problem()) + repr(wrong)


def test_an_object_that_changed_meanwhile_is_not_read_on(bucket: Bucket) -> None:
    stored = bucket.object("a")
    stored.put(b"one")
    before = stored.facts()
    stored.put(b"two")
    with pytest.raises(StorageRefused, match="412"):
        list(stored.read(1, 3, before.etag))


class Tampering(httpx.BaseTransport):
    """Somebody on the way who changes what is sent, and would like nobody to notice."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name != "content-md5"}
        with httpx.Client() as http:
            answer = http.request(request.method, request.url, headers=headers, content=request.read().swapcase())
        return httpx.Response(answer.status_code, stream=httpx.ByteStream(answer.content))


def test_a_body_changed_on_the_way_is_refused(versity: Peer) -> None:
    versity.admin().create_bucket(Bucket="tampered")
    location = versity.object("tampered", "a").location
    stored = StoredObject(location, versity.credentials, system_clock, Tampering())
    with pytest.raises(StorageRefused, match=r"SignatureDoesNotMatch|XAmzContentSHA256Mismatch"):
        stored.put(b"Pay 10")


def test_parts_that_storage_does_not_hold_make_no_object(bucket: Bucket) -> None:
    stored = bucket.object("big")
    upload = stored.begin()
    part = stored.put_part(upload, 1, b"x")
    with pytest.raises(StorageRefused, match="InvalidPart"):
        stored.complete(upload, [replace(part, etag='"00000000000000000000000000000000"')])


def test_no_bucket_and_nobody_there_are_told_apart(moto: Peer) -> None:
    with pytest.raises(StorageRefused, match="404 NoSuchBucket"):
        moto.object("no-such-bucket", "a").put(b"x")
    nobody = Peer("http://127.0.0.1:9", Credentials("a", "b"), checks_bodies=False)
    with pytest.raises(StorageUnreachable, match="ConnectError"):
        nobody.object("bucket", "a").facts()
