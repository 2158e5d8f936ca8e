"""HttpData-PUSH: the provider sends to the place that the consumer names in its request.

Two kinds of places are known. Any HTTP endpoint gets one POST (or PUT) of everything, as EDC's sink expects. A
connector of our own kind says that it is ``urn:hexi:resumable``: it is asked how much it has, and gets the rest.
The address was chosen by somebody else, so it passes the guard that callbacks pass (`connector.protocol.callbacks`).
"""

import re
from dataclasses import dataclass

from connector.planes import Refused
from connector.protocol.callbacks import check_callback
from connector.protocol.errors import CallbackRefused
from hexi.canonical import Json

FORMAT = "HttpData-PUSH"
RESUMABLE = "urn:hexi:resumable"
METHODS = frozenset({"POST", "PUT"})
# Header fields that our own HTTP library writes; a destination that names one of them wants to change the message.
_NOT_THEIRS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "content-type", "te", "trailer", "upgrade", "expect"}
)
_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_FIELD_VALUE = re.compile(r"[\x20-\x7e]{0,8192}")


@dataclass(frozen=True)
class Destination:
    """Where a push goes: the URL, the method, the header field it wants to see, and if the rest can be sent later."""

    url: str
    method: str
    headers: dict[str, str]
    resumable: bool


def read_destination(told: dict[str, Json] | dict[str, str], *, unsafe_allow_loopback: bool) -> Destination:
    """The destination in a data address. Raises `Refused` for none, or for one that is not sent to."""
    url = told.get("baseUrl") or told.get("endpoint")
    if not isinstance(url, str):
        raise Refused("a push needs the place to send to: a dataAddress with its baseUrl")
    try:
        url = check_callback(url, unsafe_allow_loopback=unsafe_allow_loopback)
    except CallbackRefused as error:
        raise Refused(f"data are not sent there: {error.detail}") from error
    method = str(told.get("method") or "POST").upper()
    if method not in METHODS:
        raise Refused(f"data are sent by {' or '.join(sorted(METHODS))}, not by {method[:20]}")
    return Destination(url, method, _headers(told), told.get(RESUMABLE) == "true")


def _headers(told: dict[str, Json] | dict[str, str]) -> dict[str, str]:
    name = str(told.get("authKey") or "Authorization")
    value = told.get("authCode") or told.get("authorization")
    if value is None:
        return {}
    if not _FIELD_NAME.fullmatch(name) or name.lower() in _NOT_THEIRS:
        raise Refused("authKey is no header field that a destination may ask for")
    if not isinstance(value, str) or not _FIELD_VALUE.fullmatch(value):
        raise Refused("authCode is no value of a header field")
    return {name: value}
