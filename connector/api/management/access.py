"""Who may use the management API: whoever shows the token in the connector's home folder."""

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from connector.contracts.errors import ManagementTokenInvalid

# Every router of the API has it itself: logs and metrics name a route by its own path.
PREFIX = "/management"
SCHEME = "Bearer "

# For the API's description; the check is `owner`.
_bearer = HTTPBearer(
    scheme_name="managementToken",
    description="The content of the file management.token in the connector's home folder.",
    auto_error=False,
)


async def owner(request: Request, _described: Annotated[object, Depends(_bearer)]) -> None:
    """Raise `ManagementTokenInvalid` unless the caller shows this connector's management token.

    It is compared in constant time, where the request is read: that is too little to send to a thread.
    """
    shown = request.headers.get("Authorization", "")
    expected: str = SCHEME + request.app.state.management_token
    if not hmac.compare_digest(shown.encode(), expected.encode()):
        raise ManagementTokenInvalid("show the token from the file management.token in the connector's home folder")


Owner = Annotated[None, Depends(owner)]
