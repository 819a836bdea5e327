"""One sandbox on a port for each test module; each test starts with an empty one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from connector.sandbox import Sandbox, running
from tests.sandbox.peer import NOW_S, Peer, StandingClock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def served() -> Iterator[Peer]:
    clock = StandingClock()
    with running(Sandbox(now=clock)) as server, httpx.Client(base_url=server.url, timeout=10) as http:
        yield Peer(server.sandbox, http, server.url, clock)


@pytest.fixture
def pendo(served: Peer) -> Peer:
    """A client of a sandbox that holds nothing."""
    served.clock.seconds = NOW_S
    served.box.reset()
    return served
