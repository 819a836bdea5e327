"""`connector check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from connector.actions.figures import counted
from connector.cli.failures import problem_json, show_error, show_warnings
from connector.cli.invocation import current, everywhere, option
from connector.cli.layout import Styled
from connector.cli.screen import GOOD, STRONG
from connector.errors import ConfigErrors

if TYPE_CHECKING:
    from connector.actions.checking import Checked
    from connector.cli.invocation import Invocation


@everywhere
@click.command()
@option("--online", is_flag=True, help="Also log in to every source and destination, and ask every model.")
def check(*, online: bool) -> None:
    """Read every file and report every problem, with its place and what to do.

    Models of warehouses that are files here are asked for their columns, so that each mapping is checked against them;
    --online does so for all warehouses, and logs in to the destinations. Nothing is sent.
    """
    from connector.api import check_project  # noqa: PLC0415 - start-up

    invocation = current()
    found = check_project(invocation.root, state_dir=invocation.state_dir, online=online)
    screen = invocation.screen
    show_warnings(screen.err, found.warnings)
    if found.errors:
        show_error(screen.err, ConfigErrors(found.errors))
    if screen.as_json:
        screen.document(_document(found))
    else:
        _say(invocation, found)
    invocation.exit_code = found.exit_code


def _document(found: Checked) -> dict[str, Any]:

    return {
        "ok": not found.errors,
        "problems": [problem_json(problem) for problem in found.errors],
        "warnings": [problem_json(problem) for problem in found.warnings],
        "sources": found.sources,
        "destinations": found.destinations,
        "models": found.models,
        "syncs": found.syncs,
        "unchecked": found.unchecked,
        "online": [{"name": name, "answer": answer} for name, answer in found.online],
    }


def _say(invocation: Invocation, found: Checked) -> None:

    out = invocation.screen.out
    for name, answer in found.online:
        out.line(Styled(name, STRONG), f": {answer}", hang=4)
    if found.unchecked:
        names = ", ".join(found.unchecked)
        out.line(f"not compared with the warehouse: {names}; --online does it", hang=4)
    if found.errors:
        return
    what = ", ".join(
        counted(len(names), noun)
        for names, noun in (
            (found.sources, "source"),
            (found.destinations, "destination"),
            (found.models, "model"),
            (found.syncs, "sync"),
        )
    )
    warned = f", {counted(len(found.warnings), 'warning')}" if found.warnings else ""
    out.line(Styled("ok", GOOD), f"  {what}{warned}")
