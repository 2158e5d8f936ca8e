"""The road, step by step, over real processes: what `__main__` tells, tests repeat."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from connector.client import ConnectorClient
from connector.management.answers import Agreement, EncryptedSum, Publication
from examples.longyizhen import cast
from examples.longyizhen.cast import HOSPITALS, PLANNER, Member
from examples.longyizhen.data import TABLE, write_shares
from examples.longyizhen.processes import Service, Services, free_ports, run_hexi
from hexi.canonical import system_clock
from ledger.client import LedgerClient
from marketplace.client import MarketplaceClient
from marketplace.messages import CertificateAnswer, ListingAnswer, OrderAnswer
from registry.client import RegistryClient
from registry.identity import Identity, did_web
from registry.presentation import present
from sandbox.messages import RunAnswer

# How long one step that other processes finish may take, in seconds. Each takes well under one.
PATIENCE_SECONDS = 60.0
SQL_FORMAT, SUM_FORMAT, PROGRAM_FORMAT = "HexiSandbox-SQL", "HexiSandbox-EncryptedSum", "HexiSandbox-Program"

T = TypeVar("T")
Closed = TypeVar("Closed", RegistryClient, LedgerClient, MarketplaceClient, ConnectorClient)


class StepFailed(Exception):
    """The road ended early; the message says where and what was last seen."""


def eventually(what: str, look: Callable[[], T], done: Callable[[T], bool]) -> T:
    """Look until it is done. Raises `StepFailed`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done(seen := look()):
        if time.monotonic() > deadline:
            raise StepFailed(f"{what} did not happen; last seen: {seen}")
        time.sleep(0.05)
    return seen


@dataclass
class Node:
    """A participant's connector: its process, its management API, and its identity for the market."""

    member: Member
    service: Service
    home: Path
    client: ConnectorClient

    @property
    def did(self) -> str:
        """Its name in the space."""
        return did_web(self.service.url)


@dataclass
class Road:
    """Everything the story holds on to."""

    folder: Path
    services: Services
    space: Service = field(init=False)
    nodes: dict[str, Node] = field(default_factory=dict)
    products: dict[str, Publication] = field(default_factory=dict)
    certificates: dict[str, CertificateAnswer] = field(default_factory=dict)
    listings: dict[str, ListingAnswer] = field(default_factory=dict)
    agreements: dict[str, Agreement] = field(default_factory=dict)
    orders: dict[tuple[str, str], OrderAnswer] = field(default_factory=dict)
    transfers: dict[tuple[str, str], str] = field(default_factory=dict)
    markets: dict[str, MarketplaceClient] = field(default_factory=dict)

    @property
    def hospitals(self) -> list[Node]:
        """The three providers."""
        return [self.nodes[member.key] for member in HOSPITALS]

    @property
    def planner(self) -> Node:
        """The consumer."""
        return self.nodes[PLANNER.key]

    @property
    def space_home(self) -> Path:
        """The operator's folder."""
        return self.folder / "space"

    # 1. The space and its members

    def open_space(self, hospitals: Sequence[Member] = HOSPITALS) -> None:
        """Start the space, a connector for each hospital and the planner's, each a process of its own."""
        ports = free_ports(2 + len(hospitals))
        self.space = self.services.launch(
            "space",
            ["space", "serve"],
            port=ports[0],
            environment={
                "HEXI_SPACE_HOME": str(self.space_home),
                "HEXI_SPACE_PORT": str(ports[0]),
                "HEXI_SPACE_INSECURE_HTTP_DID_WEB": "true",
                "HEXI_SPACE_CHAIN_SECONDS": "0.2",
            },
        )
        self.space.wait()
        for member, port in zip((*hospitals, PLANNER), ports[1:], strict=True):
            self.nodes[member.key] = self.launch_connector(member, port)
        for node in self.nodes.values():
            node.service.wait()

    def launch_connector(self, member: Member, port: int) -> Node:
        """Start one participant's connector; it may not answer yet."""
        home = self.folder / "homes" / member.key
        environment = {
            "HEXI_CONNECTOR_HOME": str(home),
            "HEXI_CONNECTOR_PORT": str(port),
            "HEXI_CONNECTOR_SPACE_URL": self.space.url,
            "HEXI_CONNECTOR_WORKER_SECONDS": "0.05",
            # The story is told sooner; elsewhere four seconds more say less of how large a table is.
            "HEXI_SANDBOX_PROGRAM_OVERHEAD_SECONDS": "1",
        }
        initialised = run_hexi(
            ["connector", "init", "--home", str(home), "--port", str(port), "--space-url", self.space.url], environment
        )
        if initialised.returncode:
            raise StepFailed(f"hexi connector init: {initialised.stderr.strip()}")
        service = self.services.launch(
            member.key, ["connector", "serve", "--home", str(home)], port=port, environment=environment
        )
        token = (home / "management.token").read_text(encoding="utf-8").strip()
        return Node(member, service, home, self._until_the_end(ConnectorClient(service.url, token)))

    def join(self, node: Node) -> str:
        """Application, approval by the operator, membership. Returns the unified identifier."""
        applied = node.client.apply(node.member.application())
        self.registry.approve(applied.id)
        member = eventually("membership", node.client.status, lambda status: status.membership.state == "active")
        return str(member.membership.identifier)

    # 2. Products, rights, listings

    def publish(self, node: Node, table: Path, description: dict[str, Any] | None = None, key: str = "") -> None:
        """Describe the resource, publish the product, certify it, put it on sale. `key` names a further product."""
        key = key or node.member.key
        description = description or cast.product_of(node.member, self.planner.did)
        node.client.add_resource("visits-1974-1982", {TABLE: str(table.resolve())})
        self.products[key] = node.client.publish("visits-1974-1982", description)
        identifier = self.products[key].identifier
        market = self.market(node)
        self.certificates[key] = market.certify(identifier)
        self.listings[key] = market.list_product(
            identifier, node.member.price_fen, {"zh": "按次计费，仅限沙箱", "en": "By the run, in the sandbox only"}
        )

    # 3. Contracts, orders, permits

    def negotiate(self, hospital: Node, key: str = "") -> str:
        """A contract with one hospital over the Dataspace Protocol; returns the agreement's id."""
        key = key or hospital.member.key
        product = self.products[key].identifier
        asked = self.planner.client.negotiate(product, purpose=cast.PURPOSE)
        ended = eventually(
            f"the negotiation with {hospital.member.name}",
            lambda: self.planner.client.negotiation(asked.id),
            lambda seen: seen.state in {"FINALIZED", "TERMINATED"},
        )
        if ended.state != "FINALIZED":
            raise StepFailed(f"{hospital.member.name} ended the negotiation: {ended}")
        agreement = str(ended.agreement)
        # The order refers to the agreement on the ledger, so wait until the provider's evidence has arrived there.
        self.agreements[key] = eventually(
            "the agreement's evidence",
            lambda: hospital.client.agreement(agreement),
            lambda seen: seen.receipt is not None,
        )
        return agreement

    def order(self, hospital: Node, agreement: str, format_: str, runs: int, key: str = "") -> None:
        """Order runs in one format at the listed price."""
        key = key or hospital.member.key
        listing = self.listings[key]
        self.orders[key, format_] = self.market(self.planner).order(
            listing.id, agreement, runs=runs, unit_price_fen=listing.unit_price_fen
        )

    def open_transfer(self, hospital: Node, agreement: str, format_: str, key: str = "") -> str:
        """A transfer in a sandbox format: the permit."""
        key = key or hospital.member.key
        order = self.orders[key, format_].confirmation
        asked = self.planner.client.transfer(agreement, format_, order=order)
        ended = eventually(
            f"the transfer from {hospital.member.name}",
            lambda: self.planner.client.transfer_status(asked.id),
            lambda seen: seen.state in {"STARTED", "TERMINATED"},
        )
        if ended.state != "STARTED":
            raise StepFailed(f"{hospital.member.name} refused the transfer: {ended}")
        self.transfers[key, format_] = asked.id
        return str(asked.id)

    # 4. and 5. Computations

    def ask(self, hospital: Node, query: str) -> RunAnswer:
        """One run in one hospital's sandbox."""
        return self.planner.client.run(self.transfers[hospital.member.key, SQL_FORMAT], query)

    def ask_later(self, key: str, query: str) -> RunAnswer:
        """One run that waits in the provider's queue until a worker takes it."""
        transfer = self.transfers[key, SQL_FORMAT]
        jobs = self.planner.client.jobs
        run = jobs.submit(transfer, query).run
        job = eventually("the job", lambda: jobs.show(transfer, run), lambda seen: seen.finished is not None)
        if job.answer is None:
            raise StepFailed(f"the job came to nothing: {job.reason}")
        return job.answer

    def encrypted_sum(self, query: str) -> EncryptedSum:
        """One total over all hospitals, added up under encryption."""
        transfers = [self.transfers[node.member.key, SUM_FORMAT] for node in self.hospitals]
        return self.planner.client.encrypted_sum(transfers, query)

    # 6. Money and anchor

    def await_evidence(self) -> None:
        """Wait until every connector's evidence is on the ledger."""
        for node in self.nodes.values():
            eventually(
                f"the evidence of {node.member.name}",
                lambda node=node: list(node.client.evidence()),
                lambda entries: all(entry.receipt for entry in entries),
            )

    # The clients

    @cached_property
    def registry(self) -> RegistryClient:
        """The registry, as the operator."""
        return self._until_the_end(RegistryClient(self.space.url, authorise=self._operator))

    @cached_property
    def ledger(self) -> LedgerClient:
        """The ledger, as the operator."""
        return self._until_the_end(LedgerClient(self.space.url, authorise=self._operator))

    def market(self, node: Node | None = None) -> MarketplaceClient:
        """The market, as a participant; without one, as the operator."""
        key = node.member.key if node else ""
        if key not in self.markets:
            authorise = self._operator if node is None else lambda: self._member(node)
            self.markets[key] = self._until_the_end(MarketplaceClient(self.space.url, authorise=authorise))
        return self.markets[key]

    def _until_the_end(self, client: Closed) -> Closed:
        self.services.callback(client.close)
        return client

    def _operator(self) -> str:
        operator = did_web(self.space.url)
        return present(Identity.load_or_create(self.space_home, operator), operator, None, system_clock)

    def _member(self, node: Node) -> str:
        credential = (node.home / "membership.jwt").read_text(encoding="utf-8").strip()
        identity = Identity.load_or_create(node.home, node.did)
        return present(identity, did_web(self.space.url), credential, system_clock)


MARKER = ".hexi-demo"


class FolderNotOurs(Exception):
    """The output folder holds something else; it is left alone."""


def fresh_folder(out: Path) -> Path:
    """An empty `out`: what an earlier demo left there is removed, anything else is refused."""
    if out.exists() and any(out.iterdir()) and not (out / MARKER).exists():
        raise FolderNotOurs(f"{out} holds something that is no earlier demo; give another folder: make demo OUT=...")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / MARKER).touch()
    return out


def shares(folder: Path) -> list[Path]:
    """Each hospital's table."""
    return write_shares(folder / "data")
