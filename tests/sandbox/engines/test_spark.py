"""Spark publishes the cube that DuckDB publishes, to the byte. Needs Java 17 and the extra spark: make conformance."""

from pathlib import Path

import pytest

from hexi.canonical import digest, encode
from hexi.database import Database
from privacy.lattice.plan import plan
from registry.catalogue import Product
from sandbox import store
from sandbox.bench import read_bench_product
from sandbox.cubes.cubes import Cubes
from sandbox.datasets import Dataset
from sandbox.engines.local import Local
from sandbox.engines.marginals import Marginals
from sandbox.engines.spark import Spark
from sandbox.errors import ProductUnusable
from sandbox.settings import SandboxSettings
from tests.builders import SettableClock
from tests.sandbox.engines.tables import declared, from_bills, split, write

pytestmark = [
    pytest.mark.spark,
    # Spark knows pandas below 3 only, and is asked for no pandas here; sockets that it leaves to the collector.
    pytest.mark.filterwarnings("ignore::FutureWarning:pyspark.*", "ignore::ResourceWarning"),
    pytest.mark.timeout(900),
]
PEOPLE = 1_000_000


def described(folder: Path, people: int) -> Product:
    """The product of the table, with its lattice."""
    columns = [{"name": "person", "datatype": "string", "role": "entity-key"}]
    table = {"name": "people", "entityKey": "person", "columns": columns}
    file = folder / "product.json"
    lattice = declared(people).document()
    file.write_bytes(encode({"identifier": "p", "version": 1, "tables": [table], "lattice": lattice}))
    return read_bench_product(file)


def published(folder: Path, path: Path, engine: str, clock: SettableClock) -> dict[tuple[str, str], bytes]:
    """Everything that publishing by an engine keeps."""
    folder.mkdir()
    database = Database(f"sqlite:///{folder / 'sandbox.sqlite'}")
    database.migrate("sandbox")
    settings = SandboxSettings(publishing_engine=engine, publishing_spark="local[2]")  # type: ignore[arg-type]
    dataset = Dataset(described(folder, PEOPLE), digest("p"), {"people": path})
    Cubes(database, b"k" * 32, clock, settings).published(dataset)
    with database.reading() as session:
        found = {(row.measure, row.component): row.body for row in store.lattice_tables(session, "p", 1)}
    database.dispose()
    return found


def test_a_million_people_have_one_cube_whoever_adds_them_up(tmp_path: Path, clock: SettableClock) -> None:
    path = write(tmp_path, PEOPLE)
    spark = published(tmp_path / "spark", path, "spark", clock)
    assert len(spark) > 100
    assert spark == published(tmp_path / "duckdb", path, "duckdb", clock)


def test_tables_are_joined_alike(tmp_path: Path) -> None:
    path, people = write(tmp_path, 2_000), 2_000
    bills, joined = split(path), plan(from_bills(declared(people)))
    found = []
    for engine in (Spark("local[2]"), Local(2**28)):
        with Marginals(engine, path, joined, others={"bills": (bills, "whose")}) as marginals:
            found.append([marginals.marginal(measure, ()).tolist() for measure in joined.variances])
    assert found[0] == found[1]


def test_what_spark_cannot_read_is_said(tmp_path: Path) -> None:
    engine = Spark("local[1]")
    try:
        with pytest.raises(ProductUnusable, match="Parquet only"):
            engine.kinds(tmp_path / "people.csv")
        with pytest.raises(ProductUnusable, match="cannot be read as Parquet"):
            engine.kinds(tmp_path / "missing.parquet")
        with pytest.raises(ProductUnusable, match="columns that its lattice policy names"):
            engine.rows("SELECT height FROM nowhere")
    finally:
        engine.close()
