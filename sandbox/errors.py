"""What can go wrong in the sandbox, as facts.

::

    DataspaceError
    |- VerificationFailed
    |  |- PermitInvalid           sandbox.permit-invalid         400
    |  `- RequestInvalid          sandbox.request-invalid        400
    |- Forbidden
    |  |- PermitExpired           sandbox.permit-expired         403
    |  |- PermitRevoked           sandbox.permit-revoked         403
    |  |- CountExhausted          sandbox.count-exhausted        403
    |  |- QueryOutsidePermit      sandbox.query-outside-permit   403
    |  |- PointNotTrusted         sandbox.point-not-trusted      403
    |  |- ReviewerExcluded        sandbox.reviewer-excluded      403
    |  `- NotAContributor         sandbox.not-a-contributor      403
    |- Unauthenticated
    |  `- ReviewerUnknown         sandbox.reviewer-unknown       401
    |- NotFound
    |  |- AlgorithmUnknown        sandbox.algorithm-unknown      404
    |  |- ReviewUnknown           sandbox.review-unknown         404
    |  |- RunUnknown              sandbox.run-unknown            404
    |  |- JobUnknown              sandbox.job-unknown            404
    |  `- AggregationUnknown      sandbox.aggregation-unknown    404
    |- Conflict
    |  |- RunConflict             sandbox.run-conflict           409
    |  |- RunInProgress           sandbox.run-in-progress        409
    |  |- JobEnded                sandbox.job-ended              409
    |  |- DataChanged             sandbox.data-changed           409
    |  |- BudgetSpent             sandbox.budget-spent           409
    |  |- AlgorithmConflict       sandbox.algorithm-conflict     409
    |  |- ReviewEnded             sandbox.review-ended           409
    |  |- ReviewerTaken           sandbox.reviewer-taken         409
    |  |- VotedAlready            sandbox.voted-already          409
    |  `- AggregationConflict     sandbox.aggregation-conflict   409
    |- Malformed
    |  |- AlgorithmInvalid        sandbox.algorithm-invalid      422
    |  |- ReviewVoteInvalid       sandbox.review-vote-invalid    422
    |  `- ProductUnusable         sandbox.product-unusable       422
    |- TooManyReaders             sandbox.too-many-readers       429
    |- Unavailable
    |  |- AirlockUnavailable      sandbox.airlock-unavailable    503
    |  |- QueueFull               sandbox.queue-full             503
    |  |- EnvironmentUnavailable  sandbox.environment-unavailable 503
    |  `- IsolationUnavailable    sandbox.isolation-unavailable  503
    `- JobFailed                  sandbox.job-failed             422
       `- JobTimedOut             sandbox.job-timed-out          422

A query that may not be asked, and a result that may not be released, are not errors: they are answers with the verdict
``refused`` and reasons (`sandbox.reasons.Reason`), whose codes stand in ``docs/reference/errors/sandbox.md``
as well.
"""

from hexi.errors import (
    Conflict,
    DataspaceError,
    Forbidden,
    Malformed,
    NotFound,
    Unauthenticated,
    Unavailable,
    VerificationFailed,
)


class PermitInvalid(VerificationFailed):
    """The permit is not one this sandbox's provider signed, or does not say what a permit must say."""

    code = "sandbox.permit-invalid"
    title = "The permit does not hold"


class RequestInvalid(VerificationFailed):
    """The run request is not one the permit's holder signed for this permit."""

    code = "sandbox.request-invalid"
    title = "The run request does not hold"


class PermitExpired(Forbidden):
    """The permit is not valid yet, or no longer."""

    code = "sandbox.permit-expired"
    title = "The permit is not valid now"


class PermitRevoked(Forbidden):
    """The provider took the permit back."""

    code = "sandbox.permit-revoked"
    title = "The permit was revoked"


class CountExhausted(Forbidden):
    """Every run the permit allows has been used."""

    code = "sandbox.count-exhausted"
    title = "No runs are left on this permit"


class QueryOutsidePermit(Forbidden):
    """The permit does not cover this kind of run, or this purpose."""

    code = "sandbox.query-outside-permit"
    title = "The permit does not cover this"


class PointNotTrusted(Forbidden):
    """An encrypted sum was to be sent to an aggregation point this provider does not trust."""

    code = "sandbox.point-not-trusted"
    title = "This aggregation point is not trusted here"


class NotAContributor(Forbidden):
    """The caller is not among the contributors of this aggregation job."""

    code = "sandbox.not-a-contributor"
    title = "You do not contribute to this job"


class ReviewerExcluded(Forbidden):
    """Who asked for a run has no voice in its review."""

    code = "sandbox.reviewer-excluded"
    title = "This reviewer may not decide here"


class ReviewerUnknown(Unauthenticated):
    """No reviewer of this provider shows this token."""

    code = "sandbox.reviewer-unknown"
    title = "Which reviewer are you?"


class AlgorithmUnknown(NotFound):
    """No algorithm of this digest is here, or none that the caller may see."""

    code = "sandbox.algorithm-unknown"
    title = "There is no such algorithm"


class ReviewUnknown(NotFound):
    """No output of this run is or was held."""

    code = "sandbox.review-unknown"
    title = "There is no such review"


class RunUnknown(NotFound):
    """There is no such run, or it is somebody else's."""

    code = "sandbox.run-unknown"
    title = "There is no such run"


class JobUnknown(NotFound):
    """There is no such job, or it is somebody else's."""

    code = "sandbox.job-unknown"
    title = "There is no such job"


class AggregationUnknown(NotFound):
    """There is no such aggregation job, or the caller has no part in it."""

    code = "sandbox.aggregation-unknown"
    title = "There is no such aggregation job"


class RunConflict(Conflict):
    """This run id was used for another request."""

    code = "sandbox.run-conflict"
    title = "This run id is taken"


class RunInProgress(Conflict):
    """The run is being executed; ask again for its answer."""

    code = "sandbox.run-in-progress"
    title = "The run is not finished"


class JobEnded(Conflict):
    """The job has ended, or its lease was lost, so it cannot become what was asked."""

    code = "sandbox.job-ended"
    title = "The job has ended"


class BudgetSpent(Conflict):
    """Publishing would give away more of a person than the product's policy ever allows."""

    code = "sandbox.budget-spent"
    title = "The privacy budget of this product is spent"


class AlgorithmConflict(Conflict):
    """It contradicts the state the algorithm is in, or an earlier one of its name."""

    code = "sandbox.algorithm-conflict"
    title = "This does not fit the algorithm's state"


class ReviewEnded(Conflict):
    """The review has ended, and nothing changes it any more."""

    code = "sandbox.review-ended"
    title = "The review has ended"


class ReviewerTaken(Conflict):
    """The name stands for another reviewer."""

    code = "sandbox.reviewer-taken"
    title = "There is a reviewer of this name"


class VotedAlready(Conflict):
    """One person, one vote."""

    code = "sandbox.voted-already"
    title = "You have voted already"


class DataChanged(Conflict):
    """The files behind a product version are not the ones its earlier releases were computed from."""

    code = "sandbox.data-changed"
    title = "The data behind this version changed"


class AggregationConflict(Conflict):
    """The job, or this contribution to it, exists with other content."""

    code = "sandbox.aggregation-conflict"
    title = "This contradicts the aggregation job"


class ProductUnusable(Malformed):
    """The product description cannot be used by the sandbox."""

    code = "sandbox.product-unusable"
    title = "The product description cannot be used"


class AlgorithmInvalid(Malformed):
    """The description of an algorithm cannot be used."""

    code = "sandbox.algorithm-invalid"
    title = "This is no algorithm"


class ReviewVoteInvalid(Malformed):
    """A vote without a reason that a person could read."""

    code = "sandbox.review-vote-invalid"
    title = "The vote cannot be read"


class AirlockUnavailable(Unavailable):
    """This sandbox has no secret, or another one than before, to keep outputs sealed with."""

    code = "sandbox.airlock-unavailable"
    title = "Outputs cannot be held here"


class TooManyReaders(DataspaceError):
    """As many streams of events are read as may."""

    code = "sandbox.too-many-readers"
    status = 429
    title = "Too many streams at once"


class QueueFull(Unavailable):
    """As many jobs wait as may."""

    code = "sandbox.queue-full"
    title = "The queue is full"


class EnvironmentUnavailable(Unavailable):
    """There is no environment for programs on this machine, or not the one that was sealed."""

    code = "sandbox.environment-unavailable"
    title = "Programs cannot run here"


class IsolationUnavailable(Unavailable):
    """This machine cannot give the isolation that the product demands."""

    code = "sandbox.isolation-unavailable"
    title = "Not enough isolation on this machine"


class JobFailed(DataspaceError):
    """The isolated job did not deliver. One fact for every cause: a finer one would be a channel out of the data."""

    code = "sandbox.job-failed"
    status = 422
    title = "The computation failed"


class JobTimedOut(JobFailed):
    """The isolated job was stopped at its time limit."""

    code = "sandbox.job-timed-out"
    title = "The computation took too long"
