"""What can go wrong while data are delivered by API, stream or table.

::

    DataspaceError
    |- Conflict: StreamEnded          409  the transfer was terminated while its stream was followed
    |- Forbidden: CallRefused         403  a call that is none of the product's operations, or could be read two ways
    |- Malformed: LastEventIdInvalid  422  not a position of this stream
    |- Malformed: TablePlaceInvalid   422  not a place in this table as it is now
    |- NotFound: StreamUnknown        404  no resource of this name is a stream that can be appended to
    |- NotFound: TableUnknown         404  no table, or no column, of this product
    |- StreamUnreadable               502  what arrives is no stream of events
    |- Unavailable: ApiUnavailable    502  the provider's own API does not answer, or answers what is no HTTP
    `- TooLarge: AnswerTooLarge       502  it answers more than the product allows
"""

from hexi.errors import Conflict, DataspaceError, Forbidden, Malformed, NotFound, Unavailable


class CallRefused(Forbidden):
    """A call of an API product that the product does not offer, or whose path could be read in two ways."""

    code = "connector.call-refused"
    title = "This call is not part of the product"


class LastEventIdInvalid(Malformed):
    """A Last-Event-ID that is no position of a stream."""

    code = "connector.last-event-id-invalid"
    title = "This is no id of an event"


class StreamEnded(Conflict):
    """The transfer under which a stream was followed has been terminated."""

    code = "connector.stream-ended"
    title = "Nothing more comes of this stream"


class StreamUnreadable(DataspaceError):
    """What arrives is no stream of events, or has one without an end."""

    code = "connector.stream-unreadable"
    status = 502
    title = "The stream cannot be read"


class StreamUnknown(NotFound):
    """No resource of this name is a stream of appended events."""

    code = "connector.stream-unknown"


class TableUnknown(NotFound):
    """The product has no such table, or the table no such column."""

    code = "connector.table-unknown"


class TablePlaceInvalid(Malformed):
    """A place that is none of this table, its columns and its present state."""

    code = "connector.table-place-invalid"
    title = "The table cannot be gone on with from there"


class ApiUnavailable(Unavailable):
    """The provider's own API does not answer in time, or not in HTTP."""

    code = "connector.api-unavailable"
    status = 502
    title = "The provider's API does not answer"


class AnswerTooLarge(DataspaceError):
    """The provider's API answers more than the product allows at once."""

    code = "connector.answer-too-large"
    status = 502
    title = "The answer is too large"
