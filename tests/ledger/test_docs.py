"""What is written is checked: every error code of the ledger has its heading."""

import re
from pathlib import Path

from hexi.errors import DataspaceError
from ledger import errors

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors" / "ledger.md"


def test_every_code_is_explained_and_drawn() -> None:
    codes = {
        thing.code
        for thing in vars(errors).values()
        if isinstance(thing, type) and issubclass(thing, DataspaceError) and thing.__module__ == errors.__name__
    }
    assert set(re.findall(r"^## (\S+)$", PAGE.read_text(), re.MULTILINE)) == codes
    for thing in vars(errors).values():
        if isinstance(thing, type) and thing.__module__ == errors.__name__:
            assert thing.__name__ in str(errors.__doc__)
