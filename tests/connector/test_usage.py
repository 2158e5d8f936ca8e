"""Usage: limits of the agreement hold over all its transfers, while they run, and under attack; what must end, ends."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import Session

from connector.contracts import store
from connector.contracts.agreements import AgreementState
from connector.contracts.store import HeldAgreement
from connector.monitoring import Monitor
from connector.planes import Refused
from connector.policies.evaluation import Verdict
from connector.protocol.engine import Engine
from connector.protocol.engine import Settings as EngineSettings
from connector.protocol.outbox_items import OutboxItem
from connector.protocol.processes import Process, Role
from connector.protocol.store import insert_process, lock_pending
from connector.protocol.transfer import Start, Suspend, TerminateTransfer
from connector.usage import counting as usage
from connector.usage import store as usage_store
from connector.usage.admission import WINDOW_CLOSED
from connector.usage.grants import Grant, GrantState, Use
from hexi.canonical import Json, instant
from hexi.database import Database
from ledger.entries import read_entry
from tests.builders import SettableClock
from tests.connector.business import CONSUMER, PROVIDER, KnownParticipants, Party, conclude, order, published, transfer

FORMAT = "Test-PULL"


def limited(*constraints: tuple[str, str, Any], **members: Any) -> dict[str, Any]:
    rule = {"action": "use", **members}
    if constraints:
        rule["constraint"] = [{"leftOperand": a, "operator": b, "rightOperand": c} for a, b, c in constraints]
    return {"permission": [rule]}


class Plane:
    """A data plane that hands nothing over by itself; `stopped` keeps what it was told to stop."""

    format = FORMAT

    def __init__(self) -> None:
        self.stopped: list[str] = []
        self.refusing = False

    def start(self, session: Session, process: Process, grant: Grant) -> dict[str, Json] | None:
        if self.refusing:
            raise Refused("not there")
        return {"@type": "DataAddress", "endpointType": "test"}

    def stop(self, session: Session, process: Process) -> None:
        self.stopped.append(process.pid)


class Provider(Party):
    """A provider with a data plane, an engine that delivers nothing, and a monitor."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.plane = Plane()
        fulfilment = self.decisions.fulfilment
        fulfilment._planes = {FORMAT: self.plane}
        settings = EngineSettings(unsafe_allow_loopback_callbacks=True)
        self.engine = Engine(
            self.database, self.decisions, self.identity, lambda _: "", "https://hospital.example", self.clock, settings
        )
        self.monitor = Monitor(self.database, self.engine, fulfilment, self.trust, self.clock)

    def begin(self, agreement: str, **members: Any) -> str:
        """A transfer that has STARTED, or AssertionError with the reason."""
        asked = transfer(agreement, format=FORMAT, peer_pid=f"urn:uuid:{len(members)}-{self.clock.now}", **members)
        action = self.transferring(asked)
        assert isinstance(action, Start), action
        with self.database.transaction() as session:
            started = replace(asked, state="STARTED", peer_pid=f"peer of {asked.pid}", created=instant(self.clock()))
            insert_process(session, started)
        return asked.pid

    def use(self, pid: str, agreement: str, use: Use) -> Verdict:
        with self.database.transaction() as session:
            held = store.agreement(session, agreement)
            return usage.admit(session, pid, use, held.agreement, self.clock())

    def grant(self, pid: str) -> Grant:
        with self.database.reading() as session:
            found = usage.grant(session, pid)
        assert found is not None
        return found

    def told(self, pid: str) -> Any:
        with self.database.transaction() as session:
            item: OutboxItem | None = lock_pending(session, pid)
        return item.body if item else None

    def evidence_of(self, pid: str) -> Any:
        with self.database.reading() as session:
            found = store.evidence(session, "delivery-ended", pid)
        return None if found is None else read_entry(found.entry)


@pytest.fixture
def trust() -> KnownParticipants:
    return KnownParticipants()


@pytest.fixture
def consumer(tmp_path: Any, clock: SettableClock, trust: KnownParticipants) -> Iterator[Party]:
    database = Database(f"sqlite:///{tmp_path / 'consumer.sqlite'}")
    yield Party(CONSUMER, database, clock, trust)
    database.dispose()


@pytest.fixture(autouse=True)
def test_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format of the mode that the product of these tests has."""
    for module in ("fulfilment", "usage.admission"):
        monkeypatch.setattr(f"connector.{module}.MODES", {FORMAT: "sandbox-sql", "HexiSandbox-SQL": "sandbox-sql"})


@pytest.fixture
def provider(sqlite: Database, clock: SettableClock, trust: KnownParticipants) -> Provider:
    return Provider(PROVIDER, sqlite, clock, trust)


def agree(provider: Party, consumer: Party, terms: Any) -> str:
    return conclude(provider, consumer, provider.publish(published(terms)))


def codes(verdict: Verdict) -> list[str]:
    return [] if verdict.allowed else [reason.code for reason in verdict.reasons]


def test_limits_are_those_of_the_agreement_over_all_its_transfers(provider: Provider, consumer: Party) -> None:
    agreement = agree(provider, consumer, limited(("count", "lteq", "2"), ("urn:hexi:volume", "lteq", "100")))
    one, other = provider.begin(agreement), provider.begin(agreement)

    assert provider.use(one, agreement, Use(count=1, volume=60)).allowed
    assert codes(provider.use(other, agreement, Use(count=1, volume=50))) == ["policy.volume"]
    assert provider.use(other, agreement, Use(count=1, volume=40)).allowed
    assert codes(provider.use(one, agreement, Use(count=1))) == ["policy.count"]
    # What was refused was not counted, and what goes on with a use begins none.
    assert provider.use(one, agreement, Use(count=0)).allowed
    assert (provider.grant(one).count, provider.grant(other).volume) == (1, 40)


def test_two_admits_never_both_take_the_last_use(
    database: Database, consumer: Party, clock: SettableClock, trust: KnownParticipants
) -> None:
    provider = Provider(PROVIDER, database, clock, trust)
    agreement = agree(provider, consumer, limited(("count", "lteq", "5")))
    transfers = [provider.begin(agreement) for _ in range(2)]
    allowed: list[bool] = []
    gate = threading.Barrier(8)

    def ask(number: int) -> None:
        gate.wait()
        allowed.extend(provider.use(transfers[number % 2], agreement, Use(count=1)).allowed for _ in range(2))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(allowed) == [False] * 11 + [True] * 5
    assert sum(provider.grant(pid).count for pid in transfers) == 5


def test_permits_and_deliveries_draw_on_one_account(provider: Provider, consumer: Party) -> None:
    agreement = agree(provider, consumer, limited(("count", "lteq", "3")))
    delivered = provider.begin(agreement)
    assert provider.use(delivered, agreement, Use(count=1)).allowed

    assert isinstance(provider.transferring(transfer(agreement)), Start)  # a permit for the two runs that are left

    assert codes(provider.use(delivered, agreement, Use(count=1))) == ["policy.count"]


def test_an_order_bounds_what_is_delivered_under_it(provider: Provider, consumer: Party, clock: SettableClock) -> None:
    agreement = agree(provider, consumer, limited(duty=[{"action": "compensate"}]))
    unpaid = provider.transferring(transfer(agreement, format=FORMAT))
    assert isinstance(unpaid, TerminateTransfer)
    assert unpaid.code == "policy.duty-unfulfilled"
    shown = {"urn:hexi:order": order(agreement, published().product.identifier, runs=1)}
    pid = provider.begin(agreement, properties=shown)

    assert provider.use(pid, agreement, Use(count=1)).allowed
    assert codes(provider.use(pid, agreement, Use(count=1))) == ["policy.count"]
    clock.advance(days=60)
    assert codes(provider.use(pid, agreement, Use(count=0))) == ["connector.order-invalid"]


def test_a_rate_is_counted_within_its_period(provider: Provider, consumer: Party, clock: SettableClock) -> None:
    agreement = agree(provider, consumer, limited(("urn:hexi:frequency", "lteq", "2/PT1H")))
    pid = provider.begin(agreement)

    assert provider.use(pid, agreement, Use(count=1)).allowed
    clock.advance(minutes=30)
    assert provider.use(pid, agreement, Use(count=1)).allowed
    assert codes(provider.use(pid, agreement, Use(count=1))) == ["policy.frequency"]
    clock.advance(minutes=31)
    assert provider.use(pid, agreement, Use(count=1)).allowed
    assert codes(provider.use(pid, agreement, Use(count=1))) == ["policy.frequency"]
    assert provider.monitor.look() == 0  # a rate says "later", not "never"


@pytest.mark.parametrize(
    ("constraint", "use", "code"),
    [
        (("urn:hexi:field", "isPartOf", ["sex", "cost"]), Use(1, fields=frozenset({"sex"})), None),
        (("urn:hexi:field", "isPartOf", ["sex"]), Use(1, fields=frozenset({"sex", "cost"})), "policy.field"),
        (("urn:hexi:field", "isPartOf", ["sex"]), Use(1), "policy.field"),
        (("urn:hexi:records", "lteq", "10"), Use(1, records=10), None),
        (("urn:hexi:records", "lteq", "10"), Use(1, records=11), "policy.records"),
        (("urn:hexi:records", "lteq", "10"), Use(1), "policy.records"),
        (("virtualLocation", "isPartOf", "10.0.0.0/8"), Use(1, network="10.1.2.3"), None),
        (("virtualLocation", "isPartOf", "10.0.0.0/8"), Use(1, network="192.0.2.1"), "policy.network"),
        (("virtualLocation", "isPartOf", "10.0.0.0/8"), Use(1, network="somewhere"), "policy.network"),
        (("urn:hexi:valueExpression", "eq", "age > 18"), Use(1, expression="age > 18"), None),
        (("urn:hexi:valueExpression", "eq", "age > 18"), Use(1), "policy.value-expression"),
    ],
)
def test_what_is_not_known_is_refused_at_the_use(
    provider: Provider, consumer: Party, constraint: Any, use: Use, code: str | None
) -> None:
    agreement = agree(provider, consumer, limited(constraint))

    assert codes(provider.use(provider.begin(agreement), agreement, use)) == ([code] if code else [])


def test_expiry_ends_a_running_transfer_at_once_and_for_ever(
    provider: Provider, consumer: Party, clock: SettableClock
) -> None:
    agreement = agree(provider, consumer, limited(("dateTime", "lt", "2026-11-23T09:00:00Z")))
    pid = provider.begin(agreement)
    assert provider.use(pid, agreement, Use(count=1, volume=10, unfinished=True)).allowed
    assert provider.monitor.look() == 0

    clock.advance(hours=1)
    assert codes(provider.use(pid, agreement, Use(volume=10))) == ["policy.date-time"]
    assert provider.monitor.look() == 1

    assert provider.grant(pid).state is GrantState.ENDED
    assert provider.plane.stopped == [pid]
    told = provider.told(pid)
    assert (told["@type"], told["code"]) == ("TransferTerminationMessage", "policy.date-time")
    assert "2026-11-23T09:00:00Z" in told["reason"][0]
    entry = provider.evidence_of(pid)
    facts = {"agreement": agreement, "reason": "policy.date-time", "count": 1, "volume": 10, "records": 0}
    assert facts.items() <= entry.facts.items()
    # The clock is set back: what has ended stays ended, and is on record once.
    clock.advance(hours=-1)
    assert codes(provider.use(pid, agreement, Use(count=1))) == ["connector.transfer-not-active"]
    assert provider.monitor.look() == 0


def test_a_use_that_has_begun_is_finished_and_then_nothing_is_left(provider: Provider, consumer: Party) -> None:
    agreement = agree(provider, consumer, limited(("count", "lteq", "1")))
    pid = provider.begin(agreement)
    assert provider.use(pid, agreement, Use(count=1, volume=5, unfinished=True)).allowed

    assert provider.monitor.look() == 0
    assert provider.use(pid, agreement, Use(volume=5)).allowed
    with provider.database.transaction() as session:
        usage.give_back(session, pid, 2, provider.clock())
        usage.finish(session, pid, provider.clock(), digest="sha256:abc")

    assert provider.monitor.look() == 1
    assert provider.told(pid)["@type"] == "TransferCompletionMessage"  # all there was to have was had
    assert codes(provider.use(pid, agreement, Use(count=1))) == ["connector.transfer-not-active"]
    facts = provider.evidence_of(pid).facts
    assert (facts["content"], facts["volume"], facts["reason"]) == ("sha256:abc", 8, "policy.count")


def test_a_use_nobody_goes_on_with_is_finished_in_the_end(
    provider: Provider, consumer: Party, clock: SettableClock
) -> None:
    agreement = agree(provider, consumer, limited(("count", "lteq", "1")))
    pid, other = provider.begin(agreement), provider.begin(agreement)
    assert provider.use(pid, agreement, Use(count=1, volume=5, unfinished=True)).allowed

    assert provider.monitor.look() == 1  # the other transfer has nothing left to begin with, and never had anything
    assert (provider.told(other)["@type"], provider.told(other)["code"]) == (
        "TransferTerminationMessage",
        "policy.count",
    )
    clock.advance(minutes=4)
    assert provider.use(pid, agreement, Use(volume=5)).allowed
    clock.advance(minutes=4)
    assert provider.monitor.look() == 0
    clock.advance(minutes=2)
    assert provider.monitor.look() == 1
    assert provider.told(pid)["@type"] == "TransferCompletionMessage"


def test_a_window_suspends_and_resumes(provider: Provider, consumer: Party, clock: SettableClock) -> None:
    agreement = agree(provider, consumer, limited(("urn:hexi:timeWindow", "isPartOf", "09:00-17:00+08:00")))
    pid = provider.begin(agreement)  # it is 16:00 in Lanzhou

    clock.advance(hours=1)
    assert codes(provider.use(pid, agreement, Use(count=1))) == ["policy.time-window"]
    assert provider.monitor.look() == 1
    assert (provider.told(pid)["@type"], provider.told(pid)["code"]) == ("TransferSuspensionMessage", WINDOW_CLOSED)
    assert provider.grant(pid).state is GrantState.SUSPENDED
    assert provider.evidence_of(pid) is None

    _taken(provider, pid, state="SUSPENDED", reason=[WINDOW_CLOSED, "x"], suspended_by=Role.PROVIDER)
    assert provider.monitor.look() == 0
    clock.advance(hours=16)
    assert provider.monitor.look() == 1
    assert provider.told(pid)["@type"] == "TransferStartMessage"
    assert provider.use(pid, agreement, Use(count=1)).allowed


def test_only_what_a_window_closed_is_opened_by_it(provider: Provider, consumer: Party) -> None:
    agreement = agree(provider, consumer, limited())
    pid = provider.begin(agreement)
    with provider.database.transaction() as session:
        action = Suspend("connector.ended-by-owner", ["maintenance"])
        provider.monitor.stop(session, pid, action, action.code, action.reasons)
    _taken(provider, pid, state="SUSPENDED", reason=["connector.ended-by-owner"], suspended_by=Role.PROVIDER)

    assert provider.monitor.look() == 0
    assert provider.grant(pid).state is GrantState.SUSPENDED


def test_a_revoked_consumer_is_served_no_more(provider: Provider, consumer: Party, trust: KnownParticipants) -> None:
    pid = provider.begin(agree(provider, consumer, limited()))

    trust.revoked.add(CONSUMER.did)

    assert provider.monitor.look() == 1
    assert provider.grant(pid).state is GrantState.ENDED
    assert provider.evidence_of(pid).facts["reason"] == "registry.participant-unknown"


def test_a_provider_stop_takes_effect_before_anybody_hears_of_it(provider: Provider, consumer: Party) -> None:
    agreement = agree(provider, consumer, limited())
    pid = provider.begin(agreement)

    with provider.database.transaction() as session:
        action = TerminateTransfer("connector.ended-by-owner", ["maintenance"])
        provider.monitor.stop(session, pid, action, action.code, action.reasons)

    refused = provider.use(pid, agreement, Use(count=1))
    assert (codes(refused), refused.messages()) == (["connector.transfer-not-active"], ["maintenance"])
    assert provider.told(pid)["reason"] == ["maintenance"]
    assert provider.evidence_of(pid).facts["reason"] == "connector.ended-by-owner"


def test_a_completed_delivery_is_on_record(provider: Provider, consumer: Party) -> None:
    agreement = agree(provider, consumer, limited())
    pid = provider.begin(agreement)
    assert provider.use(pid, agreement, Use(count=2, volume=7, records=3)).allowed

    for _ in range(2):
        provider.transferring(transfer(agreement, pid=pid, format=FORMAT, state="COMPLETED"))

    facts = provider.evidence_of(pid).facts
    assert (facts["reason"], facts["count"], facts["volume"], facts["records"]) == ("completed", 2, 7, 3)
    assert facts["product"] == published().product.offer_id


def test_nothing_is_admitted_under_an_agreement_that_has_ended(provider: Provider, consumer: Party) -> None:
    agreement = agree(provider, consumer, limited())
    pid = provider.begin(agreement)
    with provider.database.transaction() as session:
        held: HeldAgreement = store.agreement(session, agreement)
        store.set_agreement_state(session, agreement, AgreementState.ENDED)

    assert codes(provider.use(pid, agreement, Use(count=1))) == ["connector.agreement-ended"]
    with provider.database.transaction() as session:
        grant = Grant("urn:uuid:new", agreement, held.agreement.product, 1, FORMAT)
        assert codes(usage.open_grant(session, grant, held.agreement, provider.clock())) == [
            "connector.agreement-ended"
        ]
        other = replace(held.agreement, id="another")
        assert codes(usage.admit(session, pid, Use(), other, provider.clock())) == ["connector.agreement-ended"]
        assert codes(usage.admit(session, "unknown", Use(), held.agreement, provider.clock())) == [
            "connector.transfer-not-active"
        ]
    assert provider.monitor.look() == 1
    assert provider.told(pid)["code"] == "connector.agreement-ended"


def test_the_monitor_looks_at_every_page(
    provider: Provider, consumer: Party, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.monitoring.PAGE", 2)
    agreement = agree(provider, consumer, limited(("elapsedTime", "lteq", "PT1H")))
    for _ in range(5):
        provider.begin(agreement)

    clock.advance(hours=2)

    assert provider.monitor.look() == 5
    with provider.database.reading() as session:
        assert usage_store.grants_in(session, [GrantState.ACTIVE], "", 10) == []


def _taken(provider: Provider, pid: str, **changes: Any) -> None:
    """The consumer has taken our last message: the process is in the state it leads to."""
    from connector.protocol.outbox_items import OutboxState
    from connector.protocol.store import close_item, lock_process, save_process

    with provider.database.transaction() as session:
        item = lock_pending(session, pid)
        assert item is not None
        close_item(session, item.id, OutboxState.DELIVERED, instant(provider.clock()))
        process = lock_process(session, pid)
        assert process is not None
        save_process(session, replace(process, **changes), instant(provider.clock()))
