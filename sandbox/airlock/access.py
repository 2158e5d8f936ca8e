"""Who reviews: the token a reviewer was told, shown as a bearer. In a route's signature it stands as `Reviewing`."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from sandbox.airlock.airlock import Airlock
from sandbox.airlock.decisions import Reviewer

SCHEME = "Bearer "
# For the API's description; the check is `reviewer`.
_bearer = HTTPBearer(
    scheme_name="reviewerToken",
    description="The token told when the provider added the reviewer.",
    auto_error=False,
)


def reviewer(request: Request, _described: Annotated[object, Depends(_bearer)]) -> Reviewer:
    """The reviewer whose token is shown. Raises `ReviewerUnknown`."""
    shown = request.headers.get("Authorization", "")
    airlock: Airlock = request.app.state.sandbox.airlock
    return airlock.authenticate(shown.removeprefix(SCHEME) if shown.startswith(SCHEME) else "")


Reviewing = Annotated[Reviewer, Depends(reviewer)]
