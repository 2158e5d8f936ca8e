"""What one may ask of the catalogue, and what comes back. Pure: `registry.store` turns a `Query` into SQL.

A search matches products whose title, description, keywords or provider contain every word of it, in Chinese or
English, whatever the case or width of the letters. Chinese has no spaces; a run of characters is one word and is found
wherever it stands.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hexi.canonical import Json, parse
from registry.catalogue import Product
from registry.codes import Mode, Theme, label_of

# Products on one page, unless asked otherwise, and at most.
PAGE = 20
MAX_PAGE = 100
# Pages further out than this many products are for machines that should follow `product-published` on the ledger.
MAX_OFFSET = 1_000_000
# Words of one search that are looked at; each costs a comparison per product.
MAX_TERMS = 10
# Values listed per facet, the most frequent first.
MAX_FACET_VALUES = 50


@dataclass(frozen=True)
class Query:
    """A search. None means any; `theme` finds what is below it, too (C0000 finds C0312)."""

    terms: tuple[str, ...] = ()
    theme: str | None = None
    region: str | None = None
    provider: str | None = None
    mode: Mode | None = None
    personal: bool | None = None
    offset: int = 0
    limit: int = PAGE
    # Counting how everything found divides costs more than finding a page of it; who does not show it need not ask.
    facets: bool = True

    @property
    def theme_range(self) -> tuple[str, str] | None:
        """The first and the last theme code that `theme` covers, or None for any."""
        if self.theme is None:
            return None
        for kept in (1, 3):
            if self.theme[kept:] == "0" * (5 - kept):
                return self.theme, self.theme[:kept] + "9" * (5 - kept)
        return self.theme, self.theme


@dataclass(frozen=True)
class FacetValue:
    """One value of a facet and how many of the products found have it."""

    value: str
    count: int
    label: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Found:
    """One page of what was found, and how all of it divides."""

    total: int
    offset: int
    items: tuple[dict[str, Json], ...]
    facets: Mapping[str, tuple[FacetValue, ...]]


FACETS = ("theme", "region", "provider", "mode", "personal")


def terms(text: str) -> tuple[str, ...]:
    """The words of a search, folded as `words` folds, each once, at most `MAX_TERMS`."""
    return tuple(dict.fromkeys(_fold(text).split()))[:MAX_TERMS]


def words(product: Product, provider_name: str, provider_name_zh: str) -> str:
    """The text that searches look through. Lines keep a word from being found across two fields."""
    return _fold(
        "\n".join(
            [
                product.title.zh,
                product.title.en,
                product.description.zh,
                product.description.en,
                *product.keywords,
                provider_name,
                provider_name_zh,
                product.identifier,
            ]
        )
    )


def summary(
    product: Product, provider_name: str, provider_name_zh: str, digest: str, published: str
) -> dict[str, Json]:
    """What a page of results shows of `product`."""
    document = product.document()
    kept = ("identifier", "version", "provider", "title", "description", "keywords", "theme", "region", "modes")
    return {
        **{name: document[name] for name in kept},
        "hasPersonalInformation": product.has_personal_information,
        "providerName": {"zh": provider_name_zh, "en": provider_name},
        "digest": digest,
        "publishedAt": published,
    }


def facets(counts: Iterable[tuple[str, str, str, int]]) -> dict[str, tuple[FacetValue, ...]]:
    """Every facet, the most frequent value first, from rows of (facet, value, label of a provider as JSON, count)."""
    sorted_rows = sorted(counts, key=lambda row: (-row[3], row[1]))
    return {
        facet: tuple(
            FacetValue(value, count, _label(facet, value, name))
            for of, value, name, count in sorted_rows
            if of == facet
        )[:MAX_FACET_VALUES]
        for facet in FACETS
    }


def _label(facet: str, value: str, name: str) -> dict[str, str] | None:
    match facet:
        case "theme":
            return label_of(Theme, value)
        case "mode":
            return label_of(Mode, value)
        case "provider":
            return dict(parse(name))
        case "personal":
            return {"zh": "涉及个人信息" if value == "true" else "不涉及个人信息", "en": value}
    return None


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
