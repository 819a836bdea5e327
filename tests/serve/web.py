"""The web application on a real port, over a project of a test."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from connector import load_project
from connector.serve.app import build_app
from connector.serve.serving import Serving
from connector.state import open_history
from connector.state.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.project import Scene


@contextmanager
def served(place: Scene, **settings: Any) -> Iterator[str]:
    """The address under which the project is served until the end of the block."""
    clock = place.clock or SystemClock()
    place.state_dir.mkdir(exist_ok=True)
    with open_history(place.state_dir, clock=clock) as history:
        serving = Serving(
            root=place.root,
            state_dir=place.state_dir,
            history=history,
            clock=clock,
            project=lambda: load_project(place.root, clock=clock, strict=False),
            **settings,
        )
        # The tests' peers are on this machine: what a proxy says in X-Forwarded-For must not become the address.
        config = uvicorn.Config(
            build_app(serving), port=0, log_level="error", proxy_headers=False, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, name="served", daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
