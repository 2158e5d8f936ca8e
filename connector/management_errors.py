"""What can go wrong in the management API beyond the matters it manages.

::

    DataspaceError
    |- Malformed
    |  `- CursorInvalid     422  a cursor that no page gave
    |- Conflict
    |  `- ComputationEnded  409  a computation whose permit ended with its suspension
    `- Unavailable
       `- StillUnderWay     503  a process did not come to rest in the time given (the client's, not the server's)

Every code has its heading in ``docs/reference/errors/management.md``.
"""

from hexi.errors import Conflict, Malformed, Unavailable


class CursorInvalid(Malformed):
    """A cursor that no page of this listing gave."""

    code = "connector.cursor-invalid"
    title = "This is no cursor"


class ComputationEnded(Conflict):
    """A suspended computation, which cannot be resumed: its permit ended with the suspension."""

    code = "connector.computation-ended"
    title = "The computation cannot be resumed"


class StillUnderWay(Unavailable):
    """A process did not come to rest in the time given; it goes on all the same."""

    code = "connector.still-under-way"
    title = "Still under way"
