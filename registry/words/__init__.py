"""Words as searches compare them, and the grams that an index keeps of a text. Pure; `store` is the index.

A word is found wherever it stands in a text, whatever the case or width of its letters: Chinese has no spaces, so no
index of whole words would do. A gram is a run of one to three characters, kept as a number of 32 bits. A text with a
word in it has all the grams of the word; the reverse does not hold, so whoever asks the index compares once more.

    >>> grams_of(fold("ＤＲＧ")) <= grams("icd and drg")
    True
"""

import unicodedata
import zlib

# Characters of the longest gram. Most Chinese words have two, so shorter ones are kept as well.
LONGEST = 3


def fold(text: str) -> str:
    """`text` as it is compared: whatever the case or width of its letters."""
    return unicodedata.normalize("NFKC", text).casefold()


def grams(text: str) -> frozenset[int]:
    """The grams of a folded text: of none, one or more words, and of whatever is a part of them."""
    runs = set(text.split())
    return frozenset(
        _number(run[start : start + length])
        for run in runs
        for length in range(1, LONGEST + 1)
        for start in range(len(run) - length + 1)
    )


def grams_of(word: str) -> frozenset[int]:
    """The grams to look for: the longest that a folded `word` without spaces has."""
    length = min(LONGEST, len(word))
    return frozenset(_number(word[start : start + length]) for start in range(len(word) - length + 1))


def _number(gram: str) -> int:
    # Signed, as PostgreSQL's integers are. That two grams have one number costs a comparison and no more.
    return zlib.crc32(gram.encode("utf-8", "surrogatepass")) - (1 << 31)
