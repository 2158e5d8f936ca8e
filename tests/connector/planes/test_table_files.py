"""Tables read from files: the columns asked for, as declared, and nothing of what is wrong in them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from connector.planes.table_files import BATCH_ROWS, TableFile
from connector.sources import SourceUnavailable
from registry.catalogue import Column, ColumnRole, Datatype, Text

TITLE = Text(zh="列", en="column")


def column(name: str, datatype: Datatype) -> Column:
    return Column(name=name, title=TITLE, datatype=datatype, role=ColumnRole.MEASURE)


COLUMNS = (column("day", Datatype.DATE), column("cost", Datatype.NUMBER), column("sex", Datatype.STRING))


@pytest.fixture(params=["csv", "parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    found = tmp_path / f"visits.{request.param}"
    rows = BATCH_ROWS + 1
    table = pa.table(
        {
            "person": [f"p{n}" for n in range(rows)],
            "sex": ["f", None] * (rows // 2) + ["m"],
            "cost": pa.array(range(rows), pa.int32()),
            "day": pa.array([19_000] * rows, pa.date32()),
        }
    )
    if request.param == "csv":
        pa.csv.write_csv(table, found)
    else:
        pa.parquet.write_table(table, found)
    return found


def read(path: Path, columns: tuple[Column, ...] = COLUMNS, after: int = 0) -> list[Any]:
    file = TableFile(path, columns)
    with file.batches(file.version, after) as batches:
        return list(batches)


def test_a_table_comes_in_batches_of_the_columns_asked_for(path: Path) -> None:
    found = read(path)
    assert len(found) > 1 or path.suffix == ".csv"
    whole = pa.Table.from_batches(found)
    assert whole.schema == pa.schema([("day", pa.date32()), ("cost", pa.float64()), ("sex", pa.string())])
    assert whole.num_rows == BATCH_ROWS + 1
    assert whole["cost"].to_pylist() == [float(n) for n in range(BATCH_ROWS + 1)]
    assert whole["sex"].to_pylist()[:3] == ["f", None, "f"]


@pytest.mark.parametrize("after", [1, 7_000, BATCH_ROWS - 1, BATCH_ROWS, BATCH_ROWS + 1])
def test_what_was_handed_over_is_passed_over(path: Path, after: int) -> None:
    assert [cost for batch in read(path, after=after) for cost in batch["cost"].to_pylist()] == [
        float(n) for n in range(after, BATCH_ROWS + 1)
    ]


def test_a_file_that_changed_is_not_read_on(path: Path) -> None:
    file = TableFile(path, COLUMNS)
    before = file.version
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(SourceUnavailable), file.batches(before, 1) as batches:
        next(batches)


def test_what_is_wrong_with_a_file_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    path.write_text("day,cost,sex\n2026-01-01,secret,f\n", encoding="utf-8")
    with pytest.raises(SourceUnavailable) as refused:
        read(path)
    assert "secret" not in refused.value.detail
    for missing in (tmp_path / "none.csv", path):
        with pytest.raises(SourceUnavailable):
            read(missing, (*COLUMNS, column("gone", Datatype.STRING)))
