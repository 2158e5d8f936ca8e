"""``python -m examples.longyizhen.bench DIR``: one hospital's table, and a product over it that anybody may ask.

For trying the sandbox (``hexi sandbox try``) and the README's guide. Nothing is asked for money here.
"""

import sys
from pathlib import Path

from examples.longyizhen.cast import HOSPITALS, POLICY, cube_of
from examples.longyizhen.data import TABLE, hospital_of, person_years, write_table
from hexi.canonical import pretty


def main(folder: Path) -> None:
    """Write ``visits.csv`` and ``product.json`` into `folder`; the same bytes on every run."""
    write_table(folder / f"{TABLE}.csv", [row for row in person_years() if hospital_of(row.person_id) == 0])
    free = [{name: value for name, value in rule.items() if name != "duty"} for rule in POLICY["permission"]]
    product = {**cube_of(HOSPITALS[0]), "policy": {**POLICY, "permission": free}}
    (folder / "product.json").write_text(pretty(product) + "\n", encoding="utf-8")
    print(f"{folder}/visits.csv and {folder}/product.json")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "bench"))
