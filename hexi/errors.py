"""Errors as facts, each with a stable code, rendered on the wire as problem+json (RFC 9457).

::

    DataspaceError
    |- Malformed           422  the request cannot be read as what it should be
    |- Unauthenticated     401  we do not know who asks
    |- Forbidden           403  we know, and the answer is no
    |- NotFound            404
    |- Conflict            409  it contradicts the state things are in
    |- TooLarge            413
    |- Unavailable         503  try again later
    |- VerificationFailed  400  a signature, proof or credential does not hold
    `- RemoteProblem        -   another service refused; its code and status are kept

Each package subclasses these in its own ``errors.py`` and sets `code`. Every code has a heading in
``docs/reference/errors.md``. A message says what was wrong, where, and what to do; it never carries a secret.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

PROBLEM_TYPE = "application/problem+json"


class DataspaceError(Exception):
    """The root. `detail` is for people; `code` is for programs and never changes; `context` is extra public members."""

    code: ClassVar[str] = "hexi.internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, detail: str, **context: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.context = context

    def problem(self) -> dict[str, Any]:
        """The problem+json members of this error."""
        return {
            "type": f"urn:hexi:error:{self.code}",
            "code": self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.context,
        }


class Malformed(DataspaceError):
    """The input cannot be read as what it should be."""

    code = "hexi.malformed"
    status = 422
    title = "The request is malformed"


class Unauthenticated(DataspaceError):
    """No identity, or one that does not hold."""

    code = "hexi.unauthenticated"
    status = 401
    title = "Who are you?"


class Forbidden(DataspaceError):
    """The caller is known and may not do this."""

    code = "hexi.forbidden"
    status = 403
    title = "You may not do this"


class NotFound(DataspaceError):
    """There is no such thing, or none that the caller may know of."""

    code = "hexi.not-found"
    status = 404
    title = "There is no such thing"


class Conflict(DataspaceError):
    """The request contradicts the state things are in."""

    code = "hexi.conflict"
    status = 409
    title = "This does not fit the present state"


class TooLarge(DataspaceError):
    """A named limit was exceeded."""

    code = "hexi.too-large"
    status = 413
    title = "Too large"


class Unavailable(DataspaceError):
    """Something we need does not answer; the same request may succeed later."""

    code = "hexi.unavailable"
    status = 503
    title = "Not available just now"


class VerificationFailed(DataspaceError):
    """A signature, proof, credential or document does not hold."""

    code = "hexi.verification-failed"
    status = 400
    title = "This does not verify"


class RemoteProblem(DataspaceError):
    """Another service answered with a problem; `code` and `status` are that service's."""

    title = "Another service refused"

    def __init__(self, status: int, problem: Mapping[str, Any], service: str) -> None:
        members = {k: v for k, v in problem.items() if k not in {"type", "code", "title", "status", "detail"}}
        super().__init__(str(problem.get("detail", f"{service} answered {status}")), **{**members, "service": service})
        self.code = str(problem.get("code", "hexi.remote"))  # type: ignore[misc]
        self.status = status  # type: ignore[misc]
