"""Where an object lies: what can be named, and what would lead elsewhere."""

import pytest

from connector.s3.errors import LocationInvalid
from connector.s3.location import read_location

GIVEN = {"bucketName": "bucket", "objectName": "in/a b.csv", "accessKeyId": "id", "secretAccessKey": "secret"}


@pytest.mark.parametrize(
    ("properties", "url"),
    [
        ({}, "https://bucket.s3.us-east-1.amazonaws.com/in/a%20b.csv"),
        ({"region": "cn-north-1"}, "https://bucket.s3.cn-north-1.amazonaws.com.cn/in/a%20b.csv"),
        ({"endpointOverride": "https://s3.example/"}, "https://s3.example/bucket/in/a%20b.csv"),
        ({"objectName": "", "keyName": "k"}, "https://bucket.s3.us-east-1.amazonaws.com/k"),
        ({"objectName": "", "keyPrefix": "2026/"}, "https://bucket.s3.us-east-1.amazonaws.com/2026/default"),
    ],
)
def test_the_address_of_an_object(properties: dict[str, str], url: str) -> None:
    location, credentials = read_location({**GIVEN, **properties}, default_key="default")
    assert location.url == url
    assert "secret" not in f"{credentials}{location}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("region", "x.attacker.example/"),
        ("bucketName", "attacker.example/b"),
        ("bucketName", "127.0.0.1"),
        ("bucketName", "B"),
        ("bucketName", ""),
        ("objectName", "../other-bucket/a"),
        ("objectName", "a/./b"),
        ("objectName", "/a"),
        ("objectName", "a//b"),
        ("objectName", "a\nb"),
        ("objectName", "k" * 1025),
        ("objectName", ""),
        ("accessKeyId", ""),
        ("accessKeyId", "id\r\nX-Injected: 1"),
        ("secretAccessKey", ""),
    ],
)
def test_what_would_lead_elsewhere_is_refused(name: str, value: str) -> None:
    with pytest.raises(LocationInvalid, match=name) as refused:
        read_location({**GIVEN, name: value})
    assert "secret" not in refused.value.detail.replace("secretAccessKey", "")
