"""What a sandbox must be told: the limits of a job, how cubes are published, and which aggregation point it trusts."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

# What one job may use. Memory holds the table and the engine; the output holds, besides the cells, the ordinals of
# every entity in every cell (seven characters each), which never leave the sandbox.
MEMORY_BYTES = 2 * 2**30
CPU_SECONDS = 20
WALL_SECONDS = 30.0
OUTPUT_BYTES = 64 * 2**20
# Wide enough that one person's part in a query's time drowns in it, narrow enough to cost half of it on average.
BUCKET_SECONDS = 0.05
# What DuckDB may use of memory while it publishes a cube; what is more goes to disk.
PUBLISHING_MEMORY_BYTES = 2 * 2**30


# The same for a program: its libraries take more to start; it gets so many seconds unless it asks for fewer or, up to
# the most, for more. The answer comes that long after it began, and `PROGRAM_OVERHEAD_SECONDS`, whenever it is done.
PROGRAM_MEMORY_BYTES = 4 * 2**30
PROGRAM_SECONDS, PROGRAM_MOST_SECONDS = 30, 45
PROGRAM_OVERHEAD_SECONDS = 4.0


class SandboxSettings(BaseSettings):
    """Settings of the sandbox; environment prefix ``HEXI_SANDBOX_``."""

    model_config = SettingsConfigDict(env_prefix="HEXI_SANDBOX_", extra="ignore", frozen=True)

    memory_bytes: int = MEMORY_BYTES
    cpu_seconds: int = CPU_SECONDS
    wall_seconds: float = WALL_SECONDS
    output_bytes: int = OUTPUT_BYTES
    # Answers over personal data leave at a whole multiple of this after the start (`sandbox.buckets`). 0: when they are
    # done, for a bench only.
    bucket_seconds: float = Field(default=BUCKET_SECONDS, ge=0, le=60)
    # gVisor, for products that demand isolation of level 3: the path of its `runsc`; "auto": in the system's folders.
    runsc: Path | Literal["auto"] = "auto"
    # Queued runs that one process executes at a time. 0: none here, workers on other hosts do it.
    jobs: int = Field(default=1, ge=0, le=64)
    # Where a table is added up before its cube is published: here, or on Spark (`publishing_spark` is its master).
    publishing_engine: Literal["duckdb", "spark"] = "duckdb"
    publishing_spark: str = "local[*]"
    publishing_memory_bytes: int = PUBLISHING_MEMORY_BYTES
    # The directory for what does not fit into memory: parts of the table, in files only this user may read, removed
    # at the end. Without it the system's temporary directory.
    publishing_spill: Path | None = None
    program_memory_bytes: int = PROGRAM_MEMORY_BYTES
    program_seconds: int = PROGRAM_SECONDS
    program_most_seconds: int = PROGRAM_MOST_SECONDS
    # Added to a program's seconds for ending it, and for counting what it declared. Zero answers at once, and tells by
    # when: for a bench only.
    program_overhead_seconds: float = PROGRAM_OVERHEAD_SECONDS
    # The folder of what programs may import; left out: beside the environment this process runs in.
    environment: Path | None = None
    # The one aggregation point that encrypted numbers may be sent to, as a URL. Empty means none.
    aggregation_point: str = ""
