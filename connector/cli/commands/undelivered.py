"""`connector hold`, `retry` and `release`: the rows that could not be delivered."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from connector.actions.figures import counted
from connector.cli.invocation import current, everywhere, option
from connector.cli.layout import Column, Styled, Table
from connector.cli.show_run import OUTCOME_STYLE, spoken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.actions.undelivered import Undelivered
    from connector.cli.screen import Stream


@everywhere
@click.command()
@click.argument("sync")
def hold(sync: str) -> None:
    """The rows of SYNC that are rejected, quarantined or held, with their reasons.

    Rejected rows are offered again by every run, quarantined and held ones are not: `retry` and `release` see to them.
    """
    invocation = current()
    with invocation.project() as project:
        rows = project.undelivered(sync)
    if invocation.screen.as_json:
        invocation.screen.document([asdict(row) for row in rows])
        return
    if not rows:
        invocation.screen.err.line(f"every row of '{sync}' was delivered")
        return
    _show(invocation.screen.out, rows)
    for words in _next_steps(sync, rows):
        invocation.screen.err.line("next: ", invocation.command_line(words), hang=6)


@everywhere
@click.command()
@click.argument("sync")
@option("--key", metavar="KEY", help="Only the row with this primary key.")
def retry(sync: str, *, key: str | None) -> None:
    """Offer the rejected and quarantined rows of SYNC afresh: no earlier attempt counts against them.

    The next run sends them. Nothing is sent now.
    """
    invocation = current()
    with invocation.project() as project:
        count = project.retry(sync, key=key)
    if invocation.screen.as_json:
        invocation.screen.document({"sync": sync, "rows": count})
        return
    _said(f"{counted(count, 'row')} of '{sync}' will be offered afresh", sync, count)


@everywhere
@click.command()
@click.argument("sync")
@option("--key", metavar="KEY", help="Only the row with this primary key.")
@option("--all", "every", is_flag=True, help="All of them; the default without --key.")
@option("--send", "drop", flag_value=False, default=False, help="The next run sends them; the default.")
@option("--drop", "drop", flag_value=True, help="They count as sent and are not offered again until they change.")
def release(sync: str, *, key: str | None, every: bool, drop: bool) -> None:
    """Let the held and quarantined rows of SYNC go: the next run sends them, or with --drop they are given up.

    Also lets ids be sent again that this sync had Pendo delete. Nothing is sent now.
    """
    if every and key is not None:
        raise click.UsageError("give --key or --all, not both")
    if drop and not every and key is None:
        raise click.UsageError("--drop gives rows up: say which with --key KEY, or all with --all")
    invocation = current()
    with invocation.project() as project:
        count = project.release(sync, key=key, drop=drop)
    if invocation.screen.as_json:
        invocation.screen.document({"sync": sync, "rows": count, "dropped": drop})
        return
    dropped = (
        "counts as sent now and is not offered again" if count == 1 else "count as sent now and are not offered again"
    )
    what = dropped if drop else "will be sent by the next run"
    _said(f"{counted(count, 'row')} of '{sync}' {what}", sync, 0 if drop else count)


def _said(sentence: str, sync: str, to_send: int) -> None:
    invocation = current()
    invocation.screen.out.line(sentence)
    if to_send:
        invocation.screen.err.line("next: ", invocation.command_line(f"run {sync}"), hang=6)


def _show(stream: Stream, rows: Sequence[Undelivered]) -> None:

    table = Table(
        [
            Column("key", give="wrap", least=16),
            Column("outcome"),
            Column("runs", align="right"),
            Column("reason", give="wrap", least=20),
            Column("last run", drop=1),
        ]
    )
    for row in rows:
        outcome = Styled(spoken(row.outcome), OUTCOME_STYLE.get(row.outcome, ""))
        reason = row.last_reason or ""
        if row.first_reason and row.first_reason != row.last_reason:
            reason = f"{reason} (at first: {row.first_reason})"
        table.add(row.key, outcome, str(row.attempts), reason, row.last_run)
    stream.table(table)


def _next_steps(sync: str, rows: Sequence[Undelivered]) -> list[str]:
    steps = []
    # Rejected for no cause of its own (an id that the sync had deleted, say): each run offers it anyway, and only what
    # its reason says helps.
    if any(row.outcome == "quarantined" or (row.outcome == "rejected" and row.cause is not None) for row in rows):
        steps.append(f"retry {sync}")
    if any(row.outcome == "in_doubt" for row in rows):
        steps.append(f"release {sync} --all")
    return steps
