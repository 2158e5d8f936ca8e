"""The catalogue in the order of publication, with an index of words and counts of how it divides."""

from collections import Counter

import sqlalchemy as sa
from alembic import op

from registry.search import Place, divisions
from registry.words import store as word_index

revision = "0002"
down_revision = "0001"

_NAME = "registry_catalogue"
_ORDER = ["position", "theme", "region", "provider", "personal", "modes"]


def _texts(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def upgrade() -> None:
    for index in (f"{_NAME}_order", *(f"ix_{_NAME}_{one}" for one in ("provider", "theme", "region", "personal"))):
        op.drop_index(index, _NAME)
    op.rename_table(_NAME, f"{_NAME}_before")
    op.create_table(
        _NAME,
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("identifier", sa.Text(), nullable=False, unique=True),
        *_texts("provider", "theme", "region"),
        sa.Column("personal", sa.Boolean(), nullable=False),
        *_texts("modes", "words", "summary"),
    )
    op.create_index(f"{_NAME}_order", _NAME, _ORDER)
    for facet in ("theme", "region", "provider"):
        op.create_index(f"{_NAME}_{facet}", _NAME, [facet, "position"])
    op.create_table(
        f"{_NAME}_division",
        *(sa.Column(name, sa.Text(), primary_key=True) for name in ("within", "facet", "value")),
        *_texts("name"),
        sa.Column("products", sa.Integer(), nullable=False),
    )
    op.create_index(f"{_NAME}_division_order", f"{_NAME}_division", ["within", "facet", "products"])
    word_index.create(op.get_bind(), f"{_NAME}_grams")
    _take_over(op.get_bind())
    op.drop_table(f"{_NAME}_mode")
    op.drop_table(f"{_NAME}_before")


def _take_over(connection: sa.Connection) -> None:
    """Bring in what there was, in the order in which it was published."""
    found = connection.execute(sa.text("SELECT identifier, mode FROM registry_catalogue_mode ORDER BY mode"))
    modes: dict[str, list[str]] = {}
    for identifier, mode in found:
        modes.setdefault(identifier, []).append(mode)
    known = (
        connection.execute(sa.text("SELECT * FROM registry_catalogue_before ORDER BY published, identifier"))
        .mappings()
        .all()
    )
    insert = sa.text(
        "INSERT INTO registry_catalogue"
        " (position, identifier, provider, theme, region, personal, modes, words, summary) VALUES"
        " (:position, :identifier, :provider, :theme, :region, :personal, :modes, :words, :summary)"
    )
    counts: Counter[tuple[str, str, str]] = Counter()
    for position, row in enumerate(known, 1):
        offered = modes.get(row["identifier"], [])
        connection.execute(insert, {**row, "position": position, "modes": "".join(f"|{m}" for m in offered) + "|"})
        place = Place(row["theme"], row["region"], row["provider"], bool(row["personal"]), tuple(offered))
        counts.update(divisions(place))
    word_index.keep(connection, "registry_catalogue_grams", {n: row["words"] for n, row in enumerate(known, 1)})
    names = {row["provider"]: row["provider_name"] for row in known}
    count = sa.text("INSERT INTO registry_catalogue_division VALUES (:within, :facet, :value, :name, :products)")
    for (name, facet, value), products in sorted(counts.items()):
        named = {"within": name, "facet": facet, "value": value, "name": names.get(value, ""), "products": products}
        connection.execute(count, named)
    if known and connection.dialect.name == "postgresql":
        counter = "SELECT setval(pg_get_serial_sequence('registry_catalogue', 'position'), :last)"
        connection.execute(sa.text(counter), {"last": len(known)})
