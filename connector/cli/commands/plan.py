"""`connector plan`."""

from __future__ import annotations

from typing import Any

import click

from connector.cli.failures import show_warnings
from connector.cli.invocation import current, everywhere, option
from connector.cli.show_plan import show_plan
from connector.cli.signals import stopping


@everywhere
@click.command()
@click.argument("sync")
@option("--show", metavar="N", type=click.IntRange(min=0), default=5, help="Of how many rows to show the requests.")
@option("--full-resync", is_flag=True, help="Plan to send every row again.")
@option("--resend-events", is_flag=True, help="With --full-resync: plan to send events again.")
@option("--row", metavar="KEY", help="Only the row with this primary key.")
@option("--limit", metavar="N", type=click.IntRange(min=1), help="Plan to send at most N rows.")
def plan(sync: str, **options: Any) -> None:
    """What a run of SYNC would send now: counts, the literal requests of the first rows, number of requests, time.

    Sends and changes nothing. A plan that a guardrail would hold says so and ends with 0.
    """
    invocation = current()
    screen = invocation.screen
    with invocation.project() as project, stopping(project.stop, abort=True):
        invocation.warn(project, [sync])
        found = project.plan(sync, **options)
    show_warnings(screen.err, found.warnings)
    if screen.as_json:
        screen.document(found.json())
    else:
        show_plan(screen.out, found)
