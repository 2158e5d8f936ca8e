"""What can go wrong in the management API beyond the matters it manages.

::

    DataspaceError
    |- Malformed
    |  |- CursorInvalid     422  a cursor that no page gave
    |  `- EventTypeUnknown  422  a subscription to events that never happen
    |- NotFound
    |  |- WebhookUnknown    404
    |  `- DeliveryUnknown   404
    |- Conflict
    |  `- TooManyWebhooks   409
    |- VerificationFailed
    |  `- WebhookSignatureInvalid  400  what came to a webhook was not signed by its connector (the receiver's word)
    `- Unavailable
       `- StillUnderWay     503  a process did not come to rest in the time given (the client's, not the server's)

Every code has its heading in ``docs/reference/errors/management.md``.
"""

from hexi.errors import Conflict, Malformed, NotFound, Unavailable, VerificationFailed


class CursorInvalid(Malformed):
    """A cursor that no page of this listing gave."""

    code = "connector.cursor-invalid"
    title = "This is no cursor"


class EventTypeUnknown(Malformed):
    """A type that no event is of: its subscription would never hear anything."""

    code = "connector.event-type-unknown"
    title = "There are no such events"


class WebhookUnknown(NotFound):
    """No webhook with this id."""

    code = "connector.webhook-unknown"
    title = "There is no such webhook"


class DeliveryUnknown(NotFound):
    """No event with this id was queued for the webhook."""

    code = "connector.delivery-of-event-unknown"
    title = "There is no such delivery"


class TooManyWebhooks(Conflict):
    """As many webhooks as this connector serves."""

    code = "connector.too-many-webhooks"
    title = "There are too many webhooks"


class WebhookSignatureInvalid(VerificationFailed):
    """A delivery that was not signed with the secret of its webhook, or too long ago."""

    code = "connector.webhook-signature-invalid"
    title = "The delivery is not from the connector"


class StillUnderWay(Unavailable):
    """A process did not come to rest in the time given; it goes on all the same."""

    code = "connector.still-under-way"
    title = "Still under way"
