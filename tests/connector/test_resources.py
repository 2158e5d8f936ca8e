"""What is counted in a provider's files, against files made for the purpose."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from connector.contracts.resources import Count, Resource, check_resource, count, quality
from connector.sources.errors import ResourceUnusable
from registry.catalogue import Column, ColumnRole, Datatype, Table, Text

TITLE = Text(zh="门诊", en="Visits")
VISITS = Table(
    name="visits",
    title=TITLE,
    entity_key="person",
    columns=(
        Column(name="person", title=TITLE, datatype=Datatype.STRING, role=ColumnRole.ENTITY_KEY),
        Column(name="sex", title=TITLE, datatype=Datatype.STRING, role=ColumnRole.DIMENSION, domain=("f", "m")),
        Column(name="cost", title=TITLE, datatype=Datatype.NUMBER, role=ColumnRole.MEASURE, range=(0, 1000)),
        Column(name="insured", title=TITLE, datatype=Datatype.BOOLEAN, role=ColumnRole.DIMENSION, domain=(True,)),
    ),
)


def resource(tmp_path: Path, text: str, name: str = "visits.csv") -> Resource:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return Resource("hospital", {"visits": path})


def test_rows_entities_and_quality_are_counted_from_the_file(tmp_path: Path) -> None:
    found = resource(
        tmp_path, "person,sex,cost,insured,secret\np1,f,10,true,x\np1,m,20.5,true,x\np2,x,,true,x\np1,f,10,true,y\n"
    )

    counted = count(found, [VISITS])

    assert (counted.rows, counted.entities) == (4, 2)
    assert counted.completeness == round(15 / 16, 4)  # one empty cost
    assert counted.normativity == 1.0
    assert counted.accuracy == round(14 / 15, 4)  # one sex outside the domain
    assert counted.consistency == 0.75  # one row twice: columns that are not described do not count


def test_cells_of_another_type_lower_normativity_and_nothing_else(tmp_path: Path) -> None:
    counted = count(resource(tmp_path, "person,sex,cost,insured\np1,f,ten,true\np2,f,5000,true\n"), [VISITS])

    assert counted.normativity == round(7 / 8, 4)
    assert counted.accuracy == round(6 / 8, 4)  # "ten" is no number, 5000 is out of range
    assert counted.completeness == 1.0


def test_parquet_counts_like_csv(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "visits.parquet"
    columns = {"person": ["p1", "p2"], "sex": ["f", None], "cost": [1.5, 2.0], "insured": [True, True]}
    pq.write_table(pa.table(columns), path)

    counted = count(Resource("hospital", {"visits": path}), [VISITS])

    assert counted == Count(2, 2, completeness=0.875, normativity=1.0, accuracy=1.0, consistency=1.0)


def test_an_empty_table_is_whole(tmp_path: Path) -> None:
    assert count(resource(tmp_path, "person,sex,cost,insured\n"), [VISITS]).completeness == 1.0


def test_timeliness_falls_with_the_age_of_the_data() -> None:
    counted = Count(1, 1, 1.0, 1.0, 1.0, 1.0)

    assert quality(counted, date(2026, 1, 1), date(2026, 11, 23))["timeliness"] == 1.0
    assert quality(counted, date(2024, 11, 23), date(2026, 11, 23))["timeliness"] == round(366 / 730, 4)
    assert quality(counted, date(2026, 1, 1), date(2026, 11, 23))["assessedAt"] == "2026-11-23"


def test_a_file_without_the_described_columns_is_refused_and_never_quoted(tmp_path: Path) -> None:
    with pytest.raises(ResourceUnusable) as caught:
        count(resource(tmp_path, "person,sex\nsecret-name,f\n"), [VISITS])

    assert "secret-name" not in caught.value.detail


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResourceUnusable, match="has no table visits"):
        count(Resource("hospital", {}), [VISITS])


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"visits": Path("visits.csv")},
        {"visits": Path("/does/not/exist.csv")},
        {"visits": Path("/etc/passwd")},
        {"drop table": Path("/does/not/exist.csv")},
    ],
    ids=["none", "relative", "missing", "another kind", "no name"],
)
def test_resources_that_cannot_be_tables(tables: dict[str, Path]) -> None:
    with pytest.raises(ResourceUnusable):
        check_resource(Resource("x", tables))


def test_what_counting_loads_does_not_stay(tmp_path: Path) -> None:
    found = resource(tmp_path, "person,sex,cost,insured\np1,f,10,true\n")
    path = found.tables["visits"]
    program = (
        "import sys; from pathlib import Path; from connector.contracts.resources import Resource, count;"
        "from registry.catalogue import Table; table = Table.model_validate_json(sys.argv[2]);"
        "assert count(Resource('hospital', {'visits': Path(sys.argv[1])}), [table]).rows == 1;"
        "assert 'pyarrow' not in sys.modules"
    )
    described = VISITS.model_dump_json(by_alias=True)
    subprocess.run([sys.executable, "-c", program, str(path), described], check=True)
