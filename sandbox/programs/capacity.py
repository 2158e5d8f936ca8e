"""How much about people outputs could carry at most, if the program that made them were written to leak. Pure.

Whatever a program computes, what it gives out is one of a number of possible outputs, and so carries at most the
logarithm of that number in bits. With `b` bits about `n` people whoever guesses one secret bit of each (a fair coin)
is right with an average probability p of at most the one where 1 - H(p) = b / n (rate-distortion: Shannon 1959; H is
the binary entropy). This bounds what all people lose on average, not what one person loses: a single bit may be
Alice's, and to see that is what reviewers read the program for.

    >>> round(points(0, 100), 2), round(points(144, 20_000), 1), round(points(100, 100), 1)
    (0.0, 5.0, 50.0)
"""

from math import log2

# Significant digits of a released number, and the powers of ten between the smallest and the largest.
DIGITS, SMALLEST, LARGEST = 4, 1e-6, 1e12
_SIGNS, _POWERS = 2, 18
# A number as it is released: missing, zero, or a sign, a power, and four digits of which the first is not zero.
NUMBER_BITS = log2(2 + _SIGNS * _POWERS * 9 * 10 ** (DIGITS - 1))
# A share in hundredths.
SHARE_STEPS = 100
SHARE_BITS = log2(SHARE_STEPS + 2)
# A value of a dimension that has no list of values: a day of ten thousand years is the longest.
OPEN_BITS = log2(10_000 * 366)
_STEPS = 60


def count_bits(entities: int, rounding: int) -> float:
    """Of a rounded count."""
    return log2(entities // rounding + 2)


def choice_bits(choices: int) -> float:
    """Of one choice among so many, none of them included."""
    return log2(choices + 1)


def points(bits: float, entities: int) -> float:
    """By how many points the guess of everybody's secret bit could rise on average: 0 to 50."""
    if entities < 1 or bits >= entities:
        return 50.0
    low, high = 0.5, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - _entropy(middle) < bits / entities else (low, middle)
    return 100 * (low - 0.5)


def _entropy(p: float) -> float:
    return 0.0 if p in {0.0, 1.0} else -p * log2(p) - (1 - p) * log2(1 - p)
