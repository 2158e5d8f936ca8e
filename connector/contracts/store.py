"""Reading and writing the business tables. Values in, values out; the transaction is the caller's.

Rows that decide how much may still be used are locked while they are looked at (PostgreSQL; on SQLite every writer has
the whole database), so that two transfers never grant the same runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy import bindparam, update
from sqlmodel import Session, SQLModel, col, select

from connector.contracts.agreements import Agreement, AgreementState
from connector.contracts.errors import (
    AgreementUnknown,
    RequestIdTaken,
    ResourceTaken,
    ResourceUnknown,
    RunUnknown,
)
from connector.contracts.resources import Resource
from connector.contracts.tables import (
    AgreementRow,
    AskedRow,
    EvidenceRow,
    PermitRow,
    RequestRow,
    ResourceRow,
)
from hexi.canonical import Json, encode, parse
from hexi.database import insert_if_new
from ledger.documents import SignedDocument
from sandbox.permits import Permit

# The most rows a listing of the management API gives out at once.
MAX_LISTED = 1_000


# Every negotiation costs a handful of these, so they are built once; see `connector.protocol.store`.
_AGREEMENT, _EVIDENCE, _REQUEST, _ASKED = (
    SQLModel.metadata.tables[str(row.__tablename__)] for row in (AgreementRow, EvidenceRow, RequestRow, AskedRow)
)
_READ_AGREEMENT = sql.select(_AGREEMENT).where(_AGREEMENT.c.id == bindparam("of_id"))
_LOCK_AGREEMENT = _READ_AGREEMENT.with_for_update()
_AGREEMENT_OF = sql.select(_AGREEMENT).where(_AGREEMENT.c.negotiation == bindparam("negotiation"))
_SET_AGREEMENT_STATE = (
    update(_AGREEMENT)
    .where(_AGREEMENT.c.id == bindparam("of_id"))
    .values(state=bindparam("state"))
    .returning(_AGREEMENT.c.id)
)
_CONCLUDE_AGREEMENT = _SET_AGREEMENT_STATE.values(signed=bindparam("signed"))
_CONCLUDE_NEGOTIATED = (
    update(_AGREEMENT)
    .where(_AGREEMENT.c.negotiation == bindparam("of_negotiation"), _AGREEMENT.c.state == AgreementState.AGREED)
    .values(state=AgreementState.CONCLUDED)
    .returning(_AGREEMENT.c.id)
)
_OF_EVIDENCE = (_EVIDENCE.c.kind == bindparam("of_kind"), _EVIDENCE.c.subject == bindparam("of_subject"))
_READ_EVIDENCE = sql.select(_EVIDENCE).where(*_OF_EVIDENCE)
_SET_RECEIPT = update(_EVIDENCE).where(*_OF_EVIDENCE).values(receipt=bindparam("receipt"))


@dataclass(frozen=True)
class HeldAgreement:
    """An agreement with our role in it, its state, and the signatures it has so far."""

    agreement: Agreement
    role: str
    counterparty: str
    state: AgreementState
    negotiation: str
    signed: SignedDocument
    created: str = ""


@dataclass(frozen=True)
class GrantedPermit:
    """A permit issued for a transfer; `ended` says why it no longer counts."""

    id: str
    transfer: str
    runs: int
    ended: str | None


@dataclass(frozen=True)
class RecordedEvidence:
    """A sealed entry, and the ledger's receipt once it came."""

    kind: str
    subject: str
    digest: str
    entry: str
    receipt: Json
    created: str = ""


@dataclass(frozen=True)
class Asked:
    """A run or encrypted sum asked for from here; `answer` is None until it came."""

    id: str
    digest: str
    request: str
    answer: Json


# Resources


def add_resource(session: Session, resource: Resource, at: str) -> None:
    """Keep `resource`. The same again does nothing; other tables under the name raise `ResourceTaken`."""
    tables = _text({name: str(path) for name, path in resource.tables.items()})
    source = None if resource.source is None else _text(dict(resource.source))
    row = session.get(ResourceRow, resource.name)
    if row is not None and (row.tables, row.source) != (tables, source):
        raise ResourceTaken(f"{resource.name} stands for something else already; choose another name")
    if row is None:
        session.add(ResourceRow(name=resource.name, tables=tables, source=source, created=at))


def resource(session: Session, name: str) -> Resource:
    """The resource `name`. Raises `ResourceUnknown`."""
    row = session.get(ResourceRow, name)
    if row is None:
        raise ResourceUnknown(f"there is no resource {name}; add it with: hexi connector resource add")
    return _resource(row)


def resources(session: Session) -> list[Resource]:
    """All resources, by name."""
    return [_resource(row) for row in session.exec(select(ResourceRow).order_by(col(ResourceRow.name)))]


# Agreements


def add_agreement(session: Session, held: HeldAgreement, at: str) -> bool:
    """Keep a new agreement; False, and nothing done, if its id or its negotiation has one."""
    row = {
        "id": held.agreement.id,
        "negotiation": held.negotiation,
        "role": held.role,
        "counterparty": held.counterparty,
        "state": held.state,
        "odrl": _text(held.agreement.to_odrl()),
        "signed": _text(held.signed.to_json()),
        "created": at,
    }
    return insert_if_new(session, _AGREEMENT, row)


def conclude_agreement(session: Session, agreement_id: str, signed: SignedDocument) -> None:
    """The agreement is final. Raises `AgreementUnknown`."""
    concluded = {"of_id": agreement_id, "state": AgreementState.CONCLUDED, "signed": _text(signed.to_json())}
    _check_known(session.connection().execute(_CONCLUDE_AGREEMENT, concluded).first(), agreement_id)


def conclude_negotiated(session: Session, negotiation: str) -> bool:
    """The agreement that came out of `negotiation` is final, as it is signed; False if none there is AGREED."""
    return session.connection().execute(_CONCLUDE_NEGOTIATED, {"of_negotiation": negotiation}).first() is not None


def set_agreement_state(session: Session, agreement_id: str, state: AgreementState) -> None:
    """Record an agreement's state. Raises `AgreementUnknown`."""
    entered = {"of_id": agreement_id, "state": state}
    _check_known(session.connection().execute(_SET_AGREEMENT_STATE, entered).first(), agreement_id)


def agreement(session: Session, agreement_id: str, *, lock: bool = False) -> HeldAgreement:
    """The agreement `agreement_id`. Raises `AgreementUnknown`."""
    wanted = _LOCK_AGREEMENT if lock else _READ_AGREEMENT
    return held_of(_check_known(session.connection().execute(wanted, {"of_id": agreement_id}).first(), agreement_id))


def agreement_of(session: Session, negotiation: str) -> HeldAgreement | None:
    """The agreement that came out of a negotiation, if one did."""
    row = session.connection().execute(_AGREEMENT_OF, {"negotiation": negotiation}).first()
    return held_of(row) if row else None


# Permits


def add_permit(session: Session, permit: Permit, transfer: str, jws: str, at: str) -> None:
    """Keep a permit issued for `transfer`."""
    session.add(
        PermitRow(
            id=permit.id,
            transfer=transfer,
            agreement=permit.agreement,
            order_id=permit.order,
            runs=permit.runs,
            used=None,
            jws=jws,
            ended=None,
            created=at,
        )
    )


def permit_of(session: Session, transfer: str) -> GrantedPermit | None:
    """The newest permit of `transfer`."""
    row = session.exec(
        select(PermitRow).where(PermitRow.transfer == transfer).order_by(col(PermitRow.created).desc())
    ).first()
    return GrantedPermit(row.id, row.transfer, row.runs, row.ended) if row else None


def end_permit(session: Session, permit_id: str, reason: str, used: int) -> None:
    """The permit counts no longer, and of its runs only `used` stay granted."""
    row = session.exec(select(PermitRow).where(PermitRow.id == permit_id).with_for_update()).one()
    row.ended, row.used = reason, used
    session.add(row)


# Evidence


def add_evidence(session: Session, kind: str, subject: str, digest: str, entry: str, at: str) -> bool:
    """Keep a sealed entry that is on its way to the ledger; False, and nothing done, if there is one of this kind."""
    row = {"kind": kind, "subject": subject, "digest": digest, "entry": entry, "receipt": None, "created": at}
    return insert_if_new(session, _EVIDENCE, row)


def evidence(session: Session, kind: str, subject: str) -> RecordedEvidence | None:
    """The entry of this kind about this subject, if one was sealed here."""
    row = session.connection().execute(_READ_EVIDENCE, {"of_kind": str(kind), "of_subject": subject}).first()
    return recorded_of(row) if row else None


def set_receipt(session: Session, kind: str, subject: str, receipt: Json) -> None:
    """Keep the ledger's receipt for an entry of ours."""
    received = {"of_kind": kind, "of_subject": subject, "receipt": _text(receipt)}
    session.connection().execute(_SET_RECEIPT, received)


# What the management client asked for


def process_asked(session: Session, kind: str, request_id: str, digest: str) -> str | None:
    """The process started for this request id. None: none was, and this transaction has taken the id.

    Who asks for the same at the same time waits for it. Raises `RequestIdTaken` if the id stands for something else.
    """
    if insert_if_new(session, _REQUEST, {"kind": kind, "id": request_id, "digest": digest, "process": ""}):
        return None
    row = session.get_one(RequestRow, (kind, request_id))
    if row.digest != digest:
        raise RequestIdTaken(f"the id {request_id} was used for another {kind}; choose a fresh one")
    return row.process


def set_process_asked(session: Session, kind: str, request_id: str, process: str) -> None:
    """Remember which process a request id, taken by this transaction, started."""
    started = update(RequestRow).where(col(RequestRow.kind) == kind, col(RequestRow.id) == request_id)
    session.exec(started.values(process=process).execution_options(synchronize_session=False))


def add_asked(session: Session, kind: str, asked: Asked, at: str) -> Asked:
    """Keep a question before it is sent, and give back what is kept: the same question asked before keeps its request.

    Raises `RequestIdTaken` when the id stands for another question.
    """
    fresh = {"id": asked.id, "kind": kind, "digest": asked.digest, "request": asked.request, "created": at}
    if insert_if_new(session, _ASKED, {**fresh, "answer": None}):  # who asks the same at the same time waits for it
        return asked
    row = session.get_one(AskedRow, asked.id)
    if (row.kind, row.digest) != (kind, asked.digest):
        raise RequestIdTaken(f"the id {asked.id} was used for another question; choose a fresh one")
    return _asked(row)


def set_answer(session: Session, asked_id: str, answer: Json) -> None:
    """Keep the answer to a question; the first one stays."""
    row = session.exec(select(AskedRow).where(AskedRow.id == asked_id).with_for_update()).one()
    if row.answer is None:
        row.answer = _text(answer)
        session.add(row)


def asked(session: Session, kind: str, asked_id: str) -> Asked:
    """A question asked from here. Raises `RunUnknown`."""
    row = session.get(AskedRow, asked_id)
    if row is None or row.kind != kind:
        raise RunUnknown(f"no {kind} {asked_id} was asked for from here")
    return _asked(row)


def _text(value: Json) -> str:
    return encode(value).decode()


def _resource(row: ResourceRow) -> Resource:
    tables: Mapping[str, str] = parse(row.tables)
    source = parse(row.source) if row.source else None
    return Resource(row.name, {name: Path(path) for name, path in tables.items()}, source)


def _check_known(row: Any, agreement_id: str) -> Any:
    if row is None:
        raise AgreementUnknown(f"this connector holds no agreement {agreement_id}")
    return row


def held_of(row: Any) -> HeldAgreement:
    """The value of a row."""
    odrl: dict[str, Any] = parse(row.odrl)
    return HeldAgreement(
        agreement=Agreement.from_odrl(odrl),
        role=row.role,
        counterparty=row.counterparty,
        state=AgreementState(row.state),
        negotiation=row.negotiation,
        signed=SignedDocument.from_json(parse(row.signed)),
        created=row.created,
    )


def recorded_of(row: Any) -> RecordedEvidence:
    """The value of a row."""
    receipt = parse(row.receipt) if row.receipt else None
    return RecordedEvidence(row.kind, row.subject, row.digest, row.entry, receipt, row.created)


def _asked(row: AskedRow) -> Asked:
    return Asked(row.id, row.digest, row.request, parse(row.answer) if row.answer else None)
