"""Webhooks: what happens here is told to programs of this participant's own, as CloudEvents 1.0.

`events` says what an event is, `signing` how it is signed and how whoever receives it checks that, `subscriptions` who
is told, `sender` how it gets there. An event is queued in the transaction of the change it tells, so none is lost
and none is told that did not happen; it is delivered at least once, every attempt with the same id.
"""
