"""The registrar's desk: the compliance gate and the certificates.

A certificate and its entry in the log are committed together. The chain learns of it afterwards, from the log (see
`marketplace.witness`), so that a chain that does not answer delays its own record and nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlmodel import Session

from hexi.canonical import Clock, Json, digest, instant
from ledger.entries import Kind
from marketplace import certificates, compliance, quality, store
from marketplace.errors import ComplianceRefused, NotTheProvider
from marketplace.notary import Notary, Products
from marketplace.store import Certificate
from registry.participants import ParticipantStatus
from registry.presentation import Caller

# Why a policy cannot be enforced, or None. The space gives the connector's policy reader.
PolicyCheck = Callable[[Json], str | None]


@dataclass(frozen=True)
class Registrar:
    """Assesses products and certifies rights."""

    notary: Notary
    products: Products
    registrar: certificates.Registrar
    check_policy: PolicyCheck
    clock: Clock
    years: int
    weights: Mapping[str, int] = field(default_factory=lambda: quality.DEFAULT_WEIGHTS)

    def certify(self, session: Session, caller: Caller, product: str, declared: Mapping[str, str]) -> Certificate:
        """The certificate for the newest version of `product`; the one in force, if there is one.

        Raises `NotTheProvider`, `ComplianceRefused` (with the whole report), `NumbersExhausted`.
        """
        published = self.products(session, product, None)
        document = published.document
        if document["provider"] != caller.did:
            raise NotTheProvider("only its provider may have a product certified")
        now = self.clock()
        month = certificates.month(now)
        store.lock_serials(session, month)
        if found := store.certificate_in_force(session, product, document["version"], instant(now)):
            return found
        report = self._assess(caller, document, published.digest, declared)
        return self._issue(session, caller, document, published.digest, report)

    def assess(self, session: Session, caller: Caller, product: str, declared: Mapping[str, str]) -> Json:
        """The compliance report `certify` would be decided by, and nothing else happens. Raises `NotTheProvider`."""
        published = self.products(session, product, None)
        if published.document["provider"] != caller.did:
            raise NotTheProvider("only its provider may have a product assessed")
        return self._report(caller, published.document, published.digest, declared)[0]

    def _assess(self, caller: Caller, product: Json, product_digest: str, declared: Mapping[str, str]) -> Json:
        report, refused = self._report(caller, product, product_digest, declared)
        if refused:
            names = ", ".join(finding.check.id for finding in refused)
            raise ComplianceRefused(
                f"these checks failed: {names}; each says in the report what would help", report=report
            )
        return report

    def _report(
        self, caller: Caller, product: Json, product_digest: str, declared: Mapping[str, str]
    ) -> tuple[Json, tuple[compliance.Finding, ...]]:
        participant = caller.participant
        provider = compliance.Provider(
            did=caller.did,
            owner_code=participant.owner_code,
            roles=frozenset(str(role) for role in participant.roles),
            active=participant.status is ParticipantStatus.ACTIVE,
        )
        facts = compliance.Facts(
            product, provider, self.clock().date(), declared, self.check_policy(product.get("policy"))
        )
        findings = compliance.assess(facts)
        refused = compliance.refusals(findings)
        report = {
            "type": "compliance-report",
            "checklist": compliance.CHECKLIST,
            "product": product["identifier"],
            "version": product["version"],
            "productDigest": product_digest,
            "verdict": "refused" if refused else "passed",
            "checks": [finding.to_json() for finding in findings],
            # What was declared may be confidential; its digest is enough to hold the provider to it.
            "declared": {name: digest(said) for name, said in sorted(declared.items())},
            "quality": quality.grade(product.get("quality") or {}, self.weights).to_json(),
            "assessedAt": self.notary.now,
        }
        return report, refused

    def _issue(self, session: Session, caller: Caller, product: Json, product_digest: str, report: Json) -> Certificate:
        now, participant = self.clock(), caller.participant
        month = certificates.month(now)
        number = certificates.number(self.registrar, month, store.next_serial(session, month))
        document = certificates.document(
            number=number,
            registrar=self.registrar,
            product=product,
            product_digest=product_digest,
            holder={
                "did": caller.did,
                "name": participant.name,
                "nameZh": participant.name_zh,
                "ownerCode": participant.owner_code,
            },
            valid=certificates.term(now, self.years),
            compliance_report=digest(report),
            quality_grade=report["quality"]["grade"],
        )
        signed = self.notary.sign(document)
        facts: dict[str, str | int] = {
            "product": product["identifier"],
            "certificate": number,
            "rights": ",".join(document["rights"]),
        }
        receipt = self.notary.record(session, Kind.RIGHTS_REGISTERED, number, signed.digest, facts)
        store.add_certificate(session, signed, report, receipt.index)
        return store.certificate(session, number)
