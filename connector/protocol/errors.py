"""What can go wrong in the Dataspace Protocol.

::

    DataspaceError
    |- Malformed
    |  |- MessageMalformed      400  not the message this address takes
    |  |- PidMismatch           400  the message names another process than its address, or than we know
    |  `- CallbackRefused       400  an address we will not call back
    |- NotFound
    |  |- ProcessUnknown        404  no such process, or not one of the caller's
    |  `- DatasetUnknown        404
    |- Conflict
    |  |- IllegalTransition     400  the message does not fit the state (the status is the protocol's)
    |  |- ProcessTaken          400  the caller used its process id for something else
    |  `- MessageInFlight       409  a message of ours must settle before we send another
    `- Unavailable
       `- MessageCrossed        503  our message and theirs crossed; theirs is welcome again in a moment

On the protocol's own routes they are rendered as the protocol's error objects, everywhere else as problem+json.
What goes wrong beyond the protocol stands in `connector.contracts.errors`.
"""

from hexi.errors import Conflict, Malformed, NotFound, Unavailable


class MessageMalformed(Malformed):
    """The body is not the message this address takes."""

    code = "connector.message-malformed"
    status = 400
    title = "This is not the message expected here"


class PidMismatch(Malformed):
    """The message names another process than its address does, or than we have known so far."""

    code = "connector.pid-mismatch"
    status = 400
    title = "The process identifiers do not match"


class CallbackRefused(Malformed):
    """An address that we will not send messages to."""

    code = "connector.callback-refused"
    status = 400
    title = "This address is not called from here"


class ProcessUnknown(NotFound):
    """There is no such process, or it is not one of the caller's; which of the two is not said."""

    code = "connector.process-unknown"


class DatasetUnknown(NotFound):
    """There is no such dataset, or none that the caller may see."""

    code = "connector.dataset-unknown"


class IllegalTransition(Conflict):
    """The message, or the action, does not fit the state the process is in."""

    code = "connector.transition-illegal"
    status = 400
    title = "The state does not allow this"


class ProcessTaken(Conflict):
    """The caller has used its process id for something else before."""

    code = "connector.process-taken"
    status = 400
    title = "This process id stands for something else"


class MessageInFlight(Conflict):
    """A message of ours is still on its way; what it leads to must be known before we act again."""

    code = "connector.message-in-flight"
    title = "A message is still on its way"


class MessageCrossed(Unavailable):
    """Their message and ours crossed, and which of them theirs answers cannot be told."""

    code = "connector.message-crossed"
    title = "Two messages crossed"
