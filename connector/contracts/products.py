"""Data products as a provider makes them: a description completed from the resource, checked, and signed.

Pure, except that the resource's files are counted by `connector.contracts.resources`. `connector.contracts.publishing`
carries it out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from connector.catalogue.datasets import CONFORMS_TO
from connector.contracts.agreements import PRODUCT_DIGEST, offer_of
from connector.contracts.resources import Resource, count, quality
from connector.formats import FORMATS, MODES
from connector.policies.policy import read_policy
from connector.sources import Content
from connector.sources.errors import ResourceUnusable
from hexi.canonical import Json
from ledger.documents import SignedDocument
from privacy.lattice.policy import read_policy as read_lattice
from registry.catalogue import Product, read_product
from registry.lanes import check_lanes, lane_shown

# What a dataset says of itself, in DCAT's words. The protocol's context has no short names for them.
TITLE = "http://purl.org/dc/terms/title"
KEYWORD, THEME = "http://www.w3.org/ns/dcat#keyword", "http://www.w3.org/ns/dcat#theme"

_DIMENSIONS = ("normativity", "completeness", "accuracy", "consistency", "timeliness", "accessibility")
# Decimals of a share that is shown of people whom a lattice protects.
SHOWN_DECIMALS = 2
_UNMEASURED = dict.fromkeys(_DIMENSIONS, 0.0)


@dataclass(frozen=True)
class PublishedProduct:
    """A product version with the provider's signature, and the resource it is computed from."""

    resource: str
    product: Product
    signed: SignedDocument
    # The ledger's receipt, once the registry has published it.
    receipt: Json = None

    @property
    def offer(self) -> dict[str, Any]:
        """The one offer of this version."""
        return offer_of(self.product.identifier, self.product.version, self.signed.digest, dict(self.product.policy))

    @property
    def formats(self) -> list[str]:
        """The transfer formats it can be delivered in."""
        return [format_ for mode in self.product.modes for format_ in FORMATS.get(mode, ())]


def complete(
    description: Mapping[str, Any],
    resource: Resource,
    content: Content | None = None,
    *,
    identifier: str,
    version: int,
    provider: str,
    today: date,
) -> Product:
    """The product that `description` becomes. Raises `PolicyInvalid`, `ResourceUnusable`, and
    `registry.errors.ProductInvalid`.

    Rows and entities are always counted from the resource; quality figures are computed where they are left out. Of a
    product with a lattice rows and entities are what its policy declares, and figures are in whole per cents. What is
    delivered whole is described by its source's `content`, where the resource has one.
    """
    read_policy(description.get("policy"))
    given = description.get("quality") or {}
    whole = {
        **description,
        "type": "data-product",
        "identifier": identifier,
        "version": version,
        "provider": provider,
        "parties": [provider],
        "rows": 0,
        "entities": 0,
        "quality": _UNMEASURED | {"assessedAt": today.isoformat()} | given,
    }
    if content is not None:
        size: dict[str, Any] = {} if content.size is None else {"bytes": content.size}
        whole["content"] = {"mediaType": content.media_type.partition(";")[0], **size}
    # Read once to learn that the description is whole, before its files are counted by it.
    draft = read_product(whole)
    check_lanes(draft)
    if not draft.tables:
        if missing := set(_DIMENSIONS) - given.keys():
            wanted = ", ".join(sorted(missing))
            raise ResourceUnusable(f"without tables nothing can be measured; give the figures of quality: {wanted}")
        return draft
    counted = count(resource, draft.tables)
    rows, entities, measured = counted.rows, counted.entities, quality(counted, draft.temporal.end, today)
    if draft.lattice is not None:
        # Everything exact about these people would be a release beside the cube: who knows all others and how many
        # there are knows whether somebody is there.
        lattice = read_lattice(dict(draft.lattice))
        rows = entities = lattice.declared_size * lattice.editions
        measured |= {name: round(float(measured[name]), SHOWN_DECIMALS) for name in _DIMENSIONS}
    return read_product(whole | {"rows": rows, "entities": entities, "quality": measured | given})


def dataset_of(published: PublishedProduct, offers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`published` as a dataset of the Dataspace Protocol (2025-1, section 5.2), with `offers` of it.

    A distribution that is computed says which lane answers, and whether it answers analysts alone whom the provider
    named (`registry.lanes.lane_shown`). The product's digest stands beside the offer, not in it: peers of other makes
    count a member they do not know as a part of the policy when they compare, and leave it out when they ask.
    """
    apart, product = {"target", PRODUCT_DIGEST}, published.product
    return {
        "@id": product.identifier,
        "@type": "Dataset",
        PRODUCT_DIGEST: published.signed.digest,
        TITLE: [{"@value": product.title.zh, "@language": "zh"}, {"@value": product.title.en, "@language": "en"}],
        **({KEYWORD: list(product.keywords)} if product.keywords else {}),
        THEME: product.theme,
        "hasPolicy": [{name: value for name, value in offer.items() if name not in apart} for offer in offers],
        "distribution": [
            {"@type": "Distribution", "format": format_, **_lane(product, MODES[format_])}
            for format_ in published.formats
        ],
    }


def _lane(product: Product, mode: str) -> dict[str, Json]:
    lane = lane_shown(product, mode)
    return {} if lane is None else {CONFORMS_TO: {"@id": lane}}


def files_of(product: Product, resource: Resource) -> dict[str, Path]:
    """The files of the tables that `product` describes; others of the resource stay out of sight."""
    return {table.name: resource.tables[table.name] for table in product.tables}
