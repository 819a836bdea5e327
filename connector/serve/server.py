"""`connector serve` and `connector schedule`: one process that serves the project and starts what is due."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING

from connector.api import Project
from connector.errors import ConfigError, ConfigErrors
from connector.listening import listen, url_of
from connector.schedule.files import ProjectFiles
from connector.schedule.loop import Scheduler
from connector.serve.chores import Chores
from connector.serve.launcher import Launcher
from connector.serve.serving import Serving
from connector.state import open_history
from connector.state.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from connector.project.definition import Definition
    from connector.project.serve_settings import ServeSettings
    from connector.state.history import History

TOKEN_VARIABLE = "CONNECTOR_SERVE_TOKEN"  # noqa: S105 - the name of a variable
_GRACE_S = 5
_POLL_S = 0.01

_log = logging.getLogger("connector.serve")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says; None leaves it to `serve:` of connector.yml. `token` comes from the environment."""

    host: str | None = None
    port: int | None = None
    token: str | None = None
    read_only: bool | None = None
    web: bool = True
    schedule: bool = True


def serve(
    root: Path,
    state_dir: Path | None,
    wanted: Wanted,
    stop: threading.Event,
    *,
    ready: Callable[[str | None], None] = lambda _: None,
) -> None:
    """Nothing, after serving until `stop` is set, and after the runs have ended.

    `ready` gets the address once the port takes connections, or None without the web. Raises ConfigError where there
    is no project, or where the port cannot be had, and StateError. A project with mistakes is served as far as it goes.
    """
    definition = _definition(ProjectFiles(root, state_dir))
    files = ProjectFiles(root, definition.state_dir)
    clock = SystemClock()
    with ExitStack() as open_now:
        history = open_now.enter_context(open_history(definition.state_dir, clock=clock))
        scheduler = None
        if wanted.schedule:
            chores = Chores(history, clock)
            open_now.callback(chores.join)
            scheduler = Scheduler(files, history, clock, SystemRandom(), Launcher(), chores=chores.all())
        url = None
        if wanted.web:
            serving = _serving(files, definition, history, wanted, scheduler)
            url = open_now.enter_context(_listening(serving, definition.serve, wanted))
        ready(url)
        _work(scheduler, stop)


def _work(scheduler: Scheduler | None, stop: threading.Event) -> None:
    """Nothing, after the scheduler has ended, or, without one, after `stop` was set."""
    if scheduler is None:
        stop.wait()
    else:
        scheduler.run(stop)


def _definition(files: ProjectFiles) -> Definition:
    loaded = files.read()
    if loaded.definition is None:
        raise ConfigErrors(loaded.problems)
    return loaded.definition


def _serving(
    files: ProjectFiles, definition: Definition, history: History, wanted: Wanted, scheduler: Scheduler | None
) -> Serving:
    settings, clock = definition.serve, SystemClock()
    token = wanted.token or (settings.token.get_secret_value() if settings.token is not None else None)
    return Serving(
        root=definition.root,
        state_dir=definition.state_dir,
        history=history,
        clock=clock,
        project=lambda: Project(_definition(files), clock, SystemRandom()),
        token=token or None,
        read_only=settings.read_only if wanted.read_only is None else wanted.read_only,
        host=wanted.host or settings.host,
        allowed_hosts=settings.allowed_hosts,
        trusted_header=settings.trusted_header,
        trusted_proxies=settings.trusted_proxies,
        scheduler=None if scheduler is None else lambda: scheduler.state,
    )


# --- the web ----------------------------------------------------------------------------------------------------------


@contextmanager
def _listening(serving: Serving, settings: ServeSettings, wanted: Wanted) -> Iterator[str]:
    """The address under which the application is served, by a thread, until the end of the block."""
    import uvicorn  # noqa: PLC0415 - `connector schedule` does not need it

    from connector.serve.app import build_app  # noqa: PLC0415
    from connector.serve.security import refuse_open  # noqa: PLC0415

    refuse_open(serving.host, token=serving.token, trusted_header=serving.trusted_header)
    port = settings.port if wanted.port is None else wanted.port
    hint = "give another port with --port or `serve: port`, or 0 for any free one"
    listener = listen(serving.host, port, who="the server", hint=hint)
    config = uvicorn.Config(
        build_app(serving),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # What a proxy says in X-Forwarded-For must not become the address that it is believed for.
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="web", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(_POLL_S)
    if not server.started:
        listener.close()
        raise ConfigError("the web server could not start", slug="port-unavailable", hint="the log above says why")
    try:
        yield url_of(listener)
    finally:
        server.should_exit = True
        thread.join()
