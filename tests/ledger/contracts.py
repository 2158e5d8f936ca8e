"""Compiling the contracts. ``python -m tests.ledger.contracts`` writes what is committed beside their sources."""

from pathlib import Path
from typing import Any

from hexi.canonical import pretty

FOLDER = Path(__file__).parents[2] / "ledger" / "contracts"
NAMES = ("Checkpoints", "Rights")


def compile_contract(name: str) -> dict[str, Any]:
    import vyper

    source = (FOLDER / f"{name}.vy").read_text()
    output = vyper.compile_code(source, output_formats=["abi", "bytecode", "bytecode_runtime"])
    return {
        "contract": name,
        "compiler": f"vyper {vyper.__version__}",
        "abi": output["abi"],
        "bytecode": output["bytecode"],
        "runtime": output["bytecode_runtime"],
    }


if __name__ == "__main__":
    for each in NAMES:
        (FOLDER / f"{each}.json").write_text(pretty(compile_contract(each)) + "\n")
