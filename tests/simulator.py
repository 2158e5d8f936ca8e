"""The simulator: a whole data space in memory over ASGI, with nothing replaced but the network and the clock.

dataspace = Dataspace(tmp_path, clock)  # or the fixture `dataspace`
product = dataspace.publish().identifier
agreement = dataspace.agree(product).agreement
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from connector.app import create_app
from connector.client import ConnectorClient
from connector.management.answers import Negotiation, Publication, Transfer
from connector.management.token import management_token
from connector.settings import ConnectorSettings
from marketplace import space as marketplace_space
from marketplace.client import MarketplaceClient
from marketplace.settings import SpaceSettings
from registry.client import RegistryClient
from registry.presentation import present
from tests.asgi import Hosts
from tests.builders import SettableClock
from tests.connector.business import USE, description

SPACE, HOSPITAL, PLANNER = "127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082"
QUERY = "SELECT sex, COUNT(*) AS n FROM visits GROUP BY sex"


@dataclass
class Member:
    """A participant's connector, with the client its people use."""

    app: FastAPI
    client: ConnectorClient

    @property
    def did(self) -> str:
        return str(self.app.state.identity.did)

    def deliver(self) -> int:
        return int(self.app.state.engine.deliver_due())


class Dataspace:
    """Everything in one process; `settle` delivers messages until nobody has any.

    `databases` are the URLs of the provider's database and the consumer's; without them each has an SQLite file.
    """

    def __init__(self, tmp_path: Path, clock: SettableClock, databases: tuple[str, str] | None = None) -> None:
        self.clock, self.network, self.home = clock, Hosts(), tmp_path
        settings = SpaceSettings(home=tmp_path / "space", port=8080, insecure_http_did_web=True)
        self.space = marketplace_space.create_app(settings, clock=clock, transport=self.network)
        self.network.join(SPACE, self.space)
        self.identity = self.space.state.space.identity
        self.operator = RegistryClient(
            f"http://{SPACE}",
            lambda: present(self.identity, self.identity.did, None, clock),
            self.network,
        )
        ours, theirs = ({"database": url} for url in databases) if databases else ({}, {})
        self.provider = self.join("hospital", HOSPITAL, "provider", **ours)
        self.consumer = self.join("planner", PLANNER, "consumer", **theirs)

    def join(self, name: str, host: str, *roles: str, **settings: Any) -> Member:
        told = ConnectorSettings(
            home=self.home / name, port=int(host.partition(":")[2]), space_url=f"http://{SPACE}", **settings
        )
        app = create_app(told, clock=self.clock, transport=self.network, start_worker=False)
        self.network.join(host, app)
        member = Member(app, ConnectorClient(f"http://{host}", management_token(told.home), self.network))
        about = {
            "name": name,
            "nameZh": name,
            "ownerCode": "91620000000000000X",
            "region": "6210",
            "roles": list(roles),
            "contact": name,
        }
        applied = member.client.apply(about)
        self.operator.approve(applied.id)
        return member

    def settle(self, *members: Member) -> None:
        everybody = members or (self.provider, self.consumer)
        while sum(member.deliver() for member in everybody):
            pass

    def publish(self, policy: dict[str, Any] = USE, **changes: Any) -> Publication:
        visits = self.home / "visits.csv"
        lines = [f"p{i},{'f' if i % 2 else 'm'},{i % 900}" for i in range(200)]
        visits.write_text("\n".join(["person,sex,cost", *lines]) + "\n", encoding="utf-8")
        self.provider.client.add_resource("claims", {"visits": str(visits)})
        rights = {"rights": ["holding", "processing-use", "product-operation"]}
        return self.provider.client.publish("claims", description(policy=policy, **rights, **changes))

    def agree(self, product: str, **asked: Any) -> Negotiation:
        process = self.consumer.client.negotiate(product, **asked)
        self.settle()
        return self.consumer.client.negotiation(process.id)

    def transfer(self, agreement: str | None, **asked: Any) -> Transfer:
        assert agreement, "there is no agreement to transfer under"
        process = self.consumer.client.transfer(agreement, "HexiSandbox-SQL", **asked)
        self.settle()
        return self.consumer.client.transfer_status(process.id)

    def market(self, member: Member) -> MarketplaceClient:
        def authorise() -> str:
            return str(member.app.state.membership.authorise(self.identity.did))

        return MarketplaceClient(f"http://{SPACE}", authorise, self.network)
