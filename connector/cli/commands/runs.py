"""`connector runs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from connector.cli.figures import duration, moment, number
from connector.cli.invocation import current, everywhere, option
from connector.cli.layout import Column, Styled, Table
from connector.cli.screen import DIM
from connector.cli.show_run import CHANGES, STATUS_STYLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.cli.layout import Part
    from connector.cli.screen import Stream
    from connector.state.runs import Run


@everywhere
@click.command()
@click.argument("sync", required=False)
@option("--limit", metavar="N", type=click.IntRange(min=1), default=20, help="How many runs, the newest first.")
def runs(sync: str | None, *, limit: int) -> None:
    """The run history, the newest run first: of SYNC, or of all syncs."""
    invocation = current()
    with invocation.project(looking_back=True) as project:
        found = project.runs(sync, limit=limit)
        if sync is not None and not found:
            project.sync(sync)  # raises, with the nearest name, when there is no such sync
    if invocation.screen.as_json:
        invocation.screen.document([run.json() for run in found])
    elif found:
        _show(invocation.screen.out, found)
    else:
        invocation.screen.err.line("there is no run yet; `connector run` makes one")


def _show(stream: Stream, runs: Sequence[Run]) -> None:

    table = Table(
        [
            Column("run"),
            Column("sync", give="end", least=8),
            Column("status"),
            Column("started (UTC)", drop=1),
            Column("took", align="right", drop=2),
            *(Column(change, align="right") for change in CHANGES),
            Column("open", align="right"),
        ]
    )
    for run in runs:
        rows, outcomes = run.rows or {}, run.outcomes or {}
        missing = sum(sum(counts.values()) for name, counts in outcomes.items() if name != "succeeded")
        took = "" if run.finished_at is None else duration(run.finished_at - run.started_at)
        table.add(
            run.run_id,
            run.sync,
            Styled(run.status, STATUS_STYLE.get(run.status, "")),
            moment(run.started_at)[:-1],
            took,
            *(_count((rows or {}).get(change, 0)) for change in CHANGES),
            _count(missing),
        )
    stream.table(table)


def _count(value: int) -> Part:
    return number(value) if value else Styled("-", DIM)
