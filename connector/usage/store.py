"""Reading and writing grants and uses. Values in, values out; the transaction is the caller's.

Locks are taken in the order process, agreement, grant. Whoever counts holds the agreement (`hold_agreement`), so the
sums over its transfers are true until the transaction ends.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlmodel import Session, col, delete, func, select, update

from connector.contracts.agreements import AgreementState
from connector.contracts.entitlements import Used
from connector.contracts.tables import AgreementRow, PermitRow
from connector.policies.evaluation import Party
from connector.usage.grants import Grant, GrantState, Paid
from connector.usage.tables import GrantRow, UseRow
from hexi.canonical import Json, encode, parse

_PLAIN = ("transfer", "agreement", "product", "version", "format", "count", "volume", "records", "under_way",
          "digest", "ended")  # fmt: skip


def hold_agreement(session: Session, agreement: str) -> AgreementState | None:
    """The state of an agreement, locked until the transaction ends; None if there is none."""
    wanted = select(AgreementRow.state).where(AgreementRow.id == agreement).with_for_update()
    state = session.exec(wanted).first()
    return None if state is None else AgreementState(state)


def add_grant(session: Session, grant: Grant, at: str) -> None:
    """Keep a new grant."""
    session.add(
        GrantRow(
            **{name: getattr(grant, name) for name in _PLAIN},
            state=grant.state,
            party=None if grant.party is None else _text(_party_json(grant.party)),
            order_id=grant.paid.order if grant.paid else None,
            paid=None if grant.paid is None else _text(vars(grant.paid)),
            created=at,
            updated=at,
        )
    )
    session.flush()


def grant(session: Session, transfer: str, *, lock: bool = False) -> Grant | None:
    """The grant of a transfer, with `lock` held until the transaction ends."""
    wanted = select(GrantRow).where(GrantRow.transfer == transfer).execution_options(populate_existing=True)
    row = session.exec(wanted.with_for_update() if lock else wanted).first()
    return None if row is None else _value(row)


def active(session: Session, transfers: Iterable[str]) -> set[str]:
    """Which of these transfers are served now."""
    wanted = select(GrantRow.transfer).where(col(GrantRow.transfer).in_(list(transfers)))
    return set(session.exec(wanted.where(GrantRow.state == GrantState.ACTIVE)))


def grants_in(session: Session, states: Iterable[GrantState], after: str, limit: int) -> list[Grant]:
    """Grants in one of `states`, by transfer, those after the transfer named."""
    wanted = select(GrantRow).where(col(GrantRow.state).in_(list(states)), GrantRow.transfer > after)
    return [_value(row) for row in session.exec(wanted.order_by(col(GrantRow.transfer)).limit(limit))]


def grants_of(session: Session, agreement: str) -> list[Grant]:
    """The grants under an agreement."""
    wanted = select(GrantRow).where(GrantRow.agreement == agreement).order_by(col(GrantRow.created))
    return [_value(row) for row in session.exec(wanted)]


def handed_over(session: Session, agreement: str) -> tuple[int, int]:
    """Bytes and records under an agreement, by all its grants."""
    volume, records = func.sum(GrantRow.volume), func.sum(GrantRow.records)
    wanted = select(func.coalesce(volume, 0), func.coalesce(records, 0)).where(GrantRow.agreement == agreement)
    found = session.exec(wanted).one()
    return int(found[0]), int(found[1])


def uses_since(session: Session, agreement: str, since: str) -> int:
    """Uses that began after `since`."""
    wanted = select(func.coalesce(func.sum(UseRow.count), 0))
    return int(session.exec(wanted.where(UseRow.agreement == agreement, UseRow.at > since)).one())


def add_use(session: Session, agreement: str, count: int, at: str, *, forget: str) -> None:
    """Note that uses began, and forget those before `forget`."""
    session.exec(delete(UseRow).where(col(UseRow.agreement) == agreement, col(UseRow.at) <= forget))
    session.add(UseRow(agreement=agreement, at=at, count=count))


def count_use(session: Session, transfer: str, amounts: Mapping[str, int], at: str) -> None:
    """Add to what was handed over: count, volume, records, under_way."""
    added = {name: getattr(GrantRow, name) + amount for name, amount in amounts.items()}
    _update(session, transfer, {**added, "updated": at})


def set_digest(session: Session, transfer: str, digest: str) -> None:
    """Keep the digest of the whole thing handed over."""
    _update(session, transfer, {"digest": digest})


def set_state(session: Session, transfer: str, state: GrantState, ended: str | None, at: str) -> None:
    """Record a grant's state. One that has ended stays ended, and keeps its first reason."""
    _update(session, transfer, {"state": state, "ended": ended, "updated": at})


def _update(session: Session, transfer: str, values: dict[str, Any]) -> None:
    statement = update(GrantRow).where(col(GrantRow.transfer) == transfer, col(GrantRow.state) != GrantState.ENDED)
    session.exec(statement.values(**values).execution_options(synchronize_session=False))


def _value(row: GrantRow) -> Grant:
    return Grant(
        **{name: getattr(row, name) for name in _PLAIN},
        state=GrantState(row.state),
        updated=row.updated,
        party=None if row.party is None else _party(parse(row.party)),
        paid=None if row.paid is None else Paid(**parse(row.paid)),
    )


def _party_json(party: Party) -> dict[str, Json]:
    return {**vars(party), "roles": sorted(party.roles)}


def _party(said: dict[str, Json]) -> Party:
    return Party(**{**said, "roles": frozenset(said["roles"])})


def _text(value: Json) -> str:
    return encode(value).decode()


def used(session: Session, agreement_id: str, order_id: str | None) -> Used:
    """The runs granted and the uses made under an agreement and of an order. Call with the agreement locked."""
    runs = func.coalesce(func.sum(func.coalesce(PermitRow.used, PermitRow.runs)), 0)
    uses = func.coalesce(func.sum(GrantRow.count), 0)
    of_agreement = session.exec(select(runs).where(PermitRow.agreement == agreement_id)).one()
    of_agreement += session.exec(select(uses).where(GrantRow.agreement == agreement_id)).one()
    of_order = 0
    if order_id is not None:
        of_order = session.exec(select(runs).where(PermitRow.order_id == order_id)).one()
        of_order += session.exec(select(uses).where(GrantRow.order_id == order_id)).one()
    return Used(int(of_agreement), int(of_order))
