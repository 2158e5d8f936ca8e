"""The registrar: admits and revokes participants, gives out identifiers, publishes products.

Every change of state appends its entry to the ledger in the same transaction: neither happens without the other. The
registrar takes sessions and never commits.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlmodel import Session

from hexi.canonical import Clock, Json, digest, instant, parse
from ledger.documents import SignedDocument, verify_document
from ledger.entries import Kind as Event
from ledger.entries import open_entry, seal
from ledger.log import Log
from ledger.receipts import Receipt
from registry import catalogue, identifiers, search, store
from registry.access import check_role
from registry.applications import VerifiedApplication, verify_application
from registry.catalogue import Product, read_product
from registry.credentials import issue_membership
from registry.directory import DirectoryTrust
from registry.errors import (
    ApplicationConflict,
    IdentifierOfAnother,
    OperatorOnly,
    ProductInvalid,
    StepImpossible,
    VersionConflict,
    VersionNotNext,
)
from registry.identifiers import Kind
from registry.identity import Identity
from registry.lanes import check_lanes
from registry.participants import Participant, ParticipantStatus, Role, Step, next_status
from registry.presentation import Caller
from registry.resolution import Fetch
from registry.search import Found, Query
from registry.tables import CatalogueRow, IdentifierRow, ParticipantRow, ProductRow

# How often a fresh identifier may turn out to be taken before something must be broken: 36^8 random parts per owner.
ALLOCATION_ATTEMPTS = 5


@dataclass(frozen=True)
class Operator:
    """What the space says about who runs it."""

    name: str
    name_zh: str
    owner_code: str
    region: str
    url: str
    contact: str = "-"


def tell_nobody(_session: Session, _product: str, _by: str) -> None:
    """What a registry without a marketplace does about a product that is offered no more."""


@dataclass(frozen=True)
class Registrar:
    """The registry's decisions and its evidence, over sessions that the caller brings."""

    identity: Identity
    operator: Operator
    log: Log
    trust: DirectoryTrust
    fetch: Fetch
    clock: Clock
    insecure_http_did_web: bool = False
    strict_owner_codes: bool = False
    # Told of each product that leaves the catalogue, and of the DID that took it out, in the same transaction.
    on_departure: Callable[[Session, str, str], None] = tell_nobody

    def enrol_operator(self, session: Session) -> Participant:
        """Register the operator itself, once: the first entry of the log. Raises `StepImpossible` for another key."""
        document = self.identity.did_document()
        if row := store.live_application(session, self.identity.did):
            if parse(row.document) != document:
                raise StepImpossible(
                    f"this database knows {self.identity.did} by another key; start with the key in the operator's home"
                )
            return store.as_participant(row)
        row = self._row(
            self.identity.did,
            document,
            name=self.operator.name,
            name_zh=self.operator.name_zh,
            owner_code=self.operator.owner_code,
            region=self.operator.region,
            roles=[Role.OPERATOR],
            dsp_url=self.operator.url,
            contact=self.operator.contact,
        )
        store.add_application(session, row)
        self._admit(session, row, Kind.BUSINESS_NODE)
        return store.as_participant(row)

    def verify_application(self, jws: str) -> VerifiedApplication:
        """As `applications.verify_application`, under this space's rules. Calls the applicant: hold no transaction."""
        return verify_application(
            jws,
            self.fetch,
            insecure_http_did_web=self.insecure_http_did_web,
            strict_owner_codes=self.strict_owner_codes,
        )

    def apply(self, session: Session, verified: VerifiedApplication) -> ParticipantRow:
        """Take in an application. The same one again changes nothing; another one for this DID is refused.

        Raises `ApplicationConflict`.
        """
        application = verified.application
        if known := store.live_application(session, application.did):
            if known.application_digest == verified.digest:
                return known
            raise ApplicationConflict(f"{application.did} has applied already and is {known.status}")
        fields = application.model_dump(exclude={"type", "did"})
        row = self._row(application.did, verified.document, **fields, application=verified.jws, digest_=verified.digest)
        store.add_application(session, row)
        return row

    def approve(self, session: Session, application_id: str) -> ParticipantRow:
        """Admit the applicant: identifier, credential, ledger entry. Raises `ApplicationUnknown`, `StepImpossible`."""
        row = store.application(session, application_id, lock=True)
        self._admit(session, row, Kind.CONNECTOR)
        return row

    def reject(self, session: Session, application_id: str, reason: str) -> ParticipantRow:
        """Turn the applicant away; it may apply anew. Raises `ApplicationUnknown`, `StepImpossible`."""
        row = store.application(session, application_id, lock=True)
        self._step(row, Step.REJECT, reason)
        store.add(session, row)
        return row

    def revoke(self, session: Session, did: str, reason: str) -> Participant:
        """End a membership for good: its calls fail, its products leave the catalogue, the ledger says so.

        Raises `ParticipantUnknown`, `StepImpossible`, `OperatorOnly` for the operator itself.
        """
        if did == self.identity.did:
            raise OperatorOnly("the operator cannot be revoked: a space without one has nobody to trust")
        row = store.participant_row(session, did, lock=True)
        self._step(row, Step.REVOKE, reason)
        store.add(session, row)
        for product in store.remove_provider_from_catalogue(session, did):
            self.on_departure(session, product, self.identity.did)
        notice = {"type": "revocation", "did": did, "identifier": row.identifier, "reason": reason, "at": row.decided}
        self._record(
            session, Event.PARTICIPANT_REVOKED, did, digest(notice), {"did": did, "identifier": row.identifier}
        )
        return store.as_participant(row)

    def allocate(self, session: Session, kind: Kind, holder: Participant) -> IdentifierRow:
        """A fresh identifier for something of `holder`, placed in the operator's region, which accepts it."""
        for _ in range(ALLOCATION_ATTEMPTS):
            fresh = identifiers.allocate(kind, holder.owner_code, self.operator.region).text
            if not store.identifier_taken(session, fresh):
                row = IdentifierRow(
                    identifier=fresh, kind=kind.value, holder=holder.did, allocated=instant(self.clock())
                )
                store.add(session, row)
                return row
        raise StepImpossible("no free identifier was found; the randomness of this machine is broken")

    def publish(
        self, session: Session, caller: Caller, identifier: str, signed: SignedDocument
    ) -> tuple[ProductRow, Receipt]:
        """Publish a version of a product. The same one again gives the same answer.

        (1) The caller is registered as a provider. (2) The identifier can be one, was given to the caller, and nobody
        publishes under it meanwhile. (3) The document is signed by its one party, a participant in good standing.
        (4) It describes a product, this one, of the caller. (5) Its version is the next, and (6) a lane answers it in
        every mode it is offered in; or it was published exactly so.
        Raises `RoleMissing`, `IdentifierMalformed`, `IdentifierCheckDigit`, `IdentifierUnknown`, `IdentifierOfAnother`,
        `DocumentInvalid`, `SignatureInvalid`, `ProductInvalid`, `VersionNotNext`, `VersionConflict`.
        """
        check_role(caller, Role.PROVIDER)  # (1)
        identifiers.check(identifier, Kind.PRODUCT)  # (2)
        if store.identifier(session, identifier, lock=True).holder != caller.did:
            raise IdentifierOfAnother(f"{identifier} was allocated to another participant")
        document = verify_document(signed, self.trust.within(session).resolve, of_type=catalogue.TYPE)  # (3)
        product = read_product(document)  # (4)
        if product.identifier != identifier or product.provider != caller.did:
            raise ProductInvalid("the document is about another product or by another provider")
        row = self._version(session, product, signed)  # (5) (6)
        facts: dict[str, str | int] = {"provider": caller.did, "version": product.version}
        receipt = self._record(session, Event.PRODUCT_PUBLISHED, product.offer_id, row.digest, facts)
        return row, receipt

    def withdraw(
        self, session: Session, caller: Caller, identifier: str, version: int | None = None
    ) -> tuple[ProductRow, Receipt]:
        """Take the caller's product out of the catalogue. What was published stays readable; the next version shows it
        again, also one that overtook the withdrawal of `version`. Asked again, it changes nothing.

        Raises `RoleMissing`, `IdentifierOfAnother`, `IdentifierUnknown`, `ProductUnknown`.
        """
        check_role(caller, Role.PROVIDER)
        if store.identifier(session, identifier, lock=True).holder != caller.did:
            raise IdentifierOfAnother(f"{identifier} was allocated to another participant")
        row = store.product(session, identifier, version)
        newest = store.newest(session, identifier)
        if newest is not None and newest.version == row.version and store.remove_from_catalogue(session, identifier):
            self.on_departure(session, identifier, caller.did)
        facts: dict[str, str | int] = {"provider": caller.did, "version": row.version}
        subject = f"{identifier}#v{row.version}"
        return row, self._record(session, Event.PRODUCT_WITHDRAWN, subject, row.digest, facts)

    def product(self, session: Session, identifier: str, version: int | None = None) -> SignedDocument:
        """A published product as its provider signed it, the newest version unless one is named. `ProductUnknown`."""
        return SignedDocument.from_json(parse(self.signed_product(session, identifier, version)))

    def signed_product(self, session: Session, identifier: str, version: int | None = None) -> str:
        """The same as JSON, as it is kept."""
        return store.signed_product(session, identifier, version)

    def is_offered(self, session: Session, identifier: str) -> bool:
        """Whether the catalogue has the product, which then stays there until the transaction ends."""
        return store.keep_in_catalogue(session, identifier)

    def participants(self, session: Session) -> list[Participant]:
        """Everybody who is or was a participant: for evidence, which outlives memberships."""
        return list(store.participants(session))

    def search(self, session: Session, query: Query) -> Found:
        """What the catalogue has for `query`."""
        return store.search(session, query)

    def _version(self, session: Session, product: Product, signed: SignedDocument) -> ProductRow:
        newest = store.newest(session, product.identifier)
        expected = newest.version + 1 if newest else 1
        if product.version > expected:
            raise VersionNotNext(f"the next version of {product.identifier} is {expected}, not {product.version}")
        if product.version < expected:
            known = store.product(session, product.identifier, product.version)
            if known.digest != signed.digest:
                raise VersionConflict(f"version {product.version} is published with another content; use {expected}")
            return known
        check_lanes(product)
        row = ProductRow(
            identifier=product.identifier,
            version=product.version,
            provider=product.provider,
            digest=signed.digest,
            signed=store.canonical(signed.to_json()),
            published=instant(self.clock()),
        )
        store.add(session, row)
        self._show(session, product, row)
        return row

    def _show(self, session: Session, product: Product, row: ProductRow) -> None:
        provider = store.participant(session, product.provider)
        shown = CatalogueRow(
            identifier=product.identifier,
            provider=product.provider,
            theme=product.theme,
            region=product.region,
            personal=product.has_personal_information,
            modes="".join(f"|{mode.value}" for mode in product.modes) + "|",
            words=search.words(product, provider.name, provider.name_zh),
            summary=store.canonical(
                search.summary(product, provider.name, provider.name_zh, row.digest, row.published)
            ),
        )
        store.replace_in_catalogue(session, shown, store.canonical({"zh": provider.name_zh, "en": provider.name}))

    def _row(
        self,
        did: str,
        document: dict[str, Json],
        *,
        roles: list[Role],
        application: str = "",
        digest_: str = "",
        **fields: str,
    ) -> ParticipantRow:
        return ParticipantRow(
            id=f"urn:uuid:{uuid.uuid4()}",
            did=did,
            status=ParticipantStatus.APPLIED.value,
            document=store.canonical(document),
            roles=store.canonical(sorted(roles)),
            application=application,
            application_digest=digest_,
            applied=instant(self.clock()),
            **fields,
        )

    def _admit(self, session: Session, row: ParticipantRow, kind: Kind) -> None:
        self._step(row, Step.APPROVE, "")
        participant = store.as_participant(row)
        row.identifier = self.allocate(session, kind, participant).identifier
        row.credential = issue_membership(self.identity, store.as_participant(row), self.clock)
        store.add(session, row)
        fingerprint = digest(participant.document)
        facts: dict[str, str | int] = {"did": row.did, "identifier": row.identifier, "document": fingerprint}
        self._record(session, Event.PARTICIPANT_REGISTERED, row.did, fingerprint, facts)

    def _step(self, row: ParticipantRow, step: Step, reason: str) -> None:
        row.status = next_status(ParticipantStatus(row.status), step).value
        row.reason = reason
        row.decided = instant(self.clock())

    def _record(
        self, session: Session, kind: Event, subject: str, fingerprint: str, facts: Mapping[str, str | int]
    ) -> Receipt:
        jws = seal(
            kind,
            subject,
            fingerprint,
            key=self.identity.key,
            kid=self.identity.kid,
            at=instant(self.clock()),
            facts=facts,
        )
        return self.log.append(session, jws, open_entry(jws, lambda _: self.identity.key.public))
