"""S3 servers, one of each for all tests of this folder, and a fresh bucket for each test."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from connector.s3.objects import StoredObject
from tests.connector.s3 import peers
from tests.connector.s3.peers import Peer


@dataclass(frozen=True)
class Bucket:
    peer: Peer
    name: str

    def object(self, key: str, **changes: Any) -> StoredObject:
        return self.peer.object(self.name, key, **changes)

    def holds(self, key: str) -> bytes:
        content: bytes = self.peer.admin().get_object(Bucket=self.name, Key=key)["Body"].read()
        return content


@pytest.fixture(scope="session")
def moto() -> Iterator[Peer]:
    with peers.moto() as peer:
        yield peer


@pytest.fixture(scope="session")
def versity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    if peers.VERSITY is None:
        pytest.skip("versitygw is not at hand; tests.connector.s3.peers says how to get it")
    with peers.versity(tmp_path_factory.mktemp("versity")) as peer:
        yield peer


@pytest.fixture(params=["moto", "versity"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """An empty bucket, once in each server that is at hand."""
    peer: Peer = request.getfixturevalue(request.param)
    name = f"b{uuid.uuid4().hex}"
    peer.admin().create_bucket(Bucket=name)
    return Bucket(peer, name)
