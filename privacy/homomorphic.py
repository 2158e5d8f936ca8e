"""Encrypted sums: CKKS with one pinned set of parameters, one fresh key per job, and only rounded numbers coming out.

    >>> key = new_job()
    >>> parts = [encrypt(key.public_context, value, bound=1e6) for value in (120.0, 260.0, 33.0)]
    >>> key.decrypt(add(key.public_context, parts), rounding=5)
    415

Four attacks shape this module (numbers of the privacy survey):

* **H1** A decrypted CKKS value carries noise that leaks the key (Li and Micciancio, ePrint 2020/1533). So `decrypt`
  returns a rounded integer only, and a key serves one job.
* **H2** A context made to weaken or to crash. So contexts and ciphertexts are capped in size before they are parsed,
  and compared with the pinned parameters after; a context with a secret key is refused, and so is a transparent
  ciphertext.
* **H3** A key owner as decryption oracle. So the key never leaves the process that made it, and decrypts totals only.
* **H4** A value outside the scale wraps around. So every value is clamped to a declared bound before it is encrypted.

This is the only module that touches TenSEAL; its errors do not leave it. TenSEAL brings NumPy, so it is loaded with the
first encrypted sum and not with this module.
"""

from collections.abc import Sequence
from functools import cache
from math import isfinite
from typing import Any

from privacy.disclosure import round_to
from privacy.errors import CiphertextTooLarge, EncryptionUnusable, OutOfBounds

# Ring dimension, bits of the primes, and scale: 128 bits of security (homomorphicencryption.org tables: at most 218
# bits of modulus for 8192), and sums up to MAX_BOUND exact to well below one.
POLYNOMIAL_DEGREE = 8192
MODULUS_BITS = (60, 40, 40, 60)
SCALE = 2.0**40
# The parameters by name, as they stand in receipts.
PARAMETERS = {"scheme": "CKKS", "polynomialDegree": 8192, "modulusBits": [60, 40, 40, 60], "scaleBits": 40}

# An honest public context has 465 kB (public key only, neither Galois nor relinearisation keys), a ciphertext 332 kB.
MAX_CONTEXT_BYTES = 600_000
MAX_CIPHERTEXT_BYTES = 500_000
# The largest absolute value we encrypt: up to here rounding errors stay below a thousandth.
MAX_BOUND = 1e12
# How many ciphertexts one sum may have; more would eat into the modulus and the machine.
MAX_SUMMANDS = 1000

# TenSEAL raises whichever of these its C++ side threw.
_FOREIGN = (ValueError, RuntimeError, TypeError, IndexError, OverflowError, MemoryError)


class SumKey:
    """The secret key of one job. It has no serialised form: it lives and dies with the process that made it."""

    def __init__(self) -> None:
        self._context = _fresh_context()
        self.public_context: bytes = self._context.serialize(
            save_public_key=True, save_secret_key=False, save_galois_keys=False, save_relin_keys=False
        )

    def __repr__(self) -> str:
        return "SumKey()"

    def decrypt(self, ciphertext: bytes, rounding: int) -> int:
        """The total in `ciphertext`, to the nearest multiple of `rounding`. Raises `EncryptionUnusable`."""
        total = _load_ciphertext(self._context, ciphertext).decrypt()[0]
        if not abs(total) <= MAX_BOUND * MAX_SUMMANDS:
            raise EncryptionUnusable("this was not encrypted under the key of this job")
        return round_to(round(total, 3), rounding)


def new_job() -> SumKey:
    """A fresh key for one encrypted sum."""
    return SumKey()


def check_context(public_context: bytes) -> None:
    """Raise unless `public_context` is a public context with the pinned parameters.

    (1) It is not larger than an honest one. (2) It can be read. (3) It carries a public key and neither a secret one
    nor Galois keys. (4) Its parameters are the pinned ones: SEAL's parameter id is a hash over scheme, degree and
    primes. (5) So is its scale.
    """
    _load_context(public_context)


def encrypt(public_context: bytes, value: float, *, bound: float) -> bytes:
    """`value`, clamped to [-bound, bound], under `public_context`.

    Raises `EncryptionUnusable`, `CiphertextTooLarge`, `OutOfBounds`.
    """
    if not isfinite(value) or not 0 < bound <= MAX_BOUND:
        raise OutOfBounds(f"an encrypted value needs to be a number with a bound above 0 and up to {MAX_BOUND:g}")
    context = _load_context(public_context)
    vector = _tenseal().ckks_vector(context, [max(-bound, min(bound, float(value)))])
    return bytes(vector.serialize())


def check_ciphertext(public_context: bytes, ciphertext: bytes) -> None:
    """Raise unless `ciphertext` is one fresh number under the pinned parameters of `public_context`."""
    _load_ciphertext(_load_context(public_context), ciphertext)


def add(public_context: bytes, ciphertexts: Sequence[bytes]) -> bytes:
    """The encrypted sum, without any key. Raises `EncryptionUnusable`; an empty sum is refused."""
    if not 0 < len(ciphertexts) <= MAX_SUMMANDS:
        raise EncryptionUnusable(f"a sum has 1 to {MAX_SUMMANDS} summands, not {len(ciphertexts)}")
    context = _load_context(public_context)
    total = _load_ciphertext(context, ciphertexts[0])
    for ciphertext in ciphertexts[1:]:
        total = total + _load_ciphertext(context, ciphertext)
    return bytes(total.serialize())


def _tenseal() -> Any:
    import tenseal

    return tenseal


def _fresh_context() -> Any:
    tenseal = _tenseal()
    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, POLYNOMIAL_DEGREE, coeff_mod_bit_sizes=list(MODULUS_BITS), n_threads=1
    )
    context.global_scale = SCALE
    return context


@cache
def _pinned() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """SEAL's ids of the pinned parameters: those of keys and those of fresh ciphertexts."""
    data = _fresh_context().seal_context().data
    return tuple(data.key_parms_id()), tuple(data.first_parms_id())


def _load_context(serialised: bytes) -> Any:
    if len(serialised) > MAX_CONTEXT_BYTES:  # (1)
        raise CiphertextTooLarge(f"a public context has at most {MAX_CONTEXT_BYTES} bytes", limit=MAX_CONTEXT_BYTES)
    try:
        context = _tenseal().context_from(serialised, n_threads=1)  # (2)
        usable = context.has_public_key() and not context.has_secret_key() and not context.has_galois_keys()  # (3)
        pinned = tuple(context.seal_context().data.key_parms_id()) == _pinned()[0]  # (4)
        scale = context.global_scale if pinned else 0
    except _FOREIGN as error:
        raise EncryptionUnusable("this is not a context of the encryption we use") from error
    if not usable:
        raise EncryptionUnusable("a context carries the public key and nothing else: no secret and no Galois keys")
    if not pinned or scale != SCALE:  # (5)
        raise EncryptionUnusable("the context has other parameters than CKKS 8192 / 60-40-40-60 / scale 2^40")
    return context


def _load_ciphertext(context: Any, serialised: bytes) -> Any:
    if len(serialised) > MAX_CIPHERTEXT_BYTES:
        raise CiphertextTooLarge(f"a ciphertext has at most {MAX_CIPHERTEXT_BYTES} bytes", limit=MAX_CIPHERTEXT_BYTES)
    try:
        vector = _tenseal().ckks_vector_from(context, serialised)
        parts = vector.ciphertext()
        honest = vector.size() == 1 and len(parts) == 1 and _is_pinned(parts[0])
    except _FOREIGN as error:
        raise EncryptionUnusable("this is not a ciphertext under the given context") from error
    if not honest:
        raise EncryptionUnusable("a ciphertext is one number, encrypted afresh with the pinned parameters")
    return vector


def _is_pinned(ciphertext: Any) -> bool:
    return bool(
        ciphertext.size() == 2
        and not ciphertext.is_transparent()
        and tuple(ciphertext.parms_id()) == _pinned()[1]
        and ciphertext.scale == SCALE
    )
