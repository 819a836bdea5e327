"""`connector serve` and `connector schedule`."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Literal

import click

from connector.cli.invocation import current, everywhere, option
from connector.cli.layout import Styled
from connector.cli.screen import DIM, NAME, STRONG, WARN
from connector.cli.signals import stopping

if TYPE_CHECKING:
    from connector.actions.schedules import Explained
    from connector.cli.invocation import Invocation
    from connector.serve.server import Wanted

log_format = option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="What is said on stderr while it works: lines for people, or one JSON object a line.",
)


@everywhere
@click.command()
@option("--port", metavar="P", type=click.IntRange(0, 65535), help="The port; 0 takes any free one. Default: 8091.")
@option("--host", metavar="H", help="The address to listen on. Default: 127.0.0.1, this machine only.")
@option("--read-only", is_flag=True, default=None, help="Refuse everything that would change or send something.")
@option("--no-schedule", is_flag=True, help="Start no runs: only the pages and the REST API.")
@log_format
def serve(
    *,
    port: int | None,
    host: str | None,
    read_only: bool | None,
    no_schedule: bool,
    log_format: Literal["text", "json"],
) -> None:
    """The scheduler, the web debugger and the REST API in one process, until Ctrl-C or SIGTERM.

    Runs go on in processes of their own. The first signal starts no more runs and lets those that go on finish; after
    `serve: grace_seconds` they are cancelled. The second signal ends this process at once; the runs go on.
    """
    from connector.serve.server import TOKEN_VARIABLE, Wanted  # noqa: PLC0415 - start-up

    token = os.environ.get(TOKEN_VARIABLE) or None
    _serve(Wanted(host, port, token, read_only, schedule=not no_schedule), log_format)


@everywhere
@click.command()
@option("--explain", is_flag=True, help="Say when each sync runs, in words and as its next five times.")
@option("--pause", metavar="SYNC", multiple=True, help="Start this sync by its schedule no more.")
@option("--resume", metavar="SYNC", multiple=True, help="Start it by its schedule again, from its next time on.")
@log_format
def schedule(
    *, explain: bool, pause: tuple[str, ...], resume: tuple[str, ...], log_format: Literal["text", "json"]
) -> None:
    """Start what is due, until Ctrl-C or SIGTERM: `connector serve` without pages and API."""
    invocation = current()
    if not (explain or pause or resume):
        from connector.serve.server import Wanted  # noqa: PLC0415 - start-up

        _serve(Wanted(web=False), log_format)
        return
    from connector.actions.schedules import explain as explained  # noqa: PLC0415 - start-up

    with invocation.project() as project:
        for name in (*pause, *resume):
            project.sync(name)  # raises, with the nearest name, when there is no such sync
        for name in pause:
            project.history.pauses.pause(name)
            invocation.screen.people.line(f"{name} is paused")
        for name in resume:
            project.history.pauses.resume(name)
            invocation.screen.people.line(f"{name} runs by its schedule again")
        found = explained(project.definition, project.history, time.time())
    if invocation.screen.as_json:
        invocation.screen.document([each.json() for each in found])
        return
    if explain:
        _show(invocation, found)


def _serve(wanted: Wanted, log_format: Literal["text", "json"]) -> None:
    from connector.serve.logs import write_logs  # noqa: PLC0415 - start-up
    from connector.serve.server import serve as serve_project  # noqa: PLC0415

    invocation, stop = current(), threading.Event()
    write_logs(log_format, invocation.screen.err.file)

    def ready(url: str | None) -> None:
        if invocation.screen.as_json:
            invocation.screen.document({"url": url})
        elif url is not None:
            invocation.screen.out.line("open ", Styled(url, STRONG), "; Ctrl-C ends it")

    def say() -> None:
        invocation.screen.err.line("no more runs are started; again to stop at once")

    with stopping(stop, say):
        serve_project(invocation.root, invocation.state_dir, wanted, stop, ready=ready)


def _show(invocation: Invocation, found: list[Explained]) -> None:
    out = invocation.screen.out
    if not found:
        invocation.screen.err.line("no sync has a schedule; `schedule: { every: 1h }` in a sync config gives it one")
    for each in found:
        paused = [Styled("  paused", WARN)] if each.paused else []
        out.line(Styled(each.sync, NAME), "  ", each.words, *paused)
        if each.waiting is not None:
            out.line(f"run {each.waiting} waits to be started", indent=4)
        for at in each.local():
            out.line(Styled(at, DIM) if each.paused else at, indent=4)
