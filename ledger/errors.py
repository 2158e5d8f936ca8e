"""What can go wrong around the ledger.

::

    Malformed
    |- EntryInvalid          an entry says something entries cannot say
    |- LogKeyUnusable        a verifier key that cannot be read
    `- BundleUnreadable      there is no bundle to check
    Forbidden
    |- IssuerNotEntitled     this kind of entry is the operator's alone
    `- ChainMethodRefused    the window to the chain is for looking only
    NotFound
    |- EntryUnknown
    |- TileUnknown
    `- AnchorUnknown
    Conflict
    |- EntryConflict         the same subject with another digest
    |- NothingToAnchor       the log is empty
    |- ExportConflict        the folder holds another log
    `- ChainRefused          the contract said no
    TooLarge
    `- EntryTooLarge
    Unavailable
    `- ChainUnavailable
    VerificationFailed
    |- DocumentInvalid
    |- CheckpointInvalid
    |- TileInvalid
    |- ProofInvalid
    |- ReceiptInvalid
    |- ChainRecordInvalid
    `- EvidenceInvalid       a piece of evidence does not fit the rest

What each code means and what to do about it: ``docs/reference/errors/ledger.md``.
"""

from hexi.errors import Conflict, Forbidden, Malformed, NotFound, TooLarge, Unavailable, VerificationFailed


class EntryInvalid(Malformed):
    """An entry says something entries cannot say."""

    code = "ledger.entry-invalid"
    title = "This is not a ledger entry"


class LogKeyUnusable(Malformed):
    """A verifier key that cannot be read."""

    code = "ledger.log-key-unusable"
    title = "The log's verifier key cannot be read"


class BundleUnreadable(Malformed):
    """There is no bundle to check, or a document to be put in one cannot be read."""

    code = "ledger.bundle-unreadable"
    title = "There is no bundle here"


class IssuerNotEntitled(Forbidden):
    """This kind of entry is the operator's alone."""

    code = "ledger.issuer-not-entitled"
    title = "Only the operator issues this kind of entry"


class ChainMethodRefused(Forbidden):
    """The window to the chain is for looking only."""

    code = "ledger.chain-method-refused"
    title = "This chain method is not offered"


class EntryUnknown(NotFound):
    """The log has no such entry."""

    code = "ledger.entry-unknown"
    title = "The log has no such entry"


class TileUnknown(NotFound):
    """The log has no such tile."""

    code = "ledger.tile-unknown"
    title = "The log has no such tile"


class AnchorUnknown(NotFound):
    """No checkpoint of this size was anchored."""

    code = "ledger.anchor-unknown"
    title = "No such anchor"


class EntryConflict(Conflict):
    """The issuer logged the same kind and subject before, with another digest."""

    code = "ledger.entry-conflict"
    title = "The log says something else about this subject"


class NothingToAnchor(Conflict):
    """The log is empty."""

    code = "ledger.nothing-to-anchor"
    title = "There is nothing to anchor"


class ExportConflict(Conflict):
    """The folder holds something else than this log."""

    code = "ledger.export-conflict"
    title = "The folder holds something else"


class ChainRefused(Conflict):
    """The contract said no: the chain knows another root, or a newer checkpoint."""

    code = "ledger.chain-refused"
    title = "The chain refused"


class EntryTooLarge(TooLarge):
    """The entry is longer than the log takes."""

    code = "ledger.entry-too-large"
    title = "The entry is too large"


class ChainUnavailable(Unavailable):
    """The chain does not answer, or not as a chain does."""

    code = "ledger.chain-unavailable"
    title = "The chain does not answer"


class DocumentInvalid(VerificationFailed):
    """A document is not signed by exactly its parties, or is of another type."""

    code = "ledger.document-invalid"
    title = "The signed document does not hold"


class CheckpointInvalid(VerificationFailed):
    """A checkpoint cannot be read or is not signed by the log."""

    code = "ledger.checkpoint-invalid"
    title = "The checkpoint does not hold"


class TileInvalid(VerificationFailed):
    """A tile or entry bundle has not the shape its path promises."""

    code = "ledger.tile-invalid"
    title = "The tile does not hold"


class ProofInvalid(VerificationFailed):
    """An inclusion or consistency proof does not lead to the root."""

    code = "ledger.proof-invalid"
    title = "The proof does not hold"


class ReceiptInvalid(VerificationFailed):
    """A receipt cannot be read."""

    code = "ledger.receipt-invalid"
    title = "This is not a receipt"


class ChainRecordInvalid(VerificationFailed):
    """A chain record does not prove what it claims."""

    code = "ledger.chain-record-invalid"
    title = "The chain record does not hold"


class EvidenceInvalid(VerificationFailed):
    """A piece of evidence does not fit the rest: see the report."""

    code = "ledger.evidence-invalid"
    title = "The evidence does not hold"
