"""What the marketplace refuses.

::

    Malformed
    |- PriceInvalid               market.price-invalid
    |- SplitInvalid               market.split-invalid
    |- TermInvalid                market.term-invalid
    |- ComplianceRefused          market.compliance-refused
    `- PostingsUnbalanced         market.postings-unbalanced
    Forbidden
    |- NotTheProvider             market.not-the-provider
    `- NotConcerned               market.not-concerned
    NotFound
    |- CertificateUnknown         market.certificate-unknown
    |- ListingUnknown             market.listing-unknown
    |- OrderUnknown               market.order-unknown
    |- AgreementUnknown           market.agreement-unknown
    `- StatementUnknown           market.statement-unknown
    Conflict
    |- CertificateMissing         market.certificate-missing
    |- RightMissing               market.right-missing
    |- NumbersExhausted           market.numbers-exhausted
    |- ListingExists              market.listing-exists
    |- ListingNotOnSale           market.listing-not-on-sale
    |- StepImpossible             market.step-impossible
    |- PriceChanged               market.price-changed
    |- AgreementOfAnother         market.agreement-of-another
    |- OrderConflict              market.order-conflict
    |- StatementConflict          market.statement-conflict
    `- NothingToState             market.nothing-to-state
"""

from hexi.errors import Conflict, Forbidden, Malformed, NotFound


class PriceInvalid(Malformed):
    """A price or a number of runs that cannot be charged."""

    code = "market.price-invalid"
    title = "This price or number of runs cannot be used"


class SplitInvalid(Malformed):
    """A split rule whose shares are not exactly the whole."""

    code = "market.split-invalid"
    title = "The shares do not make a whole"


class TermInvalid(Malformed):
    """A certificate for longer than the rules allow."""

    code = "market.term-invalid"
    title = "This term is not allowed"


class ComplianceRefused(Malformed):
    """The compliance gate is closed; `report` in the answer lists every check."""

    code = "market.compliance-refused"
    title = "The product does not pass the compliance assessment"


class PostingsUnbalanced(Malformed):
    """Postings of one journal that do not sum to zero. Never stored."""

    code = "market.postings-unbalanced"
    title = "The books would not balance"


class NotTheProvider(Forbidden):
    """Only the product's provider (or the operator, where the reference says so) may do this."""

    code = "market.not-the-provider"
    title = "Only the provider of this product may do this"


class NotConcerned(Forbidden):
    """The order or statement is between others."""

    code = "market.not-concerned"
    title = "This is between others"


class CertificateUnknown(NotFound):
    """No certificate has this number."""

    code = "market.certificate-unknown"
    title = "There is no such certificate"


class ListingUnknown(NotFound):
    """No listing has this id."""

    code = "market.listing-unknown"
    title = "There is no such listing"


class OrderUnknown(NotFound):
    """No order has this id."""

    code = "market.order-unknown"
    title = "There is no such order"


class AgreementUnknown(NotFound):
    """The log holds no such agreement by the product's provider."""

    code = "market.agreement-unknown"
    title = "The log does not know this agreement"


class StatementUnknown(NotFound):
    """No statement has this id."""

    code = "market.statement-unknown"
    title = "There is no such statement"


class CertificateMissing(Conflict):
    """No rights certificate in force covers the product's newest version."""

    code = "market.certificate-missing"
    title = "The product has no certificate in force"


class RightMissing(Conflict):
    """The certificate does not name the right to operate the product."""

    code = "market.right-missing"
    title = "The product may be used, but not sold"


class NumbersExhausted(Conflict):
    """A month has 9999 certificate numbers, and they are used up."""

    code = "market.numbers-exhausted"
    title = "No certificate number is left this month"


class ListingExists(Conflict):
    """The product is on sale already, or its sale is being prepared."""

    code = "market.listing-exists"
    title = "The product has a listing"


class ListingNotOnSale(Conflict):
    """The listing is a draft, suspended or withdrawn."""

    code = "market.listing-not-on-sale"
    title = "The listing takes no orders now"


class ProductWithdrawn(Conflict):
    """Its provider has withdrawn the product, or is no longer in the space."""

    code = "market.product-withdrawn"
    title = "The product is offered no more"


class StepImpossible(Conflict):
    """The listing or order is in a state from which this step does not lead anywhere."""

    code = "market.step-impossible"
    title = "Not from this state"


class PriceChanged(Conflict):
    """The price is not the one the buyer expects; `unitPriceFen` in the answer is the present one."""

    code = "market.price-changed"
    title = "The price has changed"


class AgreementOfAnother(Conflict):
    """The agreement is about another product or with another consumer."""

    code = "market.agreement-of-another"
    title = "The agreement does not fit the order"


class OrderConflict(Conflict):
    """This order id stands for another order."""

    code = "market.order-conflict"
    title = "This order id is taken"


class StatementConflict(Conflict):
    """This statement id stands for another consumer's statement."""

    code = "market.statement-conflict"
    title = "This statement id is taken"


class NothingToState(Conflict):
    """Every metered run of this consumer is on a statement already."""

    code = "market.nothing-to-state"
    title = "There is nothing new to state"
