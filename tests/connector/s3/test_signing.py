"""Signatures: the published example, and botocore's own for anything else."""

from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from connector.s3.location import Location
from connector.s3.signing import Credentials, query_string, sign

# The key of Amazon's published examples; it opens nothing.
EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
AT = datetime(2013, 5, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("method", "url", "headers", "body", "signature"),
    [
        (
            "GET",
            "https://examplebucket.s3.amazonaws.com/test.txt",
            {"Range": "bytes=0-9"},
            b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "https://examplebucket.s3.amazonaws.com/test%24file.text",
            {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "https://examplebucket.s3.amazonaws.com/?lifecycle=",
            {},
            b"",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
    ],
)
def test_the_published_examples(method: str, url: str, headers: dict[str, str], body: bytes, signature: str) -> None:
    signed = sign(method, url, headers, body, EXAMPLE, "us-east-1", AT)
    assert signed["authorization"].endswith(f"Signature={signature}")


@given(
    key=st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=40).filter(
        lambda key: not {"", ".", ".."} & set(key.split("/"))
    ),
    query=st.dictionaries(st.text("aZ -_&=+/", min_size=1), st.text("aZ -_&=+/")),
    body=st.binary(max_size=64),
    token=st.none() | st.just("session"),
)
def test_the_reference_signs_alike(key: str, query: dict[str, str], body: bytes, token: str | None) -> None:
    url = Location("eu-central-1", "bucket", key, "http://127.0.0.1:9000").url
    url += f"?{query_string(query)}" if query else ""
    credentials = Credentials("AKID", "secret", token)
    ours = sign("PUT", url, {}, body, credentials, "eu-central-1", AT)
    theirs = AWSRequest("PUT", url, headers={"x-amz-date": "20130524T000000Z"}, data=body)
    theirs.context.update(timestamp="20130524T000000Z", signing={}, client_config=None)
    auth = S3SigV4Auth(BotoCredentials("AKID", "secret", token), "s3", "eu-central-1")
    theirs.headers["X-Amz-Content-SHA256"] = ours["x-amz-content-sha256"]
    if token:
        theirs.headers["X-Amz-Security-Token"] = token
    canonical = auth.canonical_request(theirs)
    signature = auth.signature(auth.string_to_sign(theirs, canonical), theirs)
    assert ours["authorization"].endswith(f"Signature={signature}")
