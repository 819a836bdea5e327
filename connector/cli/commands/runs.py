"""`connector runs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from connector.actions.figures import duration, moment, number
from connector.cli.invocation import current, everywhere, option
from connector.cli.layout import Column, Styled, Table
from connector.cli.screen import DIM
from connector.cli.show_run import CHANGES, STATUS_STYLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.cli.layout import Part
    from connector.cli.screen import Stream
    from connector.state.runs import Run

STATUSES = ("running", "success", "warning", "failed", "held", "cancelled", "interrupted")
FORMATS = ("table", "json", "csv")
NAMES = (
    "run_id",
    "sync",
    "status",
    "trigger",
    "started_at",
    "finished_at",
    "rows",
    "outcomes",
    "requests",
    "error",
)


@everywhere
@click.command()
@click.argument("sync", required=False)
@option(
    "--status", metavar="S", multiple=True, type=click.Choice(STATUSES), help=f"Runs that are {', '.join(STATUSES)}."
)
@option("--trigger", metavar="NAME", help="Runs started by this: cli, schedule, api, web, python.")
@option("--since", metavar="TIME", help="Runs started since then: 15m, 2h, 7d ago, or 2026-01-31T06:00:00Z.")
@option("--until", metavar="TIME", help="Runs started until then.")
@option("--min-seconds", "min_s", metavar="S", type=float, help="Runs that took at least so long.")
@option("--text", metavar="TEXT", help="Runs with this text in their error.")
@option("--format", "form", metavar="FORM", type=click.Choice(FORMATS), default="table", help="table, json or csv.")
@option("--limit", metavar="N", type=click.IntRange(min=1), default=20, help="How many runs, the newest first.")
def runs(sync: str | None, *, limit: int, form: str, **filters: Any) -> None:
    """The run history, the newest run first: of SYNC, or of all syncs."""
    from connector.actions.asking import moment_of  # noqa: PLC0415 - start-up
    from connector.actions.exports import csv_text  # noqa: PLC0415

    invocation = current()
    with invocation.project(looking_back=True) as project:
        now = project.means().now_ms / 1000
        for name in ("since", "until"):
            filters[name] = None if filters[name] is None else moment_of(filters[name], now)
        found = project.runs(sync, limit=limit, **filters)
        if sync is not None and not found:
            project.sync(sync)  # raises, with the nearest name, when there is no such sync
    if invocation.screen.as_json or form == "json":
        invocation.screen.document([run.json() for run in found])
    elif form == "csv":
        documents = [run.json() for run in found]
        invocation.screen.out.write(csv_text(documents, NAMES))
    elif found:
        _show(invocation.screen.out, found)
    elif any(value for value in filters.values()):
        invocation.screen.err.line("there is no such run")
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
