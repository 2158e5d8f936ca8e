"""Reading and writing what is delivered. Values in, values out; the transaction is the caller's."""

from dataclasses import dataclass, fields
from typing import Any

from sqlmodel import Session, col, select

from connector.delivery_tables import HandoverRow


@dataclass(frozen=True)
class Handover:
    """How far the present download of a transfer is, and which token counts for it. `volume` is in bytes."""

    transfer: str
    serial: int = 0
    serial_shown: bool = True
    begun: bool = False
    volume: int = 0
    finished: bool = False


def handover(session: Session, transfer: str, *, lock: bool = False) -> Handover:
    """The handover of a transfer, with `lock` held until the transaction ends."""
    wanted = select(HandoverRow).where(col(HandoverRow.transfer) == transfer)
    row = session.exec(wanted.with_for_update() if lock else wanted).first()
    return Handover(transfer) if row is None else Handover(**_members(row, Handover))


def save_handover(session: Session, handover: Handover) -> None:
    """Write `handover`; the caller holds it, or it is new."""
    session.merge(HandoverRow(**_members(handover, Handover)))
    session.flush()


def _members(source: Any, cls: type[Any]) -> dict[str, Any]:
    return {field.name: getattr(source, field.name) for field in fields(cls)}
