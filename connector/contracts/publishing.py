"""Publishing: from a resource and a description to a signed product version in the registry.

The signed version is kept here before the registry hears of it, so that a crash between the two loses nothing: asking
for the same again sends the same bytes.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from sqlmodel import Session

from connector.contracts import product_store, store
from connector.contracts.products import PublishedProduct, complete, files_of
from connector.contracts.resources import Resource, check_resource, fingerprint
from connector.policies.policy import read_policy
from connector.protocol import outbox
from connector.protocol.outbox_items import SPACE
from connector.sources import Content
from connector.sources.descriptions import Sources, check_modes
from connector.sources.errors import ResourceUnusable
from hexi.canonical import Clock, Json, digest, instant
from hexi.database import Database
from hexi.errors import RemoteProblem
from ledger.documents import SignedDocument, sign_document
from registry.client import RegistryClient
from registry.identity import Identity
from sandbox.datasets import Dataset

OnProduct = Callable[[Session, PublishedProduct], None]


@dataclass(frozen=True)
class Publisher:
    """Publishes this connector's products."""

    database: Database
    registry: RegistryClient
    identity: Identity
    clock: Clock
    sources: Sources
    # Told of a version that is out, and of a product that is withdrawn, in the transaction in which it is.
    on_published: OnProduct
    on_withdrawn: OnProduct
    # Where the space is, and the DID of its operator.
    space_url: str
    operator: str
    # Modes that this connector's settings do not let it deliver in, and what to set.
    unserved: Mapping[str, str] = field(default_factory=dict)

    def publish(self, resource_name: str, description: Mapping[str, Any]) -> PublishedProduct:
        """Publish `description` over the resource. A changed one under the same title becomes the next version.

        The same description over the same files is the same version again. Raises `ResourceUnknown`,
        `ResourceUnusable`, `PolicyInvalid`, `registry.errors.ProductInvalid`, and what the registry answers.
        """
        with self.database.reading() as session:
            resource = store.resource(session, resource_name)
            drafted = product_store.product_drafted(session, resource_name, _title(description))
        check_resource(resource)
        check_modes(description.get("modes"), resource.source)
        for mode in self.unserved.keys() & set(description.get("modes") or ()):
            raise ResourceUnusable(f"the mode {mode} is not served here; set {self.unserved[mode]} and start again")
        content = None if resource.source is None else self.sources.content(resource.name, resource.source)
        asked = digest({"description": dict(description), "files": fingerprint(resource), **_known(content)})
        if drafted and drafted[1] == asked:
            return self._send(drafted[0], already=drafted[2])
        read_policy(description.get("policy"))  # before the registry spends an identifier on it
        if drafted:
            before, _, is_out = drafted
            identifier, version = before.product.identifier, before.product.version + (1 if is_out else 0)
        else:
            identifier, version = "", 1
        return self._send(self._draft(resource, content, description, identifier, version, asked), already=False)

    def withdraw(self, identifier: str) -> PublishedProduct:
        """Offer a product no more: here at once, in the space's catalogue and on its market as soon as the space hears
        of it, however long it is away. Agreements about it go on, and so does what was begun under them; publishing
        its description again makes the next version. Asked again, it changes nothing.

        Raises `ProductUnknown`.
        """
        with self.database.transaction() as session:
            newest = product_store.newest_product(session, identifier)
            version, now = newest.product.version, instant(self.clock())
            if product_store.mark_withdrawn(session, identifier, now):
                self._tell_space(session, identifier, version)
                self.on_withdrawn(session, newest)
        return newest

    def _tell_space(self, session: Session, identifier: str, version: int) -> None:
        outbox.enqueue(
            session,
            SPACE,
            None,
            f"urn:uuid:{uuid.uuid4()}",
            f"{self.space_url}/registry/products/{quote(identifier, safe='')}/withdrawal",
            # The next version may be published before this arrives: that one stays.
            {"version": version},
            audience=self.operator,
            reference=f"withdrawal {identifier}",
        )

    def _draft(
        self,
        resource: Resource,
        content: Content | None,
        description: Mapping[str, Any],
        identifier: str,
        version: int,
        asked: str,
    ) -> PublishedProduct:
        now = self.clock()
        identifier = identifier or self.registry.allocate("product")
        product = complete(
            description,
            resource,
            content,
            identifier=identifier,
            version=version,
            provider=self.identity.did,
            today=now.date(),
        )
        document = product.document()
        signature = sign_document(document, self.identity.key, self.identity.kid)
        published = PublishedProduct(resource.name, product, SignedDocument(document, {self.identity.did: signature}))
        with self.database.transaction() as session:
            product_store.drop_unpublished(session, identifier, version)
            product_store.add_product(session, published, asked, instant(now))
        return published

    def _send(self, published: PublishedProduct, *, already: bool) -> PublishedProduct:
        if already:
            return published
        identifier, version = published.product.identifier, published.product.version
        try:
            publication = self.registry.publish(published.signed)
        except RemoteProblem as refused:
            if refused.status < 500:
                with self.database.transaction() as session:
                    product_store.drop_unpublished(session, identifier, version)
            raise
        with self.database.transaction() as session:
            product_store.mark_published(session, identifier, version, publication.receipt, instant(self.clock()))
            sent = product_store.product(session, identifier, version)
            self.on_published(session, sent)
            return sent


def complete_catalogue(database: Database) -> None:
    """Show what was published before the catalogue had an index. Usually there is nothing of the kind."""
    with database.reading() as session:
        missing = product_store.not_shown(session)
    for identifier, version in missing:
        with database.transaction() as session:
            product_store.show(session, product_store.product(session, identifier, version))


def dataset(session: Session, identifier: str, version: int) -> Dataset:
    """What the sandbox computes on: the product as published, and its files. Raises `ProductUnknown`."""
    published = product_store.product(session, identifier, version)
    resource = store.resource(session, published.resource)
    return Dataset(published.product, published.signed.digest, files_of(published.product, resource))


def newest_version(session: Session, identifier: str) -> int:
    """The version of a product that the catalogue shows. Raises `ProductUnknown`."""
    return product_store.product(session, identifier).product.version


def _known(content: Content | None) -> dict[str, Json]:
    return {} if content is None else {"content": [content.name, content.media_type, content.size, content.version]}


def _title(description: Mapping[str, Any]) -> str:
    title: Json = description.get("title")
    return str(title.get("en")) if isinstance(title, dict) else ""
