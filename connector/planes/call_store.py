"""Reading and writing the log of calls. Values in, values out; the transaction is the caller's."""

from dataclasses import asdict, dataclass, fields

from sqlmodel import Session, col, select, update

from connector.planes.call_tables import CallRow

# The most calls a listing gives out at once.
MAX_LISTED = 1_000


@dataclass(frozen=True)
class Call:
    """One call of an API product. `operation` is its method and the pattern it fits; sizes are in bytes.

    `status` is what the consumer was answered, None while the call is under way.
    """

    id: str
    transfer: str
    operation: str
    begun: str
    request_bytes: int = 0
    answer_bytes: int = 0
    status: int | None = None
    milliseconds: int | None = None


def add_call(session: Session, call: Call) -> None:
    """Keep a call that begins."""
    session.add(CallRow(**asdict(call)))
    session.flush()


def end_call(session: Session, call_id: str, status: int, answer_bytes: int, milliseconds: int) -> None:
    """Record what came of a call."""
    values = {"status": status, "answer_bytes": answer_bytes, "milliseconds": milliseconds}
    statement = update(CallRow).where(col(CallRow.id) == call_id).values(**values)
    session.exec(statement.execution_options(synchronize_session=False))


def calls(session: Session, transfer: str) -> list[Call]:
    """The newest calls under a transfer."""
    wanted = select(CallRow).where(CallRow.transfer == transfer).order_by(col(CallRow.begun).desc()).limit(MAX_LISTED)
    return [Call(**{field.name: getattr(row, field.name) for field in fields(Call)}) for row in session.exec(wanted)]
