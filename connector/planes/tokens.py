"""Access to a pull: short-lived tokens, and what renews them.

Both are JWS by the provider's key, each of a type of its own, bound to the transfer, to the consumer and to a serial
number. What is kept is the serial: a token of an older one counts no more, and no secret lies in the database. Whether
the transfer is served at all is asked of its grant, each time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hexi.canonical import instant, parse_instant
from hexi.errors import DataspaceError, Unauthenticated
from hexi.keys import verify
from registry.identity import Identity

ACCESS_TYPE = "hexi-data-access+jws"
REFRESH_TYPE = "hexi-data-refresh+jws"
# How long a token opens a door, in seconds. A response that has begun goes on past it, while the grant lasts.
ACCESS_SECONDS = 600
# How long it can be renewed, in days; a transfer that was left for longer is asked for again.
REFRESH_DAYS = 30


class DataTokenInvalid(Unauthenticated):
    """No token, or one that does not hold for this transfer now."""

    code = "connector.data-token-invalid"
    title = "This token does not open these data"


@dataclass(frozen=True)
class DataToken:
    """What a token says, once it holds."""

    transfer: str
    holder: str
    serial: int


def seal_token(token: DataToken, typ: str, identity: Identity, now: datetime) -> str:
    """The token as a JWS of type `typ`."""
    life = timedelta(seconds=ACCESS_SECONDS) if typ == ACCESS_TYPE else timedelta(days=REFRESH_DAYS)
    payload: dict[str, Any] = {
        "type": typ.removesuffix("+jws"),
        "transfer": token.transfer,
        "holder": token.holder,
        "serial": token.serial,
        "expires": instant(now + life),
    }
    return identity.key.sign(payload, typ=typ, kid=identity.kid)


def open_token(shown: str, typ: str, transfer: str, identity: Identity, now: datetime) -> DataToken:
    """What `shown` says. Raises `DataTokenInvalid`.

    (1) It is a JWS of this type by our own key. (2) It is for this transfer. (3) It has not expired. The caller still
    owes: whether its serial counts, and whether the transfer is served.
    """
    try:
        payload: Any = verify(shown, typ=typ, resolve=lambda _kid: identity.key.public)  # (1)
        token = DataToken(str(payload["transfer"]), str(payload["holder"]), int(payload["serial"]))
        expires = parse_instant(str(payload["expires"]))
    except (DataspaceError, KeyError, TypeError, ValueError) as error:
        raise DataTokenInvalid("show the token from the transfer's data address") from error
    if token.transfer != transfer:  # (2)
        raise DataTokenInvalid("this token is for another transfer")
    if now >= expires:  # (3)
        raise DataTokenInvalid("this token has expired; renew it at the refreshEndpoint of the data address")
    return token


def bearer(header: str | None) -> str:
    """The token in an ``Authorization`` header; some clients leave the scheme away."""
    return (header or "").removeprefix("Bearer ").strip()
