"""What the mathematics refuses to work with.

::

    DataspaceError
    |- Malformed
    |  |- EncryptionUnusable   privacy.encryption-unusable   422
    |  |- OutOfBounds          privacy.out-of-bounds         422
    |  |- PolicyUnusable       privacy.policy-unusable       422
    |  `- NotReleased          privacy.not-released          422
    |- TooLarge
    |  `- CiphertextTooLarge   privacy.ciphertext-too-large  413
    `- Conflict
       |- TooFewContributors   privacy.too-few-contributors  409
       `- IllegalTransition    privacy.illegal-transition    409
"""

from hexi.errors import Conflict, Malformed, TooLarge


class EncryptionUnusable(Malformed):
    """A context or ciphertext that is not of the one kind we use, or cannot be read at all."""

    code = "privacy.encryption-unusable"
    title = "This context or ciphertext cannot be used"


class OutOfBounds(Malformed):
    """A number that has no bound, or a bound the encryption cannot carry."""

    code = "privacy.out-of-bounds"
    title = "This number is out of bounds"


class PolicyUnusable(Malformed):
    """A lattice policy that contradicts itself or leaves something open."""

    code = "privacy.policy-unusable"
    title = "This lattice policy cannot be used"


class NotReleased(Malformed):
    """A table finer than the policy releases. It depends on the question and the policy only, never on the data."""

    code = "privacy.not-released"
    title = "Tables this fine are not released"


class CiphertextTooLarge(TooLarge):
    """A context or ciphertext larger than an honest one can be; it is refused unread."""

    code = "privacy.ciphertext-too-large"
    title = "This context or ciphertext is too large"


class TooFewContributors(Conflict):
    """A sum over so few contributors would tell one of them what another one said."""

    code = "privacy.too-few-contributors"
    title = "Too few contributors"


class IllegalTransition(Conflict):
    """An aggregation job is not in a state in which this can happen."""

    code = "privacy.illegal-transition"
    title = "This cannot happen to the job now"
