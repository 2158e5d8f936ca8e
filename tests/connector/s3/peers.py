"""S3 servers of other people's making, on loopback.

`moto` always: it comes with the development dependencies, keeps objects in memory, and checks signatures with botocore
once its access control is on. `versitygw`, a production gateway over a folder, where the program is at hand:
``make conformance`` builds it, elsewhere ``go install`` with `VERSITY_MODULE`.
"""

import math
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from connector.protocol.callbacks import peer_transport
from connector.s3.location import Location
from connector.s3.objects import StoredObject
from connector.s3.signing import Credentials
from hexi.canonical import system_clock

REGION = "us-east-1"
# How long a server may take to listen, in seconds.
STARTING_SECONDS = 20.0
VERSITY_MODULE = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
VERSITY = os.environ.get("HEXI_TEST_VERSITYGW") or shutil.which("versitygw")


@dataclass(frozen=True)
class Peer:
    """A running server and a key to everything in it."""

    endpoint: str
    credentials: Credentials
    # Whether it answers a body that is not the one signed with a refusal.
    checks_bodies: bool

    def object(self, bucket: str, key: str, credentials: Credentials | None = None) -> StoredObject:
        location = Location(REGION, bucket, key, self.endpoint)
        transport = peer_transport(unsafe_allow_loopback=True)
        return StoredObject(location, credentials or self.credentials, system_clock, transport)

    def admin(self) -> Any:
        """A boto3 client, the reference for what was written."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.credentials.access_key_id,
            aws_secret_access_key=self.credentials.secret_access_key,
        )


@contextmanager
def moto() -> Iterator[Peer]:
    import boto3
    from moto import settings
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    # Users, and whether they are asked for, belong to the process: another server of it may have been here before.
    settings.INITIAL_NO_AUTH_ACTION_COUNT = math.inf
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        yield Peer(endpoint, _moto_key(boto3, endpoint), checks_bodies=False)
    finally:
        server.stop()


def _moto_key(boto3: Any, endpoint: str) -> Credentials:
    """A user's access key with every right; from now on moto demands a signature of somebody it knows."""
    anybody = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": REGION}
    iam = boto3.client("iam", endpoint_url=endpoint, **anybody)
    user = f"connector-{uuid.uuid4()}"
    iam.create_user(UserName=user)
    everything = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
    iam.put_user_policy(UserName=user, PolicyName="all", PolicyDocument=everything)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    httpx.post(f"{endpoint}/moto-api/reset-auth", content=b"0").raise_for_status()
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


@contextmanager
def versity(folder: Path) -> Iterator[Peer]:
    assert VERSITY is not None
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    credentials = Credentials("connector", "a-secret-for-tests")
    environment = {
        "ROOT_ACCESS_KEY": credentials.access_key_id,
        "ROOT_SECRET_KEY": credentials.secret_access_key,
        "PATH": os.environ["PATH"],
    }
    command = [VERSITY, "--port", f"127.0.0.1:{port}", "--quiet", "posix", "--sidecar", str(folder / "meta")]
    for name in ("data", "meta"):
        (folder / name).mkdir()
    with subprocess.Popen([*command, str(folder / "data")], env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_until_listening(port)
            yield Peer(f"http://127.0.0.1:{port}", credentials, checks_bodies=True)
        finally:
            process.terminate()


def _wait_until_listening(port: int) -> None:
    until = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("the S3 server did not start")
