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
# What DuckDB may use of memory while it publishes a cube; what is more goes to disk.
PUBLISHING_MEMORY_BYTES = 2 * 2**30


class SandboxSettings(BaseSettings):
    """Settings of the sandbox; environment prefix ``HEXI_SANDBOX_``."""

    model_config = SettingsConfigDict(env_prefix="HEXI_SANDBOX_", extra="ignore", frozen=True)

    memory_bytes: int = MEMORY_BYTES
    cpu_seconds: int = CPU_SECONDS
    wall_seconds: float = WALL_SECONDS
    output_bytes: int = OUTPUT_BYTES
    # Queued runs that one process executes at a time. 0: none here, workers on other hosts do it.
    jobs: int = Field(default=1, ge=0, le=64)
    # Where a table is added up before its cube is published: here, or on Spark (`publishing_spark` is its master).
    publishing_engine: Literal["duckdb", "spark"] = "duckdb"
    publishing_spark: str = "local[*]"
    publishing_memory_bytes: int = PUBLISHING_MEMORY_BYTES
    # The directory for what does not fit into memory: parts of the table, in files only this user may read, removed
    # at the end. Without it the system's temporary directory.
    publishing_spill: Path | None = None
    # The one aggregation point that encrypted numbers may be sent to, as a URL. Empty means none.
    aggregation_point: str = ""
