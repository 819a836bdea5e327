"""`connector state`: where a sync's snapshot is kept, and whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from connector.actions.figures import counted
from connector.cli.invocation import current, everywhere, option

if TYPE_CHECKING:
    from connector.cli.invocation import Invocation

PLACES = {"warehouse": "in the warehouse", "local": "here, in its own file"}


@everywhere
@click.group()
def state() -> None:
    """Where the snapshot of a sync is kept: here, or in the warehouse."""


@everywhere
@state.command()
@click.argument("sync")
@option("--to", type=click.Choice(list(PLACES)), required=True, help="Where it is kept from now on.")
def move(sync: str, *, to: Literal["warehouse", "local"]) -> None:
    """Move the snapshot of SYNC, so that `planner:` of its source can say the same. No row is sent again.

    Nothing is sent. What was rejected, quarantined or held stays as it is.
    """
    invocation = current()
    with invocation.project() as project:
        rows = project.kept(sync).move(to)
    _say(invocation, sync, to, rows, f"the snapshot of '{sync}' is kept {PLACES[to]}: {counted(rows, 'row')}")


@everywhere
@state.command()
@click.argument("sync")
def adopt(sync: str) -> None:
    """Take over the snapshot of SYNC in the warehouse from a state directory that is gone for good.

    Two state directories that both run a sync would send its rows twice, so each snapshot belongs to one of them.
    """
    invocation = current()
    with invocation.project() as project:
        rows = project.kept(sync).adopt()
    _say(invocation, sync, "warehouse", rows, f"the snapshot of '{sync}' is taken over: {counted(rows, 'row')}")


def _say(invocation: Invocation, sync: str, to: str, rows: int, sentence: str) -> None:
    if invocation.screen.as_json:
        invocation.screen.document({"sync": sync, "planner": to, "rows": rows})
    else:
        invocation.screen.out.line(sentence)
