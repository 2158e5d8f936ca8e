"""Prices: whole fen (1/100 yuan), so much a run. Pure.

>>> amount(unit_price_fen=1250, units=3)
3750
"""

from marketplace.errors import PriceInvalid

# The dearest run, in fen (ten million yuan): a slip of the finger, not a price, lies above it.
MAX_UNIT_PRICE_FEN = 1_000_000_000
# The most runs in one order. With `MAX_UNIT_PRICE_FEN` an order stays far within 64 bits.
MAX_RUNS = 1_000_000


def unit_price(fen: int) -> int:
    """`fen` if it is a price; zero is one (public-interest data). Raises `PriceInvalid`."""
    if isinstance(fen, bool) or not isinstance(fen, int) or not 0 <= fen <= MAX_UNIT_PRICE_FEN:
        raise PriceInvalid(f"a price is a whole number of fen from 0 to {MAX_UNIT_PRICE_FEN}")
    return fen


def runs(number: int) -> int:
    """`number` if one may order so many runs. Raises `PriceInvalid`."""
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MAX_RUNS:
        raise PriceInvalid(f"an order is for 1 to {MAX_RUNS} runs")
    return number


def amount(*, unit_price_fen: int, units: int) -> int:
    """What `units` runs cost."""
    return unit_price_fen * units


def yuan(fen: int) -> str:
    """`fen` for people: ``12.50``."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"
