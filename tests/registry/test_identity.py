"""A did:web leads to one address, and its document vouches for its keys and no others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hexi.errors import DataspaceError
from hexi.keys import KeyUnusable, SigningKey
from registry.errors import DidDocumentInvalid, DidInvalid
from registry.identity import Identity, did_of, did_web, did_web_url, key_from_document
from tests.registry.builders import HOSPITAL, PLANNER, identity

ADDRESSES = [
    ("http://127.0.0.1:8080", "did:web:127.0.0.1%3A8080", "https://127.0.0.1:8080/.well-known/did.json"),
    ("https://data.example", "did:web:data.example", "https://data.example/.well-known/did.json"),
    ("https://Data.Example/", "did:web:data.example", "https://data.example/.well-known/did.json"),
    ("https://data.example/a/b", "did:web:data.example:a:b", "https://data.example/a/b/did.json"),
]


@pytest.mark.parametrize(("url", "did", "document_url"), ADDRESSES)
def test_an_address_becomes_a_did_and_the_did_an_address(url: str, did: str, document_url: str) -> None:
    assert did_web(url) == did
    assert did_web_url(did) == document_url


@pytest.mark.parametrize(
    ("did", "scheme"),
    [
        ("did:web:127.0.0.1%3A8080", "http"),
        ("did:web:localhost%3A8080", "http"),
        ("did:web:data.example", "https"),
        ("did:web:10.0.0.1", "https"),
        ("did:web:localhost.data.example", "https"),
    ],
)
def test_http_is_for_loopback_and_only_when_allowed(did: str, scheme: str) -> None:
    assert did_web_url(did, insecure_http=True).startswith(f"{scheme}://")
    assert did_web_url(did).startswith("https://")


@pytest.mark.parametrize(
    "did",
    [
        "",
        "did:key:z6Mk",
        "did:web:",
        "did:web:a.example::b",
        "did:web:a.example:..:b",
        "did:web:a.example%2Fevil",
        "did:web:user%40a.example",
        "did:web:a.example%3Anoport",
        "did:web:a.example:%0a",
        "did:web:a.example%23x",
        "did:web:%3A80",
        "did:web:" + "a" * 600,
    ],
)
def test_a_did_that_would_lead_elsewhere_is_refused(did: str) -> None:
    with pytest.raises(DidInvalid):
        did_web_url(did)


@pytest.mark.parametrize("url", ["", "ftp://a.example", "https://", "https://me@a.example", "https://a.example?x=1"])
def test_an_address_that_is_none_becomes_no_did(url: str) -> None:
    with pytest.raises(DidInvalid):
        did_web(url)


@pytest.mark.parametrize("kid", ["", "key-1", "did:web:a.example", "did:web:a.example#", "#key-1"])
def test_a_key_without_a_did_belongs_to_nobody(kid: str) -> None:
    with pytest.raises(DidInvalid):
        did_of(kid)


def test_an_identity_is_made_once_and_found_again(tmp_path: Path) -> None:
    made = Identity.load_or_create(tmp_path / "home", HOSPITAL)
    assert Identity.load_or_create(tmp_path / "home", HOSPITAL).did_document() == made.did_document()
    assert Identity.load(tmp_path / "home", HOSPITAL).kid == made.kid == f"{HOSPITAL}#key-1"
    with pytest.raises(KeyUnusable):
        Identity.load(tmp_path / "empty", HOSPITAL)


def test_the_document_vouches_for_the_key_and_lists_services() -> None:
    who = identity()
    document = who.did_document(services=[("dsp", "DataService", "https://a.example/dsp")])
    assert key_from_document(document, who.kid) == who.key.public
    assert document["service"] == [
        {"id": f"{HOSPITAL}#dsp", "type": "DataService", "serviceEndpoint": "https://a.example/dsp"}
    ]


def _second_method(document: dict[str, Any]) -> None:
    document["verificationMethod"] = document["verificationMethod"] * 2


DEFECTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "of_somebody_else": lambda d: d.update(id=PLANNER),
    "key_not_for_assertions": lambda d: d.update(assertionMethod=[]),
    "assertions_not_a_list": lambda d: d.update(assertionMethod=f"{HOSPITAL}#key-1"),
    "no_methods": lambda d: d.pop("verificationMethod"),
    "two_methods_of_one_name": _second_method,
    "controlled_by_somebody_else": lambda d: d["verificationMethod"][0].update(controller=PLANNER),
    "no_key": lambda d: d["verificationMethod"][0].pop("publicKeyJwk"),
    "private_key": lambda d: d["verificationMethod"][0]["publicKeyJwk"].update(d="AA"),
}


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS.keys())
def test_a_document_with_a_defect_vouches_for_nothing(defect: Callable[[dict[str, Any]], object]) -> None:
    document = identity().did_document()
    document["verificationMethod"] = [
        {**m, "publicKeyJwk": {**m["publicKeyJwk"]}} for m in document["verificationMethod"]
    ]
    defect(document)
    with pytest.raises((DidDocumentInvalid, KeyUnusable)):
        key_from_document(document, identity().kid)


@pytest.mark.parametrize("document", [None, [], "x", {}])
def test_what_is_no_document_vouches_for_nothing(document: object) -> None:
    with pytest.raises(DataspaceError):
        key_from_document(document, identity().kid)


def test_another_key_of_the_same_did_is_not_vouched_for() -> None:
    assert SigningKey.generate().public != identity().key.public
    with pytest.raises(DidDocumentInvalid):
        key_from_document(identity().did_document(), f"{HOSPITAL}#key-2")
