"""What one may ask of the catalogue, and what comes back. Pure: `registry.store` turns a `Query` into SQL.

A search matches products whose title, description, keywords or provider contain every word of it, in Chinese or
English, whatever the case or width of the letters. Chinese has no spaces; a run of characters is one word and is found
wherever it stands.

How many products there are, and how they divide, is counted when they are published (`divisions`), within each value of
each facet. So a search without words by one facet at most is counted exactly at the cost of a page. Any other is
counted among the newest products and, where these hold more than a page of it, estimated from them: a count of
everything would cost as much as everything. Where they hold less it is rare, and all of it is found and counted.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hexi.canonical import Json, parse
from registry.catalogue import Product
from registry.codes import Mode, Theme, label_of
from registry.lanes import lane_shown
from registry.words import fold

# Products on one page, unless asked otherwise, and at most.
PAGE = 20
MAX_PAGE = 100
# Pages further out than this many products are for machines that should follow `product-published` on the ledger.
MAX_OFFSET = 1_000_000
# Positions are numbers of 64 bits in the database.
MAX_POSITION = 2**63 - 1
# Words of one search that are looked at; each costs a comparison per product.
MAX_TERMS = 10
# Values listed per facet, the most frequent first.
MAX_FACET_VALUES = 50
# The newest products that are looked through, one by one, for what is frequent: some 5 ms in either database.
NEWEST = 3_000
# Products found that are counted one by one, where they are not among the newest. What is found beyond is not counted.
MAX_COUNTED = 5_000


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
    # The `next` of the page before: only what follows it is found, and nothing is counted again.
    after: int | None = None

    @property
    def filters(self) -> dict[str, str]:
        """The facets that are asked for, each with its value."""
        personal = None if self.personal is None else _personal(self.personal)
        asked = {"theme": self.theme, "region": self.region, "provider": self.provider, "mode": self.mode}
        return {facet: value for facet, value in {**asked, "personal": personal}.items() if value is not None}

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
    """One page of what was found, and how all of it divides. `total` is None for a page after another.

    `exact` is whether everything was counted; if not, `total` and `facets` are estimated. `next` is what the page that
    follows is `after`.
    """

    total: int | None
    offset: int
    items: tuple[dict[str, Json], ...]
    facets: Mapping[str, tuple[FacetValue, ...]]
    exact: bool = True
    next: int | None = None


@dataclass(frozen=True)
class Place:
    """Where a product stands in its facets."""

    theme: str
    region: str
    provider: str
    personal: bool
    modes: tuple[str, ...]

    @property
    def values(self) -> tuple[tuple[str, str], ...]:
        """Each facet with the product's value in it; `modes` are several."""
        return (
            ("theme", self.theme),
            ("region", self.region),
            ("provider", self.provider),
            ("personal", _personal(self.personal)),
            *(("mode", mode) for mode in self.modes),
        )


# In place of a facet: all of them, or all products.
EVERYTHING = ""
FACETS = ("theme", "region", "provider", "mode", "personal")


def terms(text: str) -> tuple[str, ...]:
    """The words of a search, folded as `words` folds, each once, at most `MAX_TERMS`."""
    return tuple(dict.fromkeys(fold(text).split()))[:MAX_TERMS]


def words(product: Product, provider_name: str, provider_name_zh: str) -> str:
    """The text that searches look through. Lines keep a word from being found across two fields."""
    return fold(
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
    """What a page of results shows of `product`: of each mode that computes, too, what answers and whom."""
    document = product.document()
    kept = ("identifier", "version", "provider", "title", "description", "keywords", "theme", "region", "modes")
    return {
        **{name: document[name] for name in kept},
        "hasPersonalInformation": product.has_personal_information,
        "lanes": {str(mode): lane for mode in product.modes if (lane := lane_shown(product, mode))},
        "providerName": {"zh": provider_name_zh, "en": provider_name},
        "digest": digest,
        "publishedAt": published,
    }


def within(facet: str, value: str) -> str:
    """The name of those products that have this value of this facet."""
    return f"{facet}={value}"


def divisions(place: Place) -> set[tuple[str, str, str]]:
    """Where a product counts, as (within, facet, value): in itself, and once for each of its values within each other.

    Within a broad theme counts what is below it.
    """
    broad = {place.theme[:kept].ljust(len(place.theme), "0") for kept in (1, 3)}
    names = {EVERYTHING, *(within(*one) for one in place.values), *(within("theme", theme) for theme in broad)}
    return {(name, *one) for name in names for one in ((EVERYTHING, EVERYTHING), *place.values)}


def counted(places: Sequence[Place], scale: float = 1) -> list[tuple[str, str, int]]:
    """How `places` divide, as (facet, value, count), each standing for `scale` products."""
    found = {
        "theme": Counter(place.theme for place in places),
        "region": Counter(place.region for place in places),
        "provider": Counter(place.provider for place in places),
        "personal": Counter(_personal(place.personal) for place in places),
        "mode": Counter(mode for place in places for mode in place.modes),
    }
    return [(facet, value, round(n * scale)) for facet, counts in found.items() for value, n in counts.items()]


def most_frequent(counts: Sequence[tuple[str, str, int]], facet: str) -> list[str]:
    """The values of `facet` that are listed, the most frequent first."""
    found = sorted((-count, value) for of, value, count in counts if of == facet)
    return [value for _, value in found[:MAX_FACET_VALUES]]


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
            return dict(parse(name)) if name else None
        case "personal":
            return {"zh": "涉及个人信息" if value == "true" else "不涉及个人信息", "en": value}
    return None


def _personal(value: bool) -> str:
    return "true" if value else "false"
