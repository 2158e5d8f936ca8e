"""Authorisation in the signature: an endpoint takes a `Member` or an `Operator`, or is public.

    @router.post("/identifiers")
    def allocate(caller: Member, session: Write) -> ...

Name the caller before the session: it is then known before a transaction (and a pooled connection) is taken.
The application keeps its `CallerVerifier`, a `PresentationVerifier`, in ``app.state.presentations``.
"""

from typing import Annotated, Protocol

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from registry.errors import OperatorOnly, RoleMissing
from registry.participants import Role
from registry.presentation import Caller

# Says so in the OpenAPI description; the presentation itself is read by `PresentationVerifier`.
_SCHEME = HTTPBearer(
    scheme_name="presentation",
    description="A fresh JWS of type hexi-presentation+jws, signed by the caller for this service, good for a minute.",
    auto_error=False,
)


class CallerVerifier(Protocol):
    """Says who calls, from the ``Authorization`` header alone."""

    def verify(self, authorization_header: str | None) -> Caller:
        """Who calls. Raises a `DataspaceError` for whom it does not let in."""


def member(request: Request, _shown: Annotated[object, Security(_SCHEME)] = None) -> Caller:
    """Any active participant, the operator included. Raises what the application's `CallerVerifier` raises."""
    presentations: CallerVerifier = request.app.state.presentations
    return presentations.verify(request.headers.get("Authorization"))


Member = Annotated[Caller, Depends(member)]


def operator(caller: Member) -> Caller:
    """The operator of the space. Raises `OperatorOnly`, and what `member` raises."""
    if not caller.is_operator:
        raise OperatorOnly("only the operator of the space may do this")
    return caller


Operator = Annotated[Caller, Depends(operator)]


def check_role(caller: Caller, role: Role) -> None:
    """Raise `RoleMissing` unless `caller` was registered for `role`."""
    if role not in caller.participant.roles:
        raise RoleMissing(f"{caller.did} is not registered as a {role}; apply for that role with the operator")
