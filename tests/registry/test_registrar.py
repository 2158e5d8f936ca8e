"""From application to revocation over HTTP, on both databases: every step leaves its evidence."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from hexi.canonical import digest
from hexi.client import ServiceClient
from hexi.errors import RemoteProblem
from hexi.keys import SigningKey, read_unverified
from ledger.documents import SignedDocument, verify_document
from ledger.entries import Kind as Event
from ledger.receipts import Receipt, verify_receipt
from registry import identifiers
from registry.app import create_app
from registry.client import RegistryClient
from registry.credentials import verify_membership
from registry.errors import StepImpossible
from registry.identifiers import Kind
from registry.identity import Identity
from registry.participants import ParticipantStatus, Role
from tests.registry.builders import (
    HOSPITAL,
    OPERATOR,
    PLANNER,
    SPACE_URL,
    Space,
    application,
    identity,
    participant_app,
    signed_product,
)


def refused(call: Any, *arguments: Any, **named: Any) -> str:
    """The code with which a call is refused."""
    with pytest.raises(RemoteProblem) as problem:
        call(*arguments, **named)
    return problem.value.code


def entries(space: Space, kind: Event) -> list[dict[str, Any]]:
    registrar = space.app.state.registry.registrar
    with space.database.reading() as session:
        return [logged.entry.payload() for logged in registrar.log.entries(session, kind=kind)]


def test_an_applicant_becomes_a_participant(each_space: Space) -> None:
    space, trust = each_space, each_space.app.state.registry.trust
    hospital = space.admit()
    found = hospital.participant(HOSPITAL)
    assert (found.name_zh, found.status, found.roles) == ("第一医院", ParticipantStatus.ACTIVE, {Role.PROVIDER})
    assert identifiers.check(found.identifier, Kind.CONNECTOR).place == "6210"
    assert trust.resolve(identity().kid) == identity().key.public
    [operator, entry] = entries(space, Event.PARTICIPANT_REGISTERED)
    assert operator["subject"] == operator["issuer"] == OPERATOR
    assert entry["facts"] == {"did": HOSPITAL, "identifier": found.identifier, "document": digest(found.document)}
    assert [p.did for p in hospital.participants()] == [OPERATOR, HOSPITAL]


def test_participants_are_listed_page_by_page(each_space: Space) -> None:
    space = each_space
    hospital = space.admit()
    listed = ServiceClient(f"{SPACE_URL}/registry", "the registry", transport=space.hosts)

    def page(**asked: Any) -> list[str]:
        return [item["did"] for item in listed.get("/participants", asked)["items"]]

    assert page(limit=1) == [OPERATOR]
    assert page(after=OPERATOR) == [HOSPITAL]
    assert page(after=HOSPITAL) == []
    assert refused(page, after="did:web:nobody.example") == "registry.participant-unknown"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry.client.PARTICIPANTS_PAGE", 1)
        assert [p.did for p in hospital.participants()] == [OPERATOR, HOSPITAL]


def test_the_same_application_again_changes_nothing(each_space: Space) -> None:
    space = each_space
    space.hosts.join("127.0.0.1:8081", participant_app(HOSPITAL))
    first = space.client().apply(application())
    assert first.state is ParticipantStatus.APPLIED
    assert first.credential is None
    assert space.client().apply(application()) == first
    assert refused(space.client().apply, application(name="Another name")) == "registry.application-conflict"
    approved = space.client(OPERATOR).approve(first.id)
    assert space.client().apply(application()) == approved == space.client().application(first.id)
    assert approved.credential is not None
    trust = space.app.state.registry.trust
    membership = verify_membership(approved.credential, HOSPITAL, trust, space.clock)
    assert membership.identifier == approved.identifier
    assert refused(space.client(OPERATOR).approve, first.id) == "registry.step-impossible"


def test_one_application_out_of_many_at_once(each_space: Space) -> None:
    space = each_space
    space.hosts.join("127.0.0.1:8081", participant_app(HOSPITAL))
    different = [application(contact=f"office {n}") for n in range(6)]

    def attempt(jws: str) -> str:
        try:
            return space.client().apply(jws).state
        except RemoteProblem as problem:
            return problem.code

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(attempt, different))
    assert sorted(answers) == ["applied", *["registry.application-conflict"] * 5]


def test_versions_published_at_once_stay_without_gaps_or_doubles(each_space: Space) -> None:
    hospital = each_space.admit()
    identifier = hospital.allocate()
    different = [signed_product(identifier=identifier, rows=1000 + n) for n in range(4)]

    def attempt(signed: SignedDocument) -> str:
        try:
            return f"v{hospital.publish(signed).version}"
        except RemoteProblem as problem:
            return problem.code

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(attempt, different))
    assert sorted(answers) == [*["registry.version-conflict"] * 3, "v1"]


def test_a_second_process_finds_the_operator_enrolled(each_space: Space) -> None:
    again = create_app(each_space.app.state.settings, clock=each_space.clock, transport=each_space.hosts)
    assert [p.did for p in each_space.client().participants()] == [OPERATOR]
    again.state.database.dispose()


def test_who_was_rejected_may_apply_anew(each_space: Space) -> None:
    space = each_space
    space.hosts.join("127.0.0.1:8081", participant_app(HOSPITAL))
    first = space.client().apply(application())
    turned_away = space.client(OPERATOR).reject(first.id, "no letter")
    assert (turned_away.state, turned_away.reason) == (ParticipantStatus.REJECTED, "no letter")
    second = space.client().apply(application())
    assert second.id != first.id
    listed = space.client(OPERATOR).applications()
    assert [(a.id, a.state, a.contact) for a in listed if a.did == HOSPITAL] == [
        (second.id, "applied", "data office, 0934-0000000"),
        (first.id, "rejected", "data office, 0934-0000000"),
    ]
    assert len(entries(space, Event.PARTICIPANT_REGISTERED)) == 1


def test_a_revocation_bites_at_once_and_for_good(each_space: Space) -> None:
    space = each_space
    hospital = space.admit()
    identifier = hospital.allocate()
    hospital.publish(signed_product(identifier=identifier))
    assert space.client().search().total == 1
    revoked = space.client(OPERATOR).revoke(HOSPITAL, "contract ended")
    assert revoked.status is ParticipantStatus.REVOKED
    assert refused(hospital.allocate) == "registry.participant-revoked"
    assert space.client().search().total == 0
    assert space.client().product(identifier).document["provider"] == HOSPITAL
    assert refused(space.client().apply, application(name="New name")) == "registry.application-conflict"
    assert refused(space.client(OPERATOR).revoke, HOSPITAL, "again") == "registry.step-impossible"
    [entry] = entries(space, Event.PARTICIPANT_REVOKED)
    assert entry["facts"] == {"did": HOSPITAL, "identifier": revoked.identifier}
    assert "contract ended" not in str(entry)
    trust = space.app.state.registry.trust
    assert trust.resolve_ever(identity().kid) == identity().key.public


def test_a_product_is_published_with_a_receipt_and_never_changes(each_space: Space) -> None:
    space = each_space
    hospital = space.admit()
    identifier = hospital.allocate()
    signed = signed_product(identifier=identifier)
    published = hospital.publish(signed)
    assert (published.version, published.digest) == (1, signed.digest)

    registry = space.app.state.registry
    receipt = Receipt.from_json(published.receipt)
    entry = verify_receipt(receipt, registry.registrar.log.vkey, registry.trust.resolve)
    assert (entry.kind, entry.subject, entry.digest) == (Event.PRODUCT_PUBLISHED, f"{identifier}#v1", signed.digest)
    assert entry.facts == {"provider": HOSPITAL, "version": 1}

    assert hospital.publish(signed_product(identifier=identifier)).receipt["index"] == receipt.index
    changed = signed_product(identifier=identifier, rows=1001)
    assert refused(hospital.publish, changed) == "registry.version-conflict"
    assert refused(hospital.publish, signed_product(identifier=identifier, version=3)) == "registry.version-not-next"

    second = signed_product(identifier=identifier, version=2, title={"zh": "住院结算", "en": "Inpatient claims"})
    assert hospital.publish(second).version == 2
    assert (
        verify_document(hospital.product(identifier), registry.trust.resolve, of_type="data-product") == second.document
    )
    assert hospital.product(identifier, 1).document == signed.document
    assert refused(hospital.product, identifier, 3) == "registry.product-unknown"
    [item] = hospital.search("住院").items
    assert (item["version"], item["digest"], item["providerName"]["zh"]) == (2, second.digest, "第一医院")
    assert hospital.search("门诊").total == 0


def test_a_product_that_is_not_the_callers_is_refused(space: Space) -> None:
    hospital, planner = space.admit(), space.admit(PLANNER, roles=("consumer",))
    other = space.admit("did:web:127.0.0.1%3A8083")
    identifier = hospital.allocate()
    assert refused(planner.publish, signed_product(PLANNER, identifier=identifier)) == "registry.role-missing"
    stolen = signed_product("did:web:127.0.0.1%3A8083", identifier=identifier)
    assert refused(other.publish, stolen) == "registry.identifier-of-another"
    assert refused(other.publish, signed_product(identifier=identifier)) == "registry.identifier-of-another"
    assert refused(hospital.publish, signed_product()) == "registry.identifier-unknown"
    assert refused(hospital.publish, stolen) == "registry.product-invalid"
    unsigned = signed_product(identifier=identifier)
    unsigned.document["rows"] = 7
    assert refused(hospital.publish, unsigned) == "hexi.signature-invalid"
    assert space.client().search().total == 0
    assert len(entries(space, Event.PRODUCT_PUBLISHED)) == 0


def test_identifiers_are_the_callers_own(space: Space) -> None:
    hospital = space.admit()
    for kind, of in (("product", Kind.PRODUCT), ("resource", Kind.RESOURCE)):
        identifier = hospital.allocate(kind)
        assert identifiers.check(identifier, of).owner == hospital.participant(HOSPITAL).owner_code
        answer = space.client().identifier(identifier + "·old-7" if of is Kind.RESOURCE else identifier)
        assert (answer.kind, answer.holder) == (kind, HOSPITAL)
    assert refused(hospital.allocate, "connector") == "hexi.malformed"
    assert refused(hospital.identifier, "691620000000000000X6210A1B2C3D41") == "registry.identifier-unknown"
    assert refused(hospital.identifier, "691620000000000000X6210A1B2C3D42") == "registry.identifier-check-digit"


def test_a_forged_application_is_refused(space: Space) -> None:
    assert refused(space.client().apply, application()) == "registry.did-unreachable"
    space.hosts.join("127.0.0.1:8081", participant_app(PLANNER))
    assert refused(space.client().apply, application()) == "registry.did-document-invalid"
    space.hosts.join("127.0.0.1:8081", participant_app(HOSPITAL))
    head, _, tail = application().split(".")
    assert refused(space.client().apply, f"{head}.e30.{tail}") == "hexi.signature-invalid"
    assert refused(space.client().apply, "x.y.z") == "hexi.signature-invalid"
    for_another = identity().key.sign({"did": PLANNER}, typ="hexi-application+jws", kid=identity().kid)
    assert refused(space.client().apply, for_another) == "registry.application-invalid"
    assert refused(space.client().apply, application(owner_code="123")) == "registry.owner-code-invalid"
    as_operator = identity().key.sign(
        {"type": "application", "did": HOSPITAL, "roles": ["operator"]}, typ="hexi-application+jws", kid=identity().kid
    )
    assert refused(space.client().apply, as_operator) == "registry.application-invalid"
    assert [a.did for a in space.client(OPERATOR).applications()] == [OPERATOR]


def test_one_cannot_apply_for_somebody_else(space: Space) -> None:
    space.hosts.join("127.0.0.1:8081", participant_app(HOSPITAL))
    mine = identity()
    impostor = Identity(PLANNER, mine.key)
    assert refused(space.client().apply, application_by(mine, PLANNER)) == "registry.application-invalid"
    space.hosts.join("127.0.0.1:8082", participant_app(PLANNER))
    assert refused(space.client().apply, application_by(impostor, PLANNER)) == "hexi.signature-invalid"


def application_by(who: Identity, did: str) -> str:
    payload = {**read_unverified(application()), "did": did}
    return who.key.sign(payload, typ="hexi-application+jws", kid=who.kid)


OPERATOR_ONLY = [
    lambda client: client.applications(),
    lambda client: client.approve("x"),
    lambda client: client.reject("x", "no"),
    lambda client: client.revoke(PLANNER, "no"),
]


@pytest.mark.parametrize("call", OPERATOR_ONLY)
def test_what_only_the_operator_may_do(space: Space, call: Any) -> None:
    assert refused(call, space.admit()) == "registry.operator-only"
    assert refused(call, space.client()) == "registry.presentation-invalid"
    assert refused(call, space.client(PLANNER)) == "registry.participant-unknown"


def test_members_only(space: Space) -> None:
    space.admit()
    assert refused(space.client().allocate) == "registry.presentation-invalid"
    assert refused(space.client(HOSPITAL).allocate) == "registry.credential-invalid"
    assert refused(space.client().publish, signed_product()) == "registry.presentation-invalid"


def test_the_operator_cannot_revoke_itself(space: Space) -> None:
    assert refused(space.client(OPERATOR).revoke, OPERATOR, "tired") == "registry.operator-only"
    assert refused(space.client(OPERATOR).revoke, "did:web:nobody.example", "x") == "registry.participant-unknown"
    assert refused(space.client(OPERATOR).approve, "urn:uuid:0") == "registry.application-unknown"


def test_the_operator_is_enrolled_once_and_by_one_key(each_space: Space) -> None:
    space = each_space
    registrar = space.app.state.registry.registrar
    with space.database.transaction() as session:
        again = registrar.enrol_operator(session)
    assert again.roles == {Role.OPERATOR}
    assert len(entries(space, Event.PARTICIPANT_REGISTERED)) == 1
    stranger = replace(registrar, identity=Identity(OPERATOR, SigningKey.generate()))
    with pytest.raises(StepImpossible, match="another key"), space.database.transaction() as session:
        stranger.enrol_operator(session)


def test_the_operator_introduces_itself(space: Space) -> None:
    operator = space.client().operator()
    assert operator.did == OPERATOR == operator.document["id"]
    assert operator.log_vkey.startswith("127.0.0.1:8080+")
    answer = space.client()._http
    assert isinstance(space.client(), RegistryClient)
    assert answer.get("/interface") == {"versions": [{"version": "1.0", "url": "/registry/interface/1.0"}]}
