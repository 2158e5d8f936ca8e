"""What the registry refuses.

::

    Malformed
    |- IdentifierMalformed        registry.identifier-malformed
    |- IdentifierCheckDigit       registry.identifier-check-digit
    |- OwnerCodeInvalid           registry.owner-code-invalid
    |- DidInvalid                 registry.did-invalid
    |- ApplicationInvalid         registry.application-invalid
    `- ProductInvalid             registry.product-invalid
    VerificationFailed
    `- DidDocumentInvalid         registry.did-document-invalid
    Unauthenticated
    |- PresentationInvalid        registry.presentation-invalid
    |- PresentationReplayed       registry.presentation-replayed
    |- CredentialInvalid          registry.credential-invalid
    `- CallerUnknown              registry.participant-unknown
    Forbidden
    |- ParticipantRevoked         registry.participant-revoked
    |- OperatorOnly               registry.operator-only
    |- RoleMissing                registry.role-missing
    |- DidHostForbidden           registry.did-host-forbidden
    `- IdentifierOfAnother        registry.identifier-of-another
    NotFound
    |- ParticipantUnknown         registry.participant-unknown
    |- ApplicationUnknown         registry.application-unknown
    |- IdentifierUnknown          registry.identifier-unknown
    |- ProductUnknown             registry.product-unknown
    `- InterfaceUnknown           registry.interface-unknown
    Conflict
    |- ApplicationConflict        registry.application-conflict
    |- StepImpossible             registry.step-impossible
    |- VersionConflict            registry.version-conflict
    `- VersionNotNext             registry.version-not-next
    Unavailable
    |- TrustUnavailable           registry.trust-unavailable
    |- DidUnreachable             registry.did-unreachable
    `- PresentationsSaturated     registry.presentations-saturated
"""

from hexi.errors import Conflict, Forbidden, Malformed, NotFound, Unauthenticated, Unavailable, VerificationFailed


class IdentifierMalformed(Malformed):
    """A unified identifier of the wrong length, alphabet or kind."""

    code = "registry.identifier-malformed"
    title = "This is not a unified identifier"


class IdentifierCheckDigit(Malformed):
    """The check character does not fit the rest: most likely a typing mistake."""

    code = "registry.identifier-check-digit"
    title = "The identifier's check character is wrong"


class OwnerCodeInvalid(Malformed):
    """A unified social credit code that is none."""

    code = "registry.owner-code-invalid"
    title = "This is not a unified social credit code"


class DidInvalid(Malformed):
    """A DID or key identifier that is not a did:web we can read."""

    code = "registry.did-invalid"
    title = "This is not a did:web identifier"


class ApplicationInvalid(Malformed):
    """An application for membership that cannot be read, or contradicts itself."""

    code = "registry.application-invalid"
    title = "The application cannot be read"


class ProductInvalid(Malformed):
    """A product document that is incomplete or contradicts itself; `errors` in the answer says where."""

    code = "registry.product-invalid"
    title = "The product description cannot be accepted"


class DidDocumentInvalid(VerificationFailed):
    """A DID document of somebody else, or without the key it should vouch for."""

    code = "registry.did-document-invalid"
    title = "The DID document does not vouch for this key"


class PresentationInvalid(Unauthenticated):
    """No presentation, or one that is forged, expired or meant for somebody else."""

    code = "registry.presentation-invalid"
    title = "The presentation does not hold"


class PresentationReplayed(Unauthenticated):
    """The presentation was used before; each call needs a fresh one."""

    code = "registry.presentation-replayed"
    title = "This presentation was used before"


class CredentialInvalid(Unauthenticated):
    """A membership credential that is missing, forged, expired or somebody else's."""

    code = "registry.credential-invalid"
    title = "The membership credential does not hold"


class CallerUnknown(Unauthenticated):
    """The caller is not a participant (`ParticipantUnknown` said to the one who asks)."""

    code = "registry.participant-unknown"
    title = "You are not a participant of this space"


class ParticipantRevoked(Forbidden):
    """The participant's membership was revoked."""

    code = "registry.participant-revoked"
    title = "This membership was revoked"


class OperatorOnly(Forbidden):
    """Only the space's operator may do this."""

    code = "registry.operator-only"
    title = "Only the operator may do this"


class RoleMissing(Forbidden):
    """The participant was not registered for this role."""

    code = "registry.role-missing"
    title = "You do not have the role for this"


class DidHostForbidden(Forbidden):
    """A did:web host inside somebody's private network: fetching it would open that network to the applicant."""

    code = "registry.did-host-forbidden"
    title = "DID documents are not fetched from this host"


class IdentifierOfAnother(Forbidden):
    """The identifier was allocated to another participant."""

    code = "registry.identifier-of-another"
    title = "This identifier belongs to somebody else"


class ParticipantUnknown(NotFound):
    """Nobody in this space has this DID, or the application is not decided yet."""

    code = "registry.participant-unknown"
    title = "There is no such participant"


class ApplicationUnknown(NotFound):
    """No application has this id."""

    code = "registry.application-unknown"
    title = "There is no such application"


class IdentifierUnknown(NotFound):
    """This registry has not allocated the identifier."""

    code = "registry.identifier-unknown"
    title = "This identifier was not allocated here"


class ProductUnknown(NotFound):
    """No product has this identifier, or not in this version."""

    code = "registry.product-unknown"
    title = "There is no such product"


class InterfaceUnknown(NotFound):
    """The unified interface has no such version or schema."""

    code = "registry.interface-unknown"
    title = "The interface has no such part"


class ApplicationConflict(Conflict):
    """This DID has another application under way, or is a participant already."""

    code = "registry.application-conflict"
    title = "There is another application for this DID"


class StepImpossible(Conflict):
    """The participant is in a state from which this step does not lead anywhere."""

    code = "registry.step-impossible"
    title = "Not from this state"


class VersionConflict(Conflict):
    """This version of the product was published with another content; versions never change."""

    code = "registry.version-conflict"
    title = "A published version never changes"


class VersionNotNext(Conflict):
    """Versions are numbered without gaps, from 1."""

    code = "registry.version-not-next"
    title = "This is not the next version"


class TrustUnavailable(Unavailable):
    """The registry does not answer, so we cannot tell who is a participant; until it does, nobody is."""

    code = "registry.trust-unavailable"
    title = "Participants cannot be checked just now"


class DidUnreachable(Unavailable):
    """The DID document could not be fetched."""

    code = "registry.did-unreachable"
    title = "The DID document cannot be fetched"


class PresentationsSaturated(Unavailable):
    """More presentations in a minute than we can remember; without memory a replay would pass, so we refuse."""

    code = "registry.presentations-saturated"
    title = "Too many presentations at once"
