"""Of a released cell a sketch is remembered, in place of its entities.

What was remembered before knows records by other marks: it is kept as of no version (0), so that it goes on being
compared by its entities.

Revision ID: 0009
"""

import base64
import hashlib
import json
import zlib

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_WIDTH, _EARLIER = 1024, 0
_CELL = "sandbox_released_cell"


def upgrade() -> None:
    cells = sa.table(_CELL, *(sa.column(name) for name in ("product", "version", "basis", "digest", "size", "members")))
    bind = op.get_bind()
    known = bind.execute(sa.select(cells.c.product, cells.c.basis, cells.c.members)).all()
    op.execute(sa.delete(cells))
    with op.batch_alter_table(_CELL) as table:
        table.alter_column("members", new_column_name="sketch")
    rows = {}
    for product, basis, members in known:
        size, whole = _sketch(members)
        key = (product, basis, "sha256:" + hashlib.sha256(whole).hexdigest())
        rows[key] = (size, base64.b64encode(zlib.compress(whole, 1)).decode("ascii"))
    names = ("product", "version", "basis", "digest", "size", "sketch")
    sketches = sa.table(_CELL, *(sa.column(name) for name in names))
    for (product, basis, digest), (size, sketch) in rows.items():
        values = (product, _EARLIER, basis, digest, size, sketch)
        op.execute(sa.insert(sketches).values(dict(zip(names, values, strict=True))))


def _sketch(members: str) -> tuple[int, bytes]:
    entities, _ = json.loads(zlib.decompress(base64.b64decode(members)))
    buckets = [0] * _WIDTH
    for entity in set(entities):
        buckets[entity % _WIDTH] ^= entity
    row = b"".join(bucket.to_bytes(8, "little") for bucket in buckets)
    size = len(set(entities))
    return size, size.to_bytes(8, "little") + row + row
