"""A file that is offered, agreed on, and asked for: what the tests of delivery begin with."""

from pathlib import Path
from typing import Any

from connector.usage import store as usage_store
from tests.connector.business import USE, description
from tests.simulator import Dataspace, Member

FIGURES = ("normativity", "completeness", "accuracy", "consistency", "timeliness", "accessibility")
CONTENT = bytes(range(256)) * 40


def publish_source(space: Dataspace, source: dict[str, Any], **changes: Any) -> str:
    """Name `source` and publish a product that is delivered from it; returns the product's identifier."""
    space.provider.client.add_resource("delivered", source=source)
    product = description(
        tables=[],
        modes=["file"],
        hasPersonalInformation=False,
        quality=dict.fromkeys(FIGURES, 1.0) | {"assessedAt": "2026-11-23"},
        rights=["holding"],
        **changes,
    )
    return str(space.provider.client.publish("delivered", product).identifier)


class Offered:
    """A file under a concluded agreement; or, with `source`, whatever that describes."""

    def __init__(
        self, space: Dataspace, file: Path, policy: dict[str, Any] = USE, *, source: dict[str, Any] | None = None
    ) -> None:
        self.space, self.file = space, file
        self.product = publish_source(space, source or {"type": "file", "path": str(file)}, policy=policy)
        self.agreement = space.agree(self.product).agreement

    def ask(self, format_: str, **asked: Any) -> str:
        """Ask for a transfer, and let the messages arrive."""
        process = self.space.consumer.client.transfer(self.agreement, format_, **asked)
        self.space.settle()
        return str(process.id)

    def states(self, transfer: str) -> tuple[str, str]:
        """The consumer's state and the provider's."""
        ours = self.space.consumer.client.transfer_status(transfer)
        theirs = next(t for t in self.space.provider.client.transfers() if t.peer_id == transfer)
        return str(ours.state), str(theirs.state)

    def counted(self) -> tuple[int, int]:
        """Uses and bytes of the newest transfer, as its provider counted them."""
        pid = next(self.space.provider.client.transfers()).id
        with self.space.provider.app.state.engine.database.reading() as session:
            grant = usage_store.grant(session, pid)
        assert grant is not None
        return grant.count, grant.volume

    def work(self, rounds: int = 12) -> None:
        """Carry out what is due at both ends, until nothing is."""
        for _ in range(rounds):
            worked = [step() for member in (self.space.provider, self.space.consumer) for step in _steps(member)]
            self.space.settle()
            if not any(worked):
                return
            self.space.clock.advance(seconds=31)


def _steps(member: Member) -> list[Any]:
    deliveries = member.app.state.deliveries
    return [deliveries.pushes.step, deliveries.downloads.step]
