"""The sandbox on a real port: in a thread for tests and the demo, or blocking for the command line."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from connector.listening import listen, url_of
from connector.sandbox.app import SandboxApp

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from connector.sandbox.sandbox import Sandbox

HOST = "127.0.0.1"
PORT = 8090

_GRACE_S = 5
_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox that is being served. `url` has no slash at its end."""

    sandbox: Sandbox
    url: str
    port: int


@contextmanager
def running(sandbox: Sandbox, port: int = 0, host: str = HOST) -> Iterator[RunningSandbox]:
    """The sandbox, served by a thread until the end of the block. Port 0 is any free one. Raises ConfigError."""
    listener = listen(host, port, who="the sandbox", hint="give another port, or 0 for any free one")
    server = _Server(SandboxApp(sandbox))
    thread = threading.Thread(target=server.run, args=([listener],), name="sandbox", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(_POLL_S)
    try:
        yield RunningSandbox(sandbox, url_of(listener), listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


def serve(
    sandbox: Sandbox, host: str = HOST, port: int = PORT, ready: Callable[[RunningSandbox], None] | None = None
) -> None:
    """Nothing, after serving until Ctrl-C. `ready` is called once the port takes connections. Raises ConfigError."""
    listener = listen(host, port, who="the sandbox", hint="give another port, or 0 for any free one")
    server = _Server(SandboxApp(sandbox))
    if ready is not None:
        ready(RunningSandbox(sandbox, url_of(listener), listener.getsockname()[1]))
    try:
        server.run([listener])
    except KeyboardInterrupt:  # uvicorn ends in good order, then passes the signal on
        return


class _Server(uvicorn.Server):
    """A uvicorn that lets waiting calls go before it stops."""

    def __init__(self, app: SandboxApp) -> None:
        # h11 and asyncio by name: faults reach into the connection, and it must be the same one everywhere.
        config = uvicorn.Config(
            app,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=_GRACE_S,
        )
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Nothing, after the last call has its answer."""
        self._app.stop()
        await super().shutdown(sockets)
