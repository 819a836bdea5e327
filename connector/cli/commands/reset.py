"""`connector reset`."""

from __future__ import annotations

import sys

import click

from connector.actions.figures import counted
from connector.cli.invocation import current, everywhere, option
from connector.cli.signals import stopping


@everywhere
@click.command()
@click.argument("sync")
@option("--baseline", is_flag=True, help="Take the model's present rows as sent; nothing is sent.")
@option("--yes", is_flag=True, help="Do not ask.")
def reset(sync: str, *, baseline: bool, yes: bool) -> None:
    """Forget what SYNC has sent, so that its next run sends every row again.

    With --baseline its next run sends what changes from now on. Pendo is not touched by either. On a terminal this asks
    first.
    """
    from connector.project.settings import EventSync  # noqa: PLC0415

    invocation = current()
    with invocation.project() as project:
        events = isinstance(project.sync(sync).settings, EventSync)
        if not (baseline or yes or invocation.screen.as_json) and sys.stdin.isatty():
            twice = " Pendo then has every event twice." if events else ""
            click.confirm(f"The next run of '{sync}' will send every row again.{twice} Go on?", abort=True, err=True)
        with stopping(project.stop, abort=True):
            held = project.reset(sync, baseline=baseline)
    if invocation.screen.as_json:
        invocation.screen.document({"sync": sync, "baseline": baseline, "rows": held})
    elif baseline:
        invocation.screen.out.line(f"{counted(held, 'row')} of '{sync}' count as sent; the next run sends what changes")
    else:
        invocation.screen.out.line(f"forgotten; the next run of '{sync}' is a first run and sends every row")
