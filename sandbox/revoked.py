"""How a run ends that was interrupted, and whose permit was taken back before anybody took it up again. Pure.

It ends refused, and counts: it had begun. An encrypted sum may have gone further. Its number is encrypted and kept
before it is sent, so of one that was kept nobody here knows whether the aggregation point has it. It is not sent again,
and what may have left is named: the receipt has the ciphertext's digest as its output, and whether the point has joined
it stands in the point's own receipt, among its contributions.

>>> from sandbox.messages import to_base64
>>> revoked(None, None).output, revoked(to_base64(b"ciphertext"), "2").output == digest_bytes(b"ciphertext")
(None, True)
"""

from hexi.canonical import digest_bytes, parse
from sandbox.messages import from_base64
from sandbox.reasons import Reason
from sandbox.receipts import REFUSED, Happened

NOTHING_LEFT = Reason(
    "sandbox.permit-revoked",
    "the provider took the permit back while this run was interrupted; it had begun, so it counts, and has no answer",
)
PERHAPS_SENT = Reason(
    "sandbox.perhaps-sent",
    "the provider took the permit back while this run was interrupted; its encrypted number may have been sent before, "
    "and is not sent again; the aggregation point's receipt lists the contributions that arrived, by digest",
)


def revoked(ciphertext: str | None, isolation: str | None) -> Happened:
    """What the receipt says. `ciphertext` is what was kept (base64), `isolation` what its number was computed in."""
    if ciphertext is None:
        return Happened(REFUSED, (NOTHING_LEFT,))
    sent = digest_bytes(from_base64(ciphertext))
    return Happened(REFUSED, (PERHAPS_SENT,), isolation=parse(isolation or "null"), output=sent)
