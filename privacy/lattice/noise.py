"""Exact discrete Gaussian noise from a keyed stream: the same key and label give the same noise, bit for bit.

Nothing here is a floating-point number, so nothing leaks through low bits (Mironov 2012). The sampler is that of
Canonne, Kamath and Steinke 2020, algorithms 1 to 3: a discrete Laplace proposal, accepted with an exact probability.
The stream is keyed because a restored backup that published again with fresh noise would be a silent second draw.
"""

import hmac
from hashlib import sha256, shake_256
from math import isqrt

# How many bytes of the stream are made at a time. Each block is one call of SHAKE-256 under its own number.
_BLOCK_BYTES = 1 << 16
_WORD_BYTES = 8
_WORD = 1 << (8 * _WORD_BYTES)


class Stream:
    """Uniform integers from SHAKE-256 keyed by HMAC over a label; two labels have nothing to do with each other."""

    def __init__(self, key: bytes, label: bytes) -> None:
        self._seed = hmac.digest(key, label, sha256)
        self._block, self._number, self._place = b"", 0, 0

    def below(self, limit: int) -> int:
        """A uniform integer from 0 to `limit` - 1, for limits below 2^64."""
        ceiling = _WORD - _WORD % limit  # what is above would favour the small ones
        while True:
            word = self._word()
            if word < ceiling:
                return word % limit

    def _word(self) -> int:
        if self._place == len(self._block):
            self._block = shake_256(self._seed + self._number.to_bytes(8, "big")).digest(_BLOCK_BYTES)
            self._number, self._place = self._number + 1, 0
        self._place += _WORD_BYTES
        return int.from_bytes(self._block[self._place - _WORD_BYTES : self._place], "big")


def discrete_gaussian(stream: Stream, variance: int) -> int:
    """An integer with probability proportional to exp(-x^2 / (2 `variance`)), exactly."""
    scale = isqrt(variance) + 1
    while True:
        proposal = _discrete_laplace(stream, scale)
        # exp(-(|y| - variance/scale)^2 / (2 variance)), as a fraction of integers
        off = abs(proposal) * scale - variance
        if _bernoulli_exp(stream, off * off, 2 * variance * scale * scale):
            return proposal


def _discrete_laplace(stream: Stream, scale: int) -> int:
    """An integer with probability proportional to exp(-|x| / `scale`)."""
    while True:
        rest = stream.below(scale)
        if not _bernoulli_exp(stream, rest, scale):
            continue
        whole = 0
        while _bernoulli_exp_minus_one(stream):
            whole += 1
        size = rest + scale * whole
        negative = stream.below(2)
        if not (negative and size == 0):  # nought has one sign, not two
            return -size if negative else size


def _bernoulli_exp(stream: Stream, numerator: int, denominator: int) -> bool:
    """True with probability exp(-`numerator` / `denominator`)."""
    while numerator > denominator:
        if not _bernoulli_exp_minus_one(stream):
            return False
        numerator -= denominator
    return _bernoulli_exp_to_one(stream, numerator, denominator)


def _bernoulli_exp_minus_one(stream: Stream) -> bool:
    """True with probability exp(-1)."""
    k = 1
    while stream.below(k) == 0:
        k += 1
    return k % 2 == 1


def _bernoulli_exp_to_one(stream: Stream, numerator: int, denominator: int) -> bool:
    """True with probability exp(-x) for a fraction of at most 1, by the alternating series."""
    k = 1
    while _bernoulli(stream, numerator, denominator * k):
        k += 1
    return k % 2 == 1


def _bernoulli(stream: Stream, numerator: int, denominator: int) -> bool:
    """True with probability `numerator` / `denominator`, decided word by word, so for integers of any length."""
    while True:
        numerator *= _WORD
        digit, numerator = divmod(numerator, denominator)
        word = stream.below(_WORD)
        if word != digit:
            return word < digit
        if numerator == 0:
            return False
