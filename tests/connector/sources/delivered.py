"""One delivery from a source of any kind, through a whole data space."""

from pathlib import Path
from typing import Any

from tests.connector.planes.delivery import Offered
from tests.simulator import Dataspace


def delivered(space: Dataspace, source: dict[str, Any], format_: str, target: Path) -> Path:
    """Publish `source`, agree, transfer, and let the data arrive at `target`; both ends then say COMPLETED."""
    offered = Offered(space, target, source=source)
    transfer = offered.ask(format_, to=str(target))
    offered.work()
    assert offered.states(transfer) == ("COMPLETED", "COMPLETED"), space.consumer.client.delivery(transfer)
    return target
