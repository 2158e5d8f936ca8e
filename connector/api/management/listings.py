"""What every listing is asked: which page, and which items.

An unknown filter is refused, not passed over: a mistyped one would otherwise show everything.
"""

from pydantic import Field

from connector.contracts.agreements import AgreementState
from connector.management.paging import DEFAULT_LIMIT, MAX_CURSOR_CHARACTERS, MAX_LIMIT, Cursor
from connector.protocol import negotiation, transfer
from connector.protocol.processes import Role
from hexi.canonical import Wire

_NAME = Field(default=None, min_length=1, max_length=200)


class Paged(Wire):
    """A page of a listing."""

    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Items on the page. 每页条数。")
    cursor: str | None = Field(
        default=None, max_length=MAX_CURSOR_CHARACTERS, description="The `next` of the page before. 上一页的 next。"
    )

    @property
    def after(self) -> Cursor | None:
        """Where the page before ended. Raises `CursorInvalid`."""
        return Cursor.read(self.cursor) if self.cursor is not None else None


class _Processes(Paged):
    role: Role | None = Field(default=None, description="Which end we are. 本方角色。")
    counterparty: str | None = Field(default=None, max_length=2_048, description="The other end's DID. 对方。")
    product: str | None = _NAME
    agreement: str | None = _NAME

    def _columns(self, state: str | None) -> dict[str, str]:
        asked = {
            "state": state,
            "role": self.role,
            "counterparty": self.counterparty,
            "dataset_id": self.product,
            "agreement_id": self.agreement,
        }
        return {column: str(value) for column, value in asked.items() if value is not None}


class NegotiationsAsked(_Processes):
    """Which negotiations."""

    state: negotiation.State | None = None

    @property
    def wanted(self) -> dict[str, str]:
        """The columns and values asked for."""
        return self._columns(self.state)


class TransfersAsked(_Processes):
    """Which transfers."""

    state: transfer.State | None = None

    @property
    def wanted(self) -> dict[str, str]:
        """The columns and values asked for."""
        return self._columns(self.state)


class AgreementsAsked(Paged):
    """Which agreements."""

    state: AgreementState | None = Field(default=None, description="ENDED: those that were ended. 状态。")
    role: Role | None = Field(default=None, description="Which end we are. 本方角色。")
    counterparty: str | None = Field(default=None, max_length=2_048, description="The other end's DID. 对方。")
    product: str | None = _NAME

    @property
    def wanted(self) -> dict[str, str]:
        """The columns and values asked for, but for the product, which stands with the negotiation."""
        asked = {"state": self.state, "role": self.role, "counterparty": self.counterparty}
        return {column: str(value) for column, value in asked.items() if value is not None}


class ProductsAsked(Paged):
    """Which products."""

    resource: str | None = _NAME


class EvidenceAsked(Paged):
    """Which entries."""

    kind: str | None = _NAME
    subject: str | None = _NAME
    waiting: bool | None = Field(default=None, description="Only entries whose receipt has not come (or only others).")

    @property
    def wanted(self) -> dict[str, str]:
        """The columns and values asked for."""
        asked = {"kind": self.kind, "subject": self.subject}
        return {column: value for column, value in asked.items() if value is not None}
