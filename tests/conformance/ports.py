"""Ports for processes of a run."""

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """So many ports that were free a moment ago, all different."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in listeners]
