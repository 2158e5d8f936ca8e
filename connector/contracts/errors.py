"""What can go wrong between a policy and a run. The protocol's side of the connector has its own `protocol.errors`.

::

    DataspaceError
    |- VerificationFailed
    |  |- AgreementInvalid            an agreement that is not what was asked for, or not signed
    |  |- OrderInvalid                an order confirmation that does not hold for this agreement
    |  `- AnswerInvalid               a run's answer that its receipt does not prove
    |- NotFound: ResourceUnknown, ProductUnknown, AgreementUnknown, RunUnknown, OfferUnknown
    |- Conflict: ResourceTaken, RequestIdTaken, AgreementNotConcluded, TransferNotStarted, AggregationIncomplete,
    |  `- JobLost, EvidenceConflict, NotOurTurn, TermsRefuse, AgreementEnded, DutyNotOwed
    |- Forbidden: NotADataAddress
    |- Unauthenticated: ManagementTokenInvalid
    `- PeerRefused                    a peer answered with an error, or with something else than was asked for

Every code has its heading in ``docs/reference/errors/connector-business.md``.
"""

from hexi.errors import Conflict, DataspaceError, Forbidden, NotFound, Unauthenticated, VerificationFailed


class AgreementInvalid(VerificationFailed):
    """An agreement that differs from what was asked for, or whose signatures do not hold."""

    code = "connector.agreement-invalid"
    title = "The agreement does not hold"


class OrderInvalid(VerificationFailed):
    """An order confirmation that does not hold for this agreement."""

    code = "connector.order-invalid"
    title = "The order confirmation does not hold"


class AnswerInvalid(VerificationFailed):
    """A run's answer whose receipt does not prove it."""

    code = "connector.answer-invalid"
    title = "The answer is not the one its receipt proves"


class ResourceUnknown(NotFound):
    """No resource of this name at this connector."""

    code = "connector.resource-unknown"


class ProductUnknown(NotFound):
    """No such product, or no such version."""

    code = "connector.product-unknown"


class AgreementUnknown(NotFound):
    """No such agreement at this connector."""

    code = "connector.agreement-unknown"


class RunUnknown(NotFound):
    """No such run or encrypted sum was asked for from here."""

    code = "connector.run-unknown"


class OfferUnknown(NotFound):
    """No offer definition of this name is in force."""

    code = "connector.offer-unknown"


class NotOurTurn(Conflict):
    """The negotiation does not wait for us."""

    code = "connector.not-our-turn"
    title = "The other side has to answer first"


class TermsRefuse(Conflict):
    """The terms on the table themselves forbid an agreement with this consumer."""

    code = "connector.terms-refuse"
    title = "These terms do not permit this agreement"


class DutyNotOwed(Conflict):
    """The terms do not ask this of us."""

    code = "connector.duty-not-owed"
    title = "This agreement does not ask that of us"


class AgreementEnded(Conflict):
    """The agreement was ended; its document and evidence stay."""

    code = "connector.agreement-ended"
    title = "This agreement has ended"


class ResourceTaken(Conflict):
    """The name stands for other tables already."""

    code = "connector.resource-taken"


class RequestIdTaken(Conflict):
    """The request id was used for something else."""

    code = "connector.request-id-taken"


class AgreementNotConcluded(Conflict):
    """The agreement is not (yet) signed by both sides and finalised."""

    code = "connector.agreement-not-concluded"


class TransferNotStarted(Conflict):
    """The transfer carries no permit now: it has not started, or has ended."""

    code = "connector.transfer-not-started"


class AggregationIncomplete(Conflict):
    """Not every contributor has added its number yet."""

    code = "connector.aggregation-incomplete"


class JobLost(Conflict):
    """The secret key of an encrypted sum ended with the process that made it."""

    code = "connector.job-lost"


class EvidenceConflict(Conflict):
    """Another entry of this kind about this subject was sealed already."""

    code = "connector.evidence-conflict"


class NotADataAddress(Forbidden):
    """A data address that does not belong to the provider it came from."""

    code = "connector.data-address-refused"


class ManagementTokenInvalid(Unauthenticated):
    """The management API was called without its token."""

    code = "connector.management-token-invalid"


class PeerRefused(DataspaceError):
    """A peer answered with an error, or with something else than was asked for; its words are in the detail."""

    status = 502
    code = "connector.peer-refused"
    title = "The peer refused"
