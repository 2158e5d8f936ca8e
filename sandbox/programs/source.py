"""The text of a program: whether it is one, and which words it may say. Nothing is executed, and no data are read."""

import ast
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from hexi.canonical import digest_bytes
from hexi.errors import Malformed
from sandbox.reasons import Reason, Refusal

# The longest program, in characters. Parsing more than this could exhaust the parser's stack.
MAX_PROGRAM_CHARACTERS = 60_000
# A line of its own: how long the program may take, and after how long its answer comes, whenever it is done.
_SECONDS = re.compile(r"^# hexi: seconds=(\d{1,3})\s*$", re.MULTILINE)
_UNREADABLE = "sandbox.program-unreadable"


@dataclass(frozen=True)
class Program:
    """A program that can be read. `words` are its string constants: names and labels of outputs come from there, never
    from data. `seconds` is the time it asks for; None: what the provider gives.
    """

    text: str
    words: frozenset[str]
    seconds: int | None = None

    @property
    def digest(self) -> str:
        """Names the program in receipts and in the algorithm repository."""
        return digest_bytes(self.text.encode())


def read_program(text: str) -> Program | Refusal:
    """The program in `text`, or why it is none. What isolation is for is not looked at: any Python may be tried."""
    if len(text) > MAX_PROGRAM_CHARACTERS:
        return _refusal(f"a program has at most {MAX_PROGRAM_CHARACTERS} characters; this one has {len(text)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a doubtful escape in somebody else's text
            tree = ast.parse(text)
    except SyntaxError as error:
        return _refusal(f"this is not Python: {error.msg}, line {error.lineno}")
    except (ValueError, MemoryError, RecursionError):
        return _refusal("this is not Python: it contains null characters, or is nested too deep")
    found = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    words = frozenset(value for value in found if isinstance(value, str))
    asked = _SECONDS.search(text)
    return Program(text, words, int(asked[1]) if asked else None)


def read_text(path: Path) -> str:
    """The text of a program file. Raises `Malformed`."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Malformed(f"the program {path} cannot be read as text") from error


def _refusal(message: str) -> Refusal:
    return Refusal((Reason(_UNREADABLE, message),))
