"""The compliance gate and the certificates, on a real log."""

import threading

import pytest

from hexi.canonical import digest
from hexi.errors import DataspaceError
from ledger.documents import verify_document
from ledger.entries import Kind
from marketplace import store
from marketplace.errors import CertificateUnknown, ComplianceRefused, NotTheProvider
from registry.errors import ProductUnknown
from tests.marketplace.builders import (
    DECLARED,
    HOSPITAL_CALLS,
    OPERATOR,
    PRODUCT,
    STRANGER_CALLS,
    Market,
    product,
)


def test_a_good_product_gets_a_certificate_that_is_signed_and_logged(market: Market) -> None:
    with market.database.transaction() as session:
        certificate = market.registrar.certify(session, HOSPITAL_CALLS, PRODUCT, DECLARED)
    document = verify_document(
        certificate.signed, lambda _kid: market.keys[OPERATOR].public, of_type="rights-certificate"
    )
    assert document["number"] == "SJ6212026110001"
    assert document["productDigest"] == digest(product())
    assert document["complianceReport"] == digest(certificate.report)
    assert (document["dualRights"], document["simulated"]) == (True, True)
    with market.database.reading() as session:
        logged = market.log.find(session, Kind.RIGHTS_REGISTERED, "SJ6212026110001", OPERATOR)
    assert logged is not None
    assert logged.entry.digest == certificate.signed.digest
    assert logged.entry.facts == {
        "product": PRODUCT,
        "certificate": "SJ6212026110001",
        "rights": "holding,processing-use,product-operation",
    }


def test_a_bad_product_gets_every_reason_at_once_and_no_number(market: Market) -> None:
    with pytest.raises(ComplianceRefused) as refused, market.database.transaction() as session:
        market.registrar.certify(session, HOSPITAL_CALLS, PRODUCT, {})
    failed = [c["id"] for c in refused.value.context["report"]["checks"] if c["outcome"] == "failed"]
    assert failed == ["C02", "C05", "C06", "C08", "C10"]
    assert all(c["wayOut"] for c in refused.value.context["report"]["checks"] if c["outcome"] == "failed")
    with market.database.transaction() as session:
        assert market.registrar.certify(session, HOSPITAL_CALLS, PRODUCT, DECLARED).number.endswith("0001")


def test_what_was_declared_is_in_the_report_as_digests_only(market: Market) -> None:
    with market.database.reading() as session:
        report = market.registrar.assess(session, HOSPITAL_CALLS, PRODUCT, DECLARED)
    assert report["verdict"] == "passed"
    assert report["declared"]["disputes"] == digest("none")
    assert DECLARED["businessQualification"] not in str(report)


def test_a_policy_that_cannot_be_enforced_is_refused(shop: Market) -> None:
    shop.policy_problem = "the constraint 'moonPhase' is unknown"
    with pytest.raises(ComplianceRefused, match="C13"), shop.database.transaction() as session:
        shop.registrar.certify(session, HOSPITAL_CALLS, PRODUCT, DECLARED)


def test_certifying_again_gives_the_certificate_in_force(market: Market) -> None:
    for _ in range(2):
        with market.database.transaction() as session:
            assert market.registrar.certify(session, HOSPITAL_CALLS, PRODUCT, DECLARED).number == "SJ6212026110001"


def test_a_new_version_and_a_lapsed_certificate_need_a_new_one(shop: Market) -> None:
    numbers = []
    for version in (1, 2):
        shop.products[PRODUCT] = product(version=version)
        with shop.database.transaction() as session:
            numbers.append(shop.registrar.certify(session, HOSPITAL_CALLS, PRODUCT, DECLARED).number)
    shop.clock.advance(days=3 * 366)
    shop.products[PRODUCT] = product(version=2, quality=product()["quality"] | {"assessedAt": "2029-11-01"})
    with shop.database.transaction() as session:
        numbers.append(shop.registrar.certify(session, HOSPITAL_CALLS, PRODUCT, DECLARED).number)
    assert numbers == ["SJ6212026110001", "SJ6212026110002", "SJ6212029110001"]


def test_only_the_provider_certifies(shop: Market) -> None:
    with pytest.raises(NotTheProvider), shop.database.transaction() as session:
        shop.registrar.certify(session, STRANGER_CALLS, PRODUCT, DECLARED)
    with pytest.raises(NotTheProvider), shop.database.reading() as session:
        shop.registrar.assess(session, STRANGER_CALLS, PRODUCT, DECLARED)


def test_an_unknown_product_or_number(shop: Market) -> None:
    with pytest.raises(ProductUnknown), shop.database.transaction() as session:
        shop.registrar.certify(session, HOSPITAL_CALLS, "6none", DECLARED)
    with pytest.raises(CertificateUnknown), shop.database.reading() as session:
        store.certificate(session, "SJ6212026119999")


def test_numbers_are_unique_under_concurrency(market: Market) -> None:
    products = [f"product-{n}" for n in range(8)]
    market.products.update({name: product(identifier=name) for name in products})
    numbers: list[str] = []
    failures: list[DataspaceError] = []

    def certify(name: str) -> None:
        try:
            with market.database.transaction() as session:
                numbers.append(market.registrar.certify(session, HOSPITAL_CALLS, name, DECLARED).number)
        except DataspaceError as error:
            failures.append(error)

    # Each product twice: the second must find the first's certificate, not take a number.
    threads = [threading.Thread(target=certify, args=(name,)) for name in products * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(set(numbers)) == [f"SJ621202611{n:04d}" for n in range(1, 9)]
    assert len(numbers) == 16
