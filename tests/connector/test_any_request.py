"""Property: whatever is asked of a connector, it answers, or says what was wrong; it never fails.

Schemathesis makes up the requests, right ones and wrong ones, from the connector's own OpenAPI description, so that
every route is met, whoever adds it. Half of what names something is replaced by a real name, or nearly everything would
end at "there is no such thing".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from pathlib import Path

import httpx
import pytest
import requests
import schemathesis
from hypothesis import assume, given
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation

from connector.protocol.messages import CONTEXT, PATH
from connector.protocol.processes import Kind
from hexi.canonical import Json
from hexi.errors import PROBLEM_TYPE
from tests.asgi import ASGITransport
from tests.builders import SettableClock
from tests.connector.pair import offer
from tests.databases import fresh_postgresql
from tests.profiles import looking
from tests.simulator import HOSPITAL, PLANNER, QUERY, Dataspace, Member

# Requests each route of each end is met with on each database; the same on every run.
EXAMPLES = 6
# Longer addresses httpx does not send, whatever they would be answered.
MAX_URL_CHARACTERS = 65_536
# A peer or the space does not answer: that is told as it is, with a code of its own.
UNAVAILABLE = {502, 503, 504}
# Where every status that may be answered is described.
DESCRIBED = ("/management", PATH)
ERRORS = {"CatalogError", "ContractNegotiationError", "TransferError"}

SETTINGS = looking(EXAMPLES)
DICE = st.lists(st.integers(0, 2**16), min_size=16, max_size=16)


@dataclass
class Asked:
    """One end, and what is real there."""

    dataspace: Dataspace
    member: Member
    host: str
    real: dict[str, list[Json]]

    @cached_property
    def transport(self) -> ASGITransport:
        return ASGITransport(self.member.app)

    @property
    def other(self) -> Member:
        return self.dataspace.consumer if self.member is self.dataspace.provider else self.dataspace.provider

    def authorisation(self, path: str) -> str:
        if path.startswith("/management"):
            return f"Bearer {self.member.app.state.management_token}"
        return str(self.other.app.state.membership.authorise(self.member.did))

    def processes(self) -> list[dict[str, str]]:
        """The pids of every process here, as a message about it names them."""
        with self.member.app.state.database.reading() as session:
            found = [p for kind in Kind for p in self.member.app.state.engine.processes(session, kind)]
        return [{"providerPid": p.provider_pid or "", "consumerPid": p.consumer_pid or "", "pid": p.pid} for p in found]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def space(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Asked]]:
    """Both ends of a data space in use, once on SQLite and once on PostgreSQL."""
    home = Path(tmp_path_factory.mktemp("space"))
    if request.param == "sqlite":
        yield in_use(Dataspace(home, SettableClock()))
        return
    server = request.getfixturevalue("postgresql_url")
    with fresh_postgresql(server) as ours, fresh_postgresql(server) as theirs:
        dataspace = Dataspace(home, SettableClock(), (ours, theirs))
        yield in_use(dataspace)
        for member in (dataspace.provider, dataspace.consumer):
            member.app.state.database.dispose()


def in_use(dataspace: Dataspace) -> dict[str, Asked]:
    """Both ends, once a product was agreed on, transferred and computed with."""
    product = dataspace.publish().identifier
    agreement = dataspace.agree(product).agreement
    transfer = dataspace.transfer(agreement).id
    run = dataspace.consumer.client.run(transfer, QUERY)
    dataspace.consumer.client.negotiate(product)
    real: dict[str, list[Json]] = {
        **{name: [product] for name in ("product", "dataset_id")},
        **{name: [agreement] for name in ("agreement", "agreementId")},
        **{name: [transfer] for name in ("transfer", "transfers")},
        **{name: [offer(product), offer()] for name in ("offer",)},
        "run": [run.run],
        "resource": ["claims"],
        "name": ["claims", "visits"],
        "format": ["HexiSandbox-SQL", "HttpData-PULL"],
        "query": [QUERY],
    }

    def asked(member: Member, host: str, other: Member, other_host: str) -> Asked:
        address = f"http://{other_host}{PATH}"
        peer: dict[str, list[Json]] = {"callbackAddress": [address], "address": [address], "counterparty": [other.did]}
        return Asked(dataspace, member, host, real | peer)

    provider, consumer = dataspace.provider, dataspace.consumer
    return {
        "provider": asked(provider, HOSPITAL, consumer, PLANNER),
        "consumer": asked(consumer, PLANNER, provider, HOSPITAL),
    }


def cases(operation: APIOperation) -> st.SearchStrategy[Case]:
    """Requests as the description wants them, and others."""
    right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if not operation.body and not operation.path_parameters and not operation.query:
        return right
    return st.one_of(right, operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))


def made_real(case: Case, asked: Asked, dice: Iterator[int]) -> None:
    """Replace what names something, half of the time, by what is there.

    What is there changes with every request, so the draws must not depend on it: hence the dice.
    """

    def planted(name: str, value: Json) -> Json:
        pool = asked.real.get(name)
        return pool[next(dice) % len(pool)] if pool and next(dice) % 2 else value

    processes = asked.processes()
    pids = processes[next(dice) % len(processes)]
    case.path_parameters = {name: planted(name, value) for name, value in (case.path_parameters or {}).items()}
    if isinstance(case.body, dict):
        case.body = {name: planted(name, value) for name, value in case.body.items()}
    if "pid" in case.path_parameters and next(dice) % 4:
        case.path_parameters["pid"] = pids["pid"]
        if isinstance(case.body, dict) and case.path.startswith(PATH):
            case.body |= {name: pids[name] for name in ("providerPid", "consumerPid")} | {"@context": [CONTEXT]}


def ask(case: Case, asked: Asked, authorisation: str | None) -> httpx.Response:
    """Send it as a stranger's client would; `ASGITransport` holds the answer against the schemas."""
    parts = case.as_transport_kwargs(base_url=f"http://{asked.host}")
    prepared = requests.Request(**parts).prepare()
    headers = {k: v for k, v in prepared.headers.items() if k.lower() not in {"authorization", "content-length"}}
    if authorisation is not None:
        headers["Authorization"] = authorisation
    assume(len(str(prepared.url)) <= MAX_URL_CHARACTERS)
    request = httpx.Request(str(prepared.method), str(prepared.url), headers=headers, content=prepared.body)
    answer = asked.transport.handle_request(request)
    answer.read()
    return answer


def check(case: Case, answer: httpx.Response) -> None:
    """It is no server error, and every error says what was wrong."""
    said = f"{case.method} {case.formatted_path}: {answer.status_code} {answer.content[:500]!r}"
    assert answer.status_code < 500 or answer.status_code in UNAVAILABLE, said
    if (
        case.path.startswith(DESCRIBED) and b'"service":' not in answer.content
    ):  # what another service refuses is its own
        assert str(answer.status_code) in case.operation.definition.raw["responses"], f"not described: {said}"
    if answer.status_code < 400 or case.method == "HEAD":
        return
    if answer.headers["content-type"] == PROBLEM_TYPE:
        problem = answer.json()
        assert problem["status"] == answer.status_code, said
        assert problem["code"].count(".") == 1, said
        assert problem["title"], said
    else:
        assert case.path.startswith(PATH), said
        assert answer.json()["@type"] in ERRORS, said
        assert answer.json()["reason"], said


@pytest.mark.parametrize("end", ["provider", "consumer"])
def test_every_route_answers_or_says_what_was_wrong(space: dict[str, Asked], end: str) -> None:
    asked = space[end]
    schema = schemathesis.openapi.from_dict(asked.member.app.openapi())
    operations = [found.ok() for found in schema.get_all_operations()]
    failed = []
    for operation in operations:

        @SETTINGS
        @given(case=cases(operation), dice=DICE)
        def ask_all(case: Case, dice: list[int]) -> None:
            shown = asked.authorisation(case.path) if dice[0] % 10 else None
            made_real(case, asked, cycle(dice))
            check(case, ask(case, asked, shown))

        try:
            ask_all()
        except AssertionError as error:
            failed.append(str(error))
        asked.dataspace.settle()
    assert not failed, "\n".join(failed)
    assert {operation.path for operation in operations} == set(asked.member.app.openapi()["paths"])
