"""Encrypted sums with real TenSEAL: exact totals, and refusals of everything that is not pinned."""

import os

import pytest
import tenseal

from hexi.errors import DataspaceError
from privacy import homomorphic
from privacy.errors import CiphertextTooLarge, EncryptionUnusable, OutOfBounds
from privacy.homomorphic import SumKey, add, check_ciphertext, check_context, encrypt, new_job


@pytest.fixture(scope="module")
def key() -> SumKey:
    return new_job()


def context(degree: int = 8192, bits: tuple[int, ...] = (60, 40, 40, 60), scale: float = 2.0**40) -> tenseal.Context:
    made = tenseal.context(tenseal.SCHEME_TYPE.CKKS, degree, coeff_mod_bit_sizes=list(bits))
    made.global_scale = scale
    return made


def serialised(made: tenseal.Context, **keep: bool) -> bytes:
    flags = {"save_public_key": True, "save_secret_key": False, "save_galois_keys": False, "save_relin_keys": False}
    return bytes(made.serialize(**{**flags, **keep}))


def with_galois_keys() -> bytes:
    made = context(4096, (40, 20, 40), 2.0**20)
    made.generate_galois_keys()
    return serialised(made, save_galois_keys=True)


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([120.0, 260.0, 33.0], 415),
        ([0.0, 0.0, 0.0], 0),
        ([-10.0, 4.0, 3.4], -5),
        ([123_456_789.0, 987_654_321.0, 1.0], 1_111_111_110),
        ([2.5, 0.0, 0.0], 5),
        ([9e11, 5.0, 5.0], 900_000_000_010),
    ],
)
def test_the_total_is_that_of_the_plain_numbers_rounded_to_five(key: SumKey, values: list[float], total: int) -> None:
    parts = [encrypt(key.public_context, value, bound=1e12) for value in values]
    assert key.decrypt(add(key.public_context, parts), 5) == total


def test_values_are_clamped_to_their_bound(key: SumKey) -> None:
    assert key.decrypt(encrypt(key.public_context, 1e9, bound=1000), 5) == 1000
    assert key.decrypt(encrypt(key.public_context, -1e9, bound=1000), 5) == -1000


@pytest.mark.parametrize(("value", "bound"), [(1, 0), (1, -1), (1, 2e12), (float("nan"), 1), (float("inf"), 1)])
def test_a_number_without_a_bound_is_refused(key: SumKey, value: float, bound: float) -> None:
    with pytest.raises(OutOfBounds):
        encrypt(key.public_context, value, bound=bound)


def test_the_same_number_twice_gives_two_ciphertexts(key: SumKey) -> None:
    assert encrypt(key.public_context, 7, bound=10) != encrypt(key.public_context, 7, bound=10)


def test_contexts_and_ciphertexts_are_small_enough_to_travel(key: SumKey) -> None:
    check_context(key.public_context)
    assert len(key.public_context) < homomorphic.MAX_CONTEXT_BYTES
    assert len(encrypt(key.public_context, 7, bound=10)) < homomorphic.MAX_CIPHERTEXT_BYTES


CONTEXTS = {
    "empty": b"",
    "no context": b"junk" * 100,
    "with its secret key": serialised(context(4096, (40, 20, 40), 2.0**20), save_secret_key=True),
    "with Galois keys": with_galois_keys(),
    "a smaller ring": serialised(context(4096, (40, 20, 40), 2.0**20)),
    "other primes": serialised(context(8192, (50, 30, 30, 50))),
    "another scale": serialised(context(scale=2.0**30)),
    "no public key": serialised(context(), save_public_key=False),
    "another scheme": serialised(tenseal.context(tenseal.SCHEME_TYPE.BFV, 4096, 1032193)),
}


@pytest.mark.parametrize("defect", CONTEXTS)
def test_a_context_that_is_not_the_pinned_public_one_is_refused(defect: str) -> None:
    with pytest.raises((EncryptionUnusable, CiphertextTooLarge)):
        check_context(CONTEXTS[defect])


def test_our_own_parameters_with_the_secret_key_are_refused() -> None:
    with pytest.raises((EncryptionUnusable, CiphertextTooLarge)):
        check_context(serialised(context(), save_secret_key=True))


def test_what_is_too_large_is_refused_unread(key: SumKey) -> None:
    with pytest.raises(CiphertextTooLarge):
        check_context(bytes(homomorphic.MAX_CONTEXT_BYTES + 1))
    with pytest.raises(CiphertextTooLarge):
        check_ciphertext(key.public_context, bytes(homomorphic.MAX_CIPHERTEXT_BYTES + 1))


def test_a_ciphertext_that_is_not_one_fresh_number_is_refused(key: SumKey) -> None:
    public = tenseal.context_from(key.public_context)
    honest = encrypt(key.public_context, 7, bound=10)
    several = bytes(tenseal.ckks_vector(public, [1.0, 2.0]).serialize())
    product = tenseal.ckks_vector(public, [2.0])
    product.mul_([0.5])
    other_scale = bytes(tenseal.ckks_vector(public, [1.0], 2.0**30).serialize())
    other_ring = bytes(tenseal.ckks_vector(context(4096, (40, 20, 40), 2.0**20), [1.0]).serialize())
    defects = [b"", b"junk" * 99, honest[:1000], several, bytes(product.serialize()), other_scale, other_ring]
    for defect in [*defects, key.public_context[: homomorphic.MAX_CIPHERTEXT_BYTES]]:
        with pytest.raises((EncryptionUnusable, CiphertextTooLarge)):
            add(key.public_context, [honest, defect])
    check_ciphertext(key.public_context, honest)


def test_a_sum_of_nothing_is_refused(key: SumKey) -> None:
    with pytest.raises(EncryptionUnusable):
        add(key.public_context, [])


def test_random_bytes_never_raise_anything_foreign(key: SumKey) -> None:
    for size in (1, 17, 300, 5000):
        with pytest.raises(DataspaceError):
            check_context(os.urandom(size))
        with pytest.raises(DataspaceError):
            check_ciphertext(key.public_context, os.urandom(size))


def test_another_job_has_another_key(key: SumKey) -> None:
    part = encrypt(new_job().public_context, 100.0, bound=1000)
    with pytest.raises(EncryptionUnusable):
        key.decrypt(part, 5)
