"""`connector alert`: what is in trouble, who could not be told, quiet for a while, and a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from connector.actions.figures import counted, moment
from connector.cli.failures import show_warnings
from connector.cli.invocation import current, everywhere, option
from connector.cli.layout import Column, Styled, Table
from connector.cli.screen import BAD, DIM, GOOD, WARN
from connector.state.clock import utc

if TYPE_CHECKING:
    from connector.actions.alerting import Alerting
    from connector.cli.screen import Stream

STYLES = {"critical": BAD, "warning": WARN, "recovered": GOOD}


@everywhere
@click.group()
def alert() -> None:
    """Who is told when a sync is in trouble, and what they were told."""


@everywhere
@alert.command("list")
def list_() -> None:
    """What is in trouble or has recovered, which syncs are muted, and what could not be sent yet."""
    invocation = current()
    with invocation.project(looking_back=True) as project:
        alerts = project.alerts
        if invocation.screen.as_json:
            invocation.screen.document(alerts.json())
            return
        _show(invocation.screen.out, invocation.screen.err, alerts)


@everywhere
@alert.command()
@click.argument("channel")
def test(channel: str) -> None:
    """Send a test message to CHANNEL now."""
    invocation = current()
    with invocation.project() as project:
        project.alerts.test(channel)
    if invocation.screen.as_json:
        invocation.screen.document({"channel": channel, "sent": True})
    else:
        invocation.screen.out.line(f"the alert channel '{channel}' has taken a test message")


@everywhere
@alert.command()
@click.argument("sync")
@option("--for", "duration", metavar="TIME", default="1h", help="How long: 30m, 2h, 1d.")
def mute(sync: str, *, duration: str) -> None:
    """Tell nobody anything of SYNC for a while. What it is in afterwards is told then."""
    invocation = current()
    with invocation.project(looking_back=True) as project:
        project.sync(sync)
        until = project.alerts.mute(sync, duration)
    if invocation.screen.as_json:
        invocation.screen.document({"sync": sync, "muted_until": utc(until)})
    else:
        invocation.screen.out.line(f"'{sync}' is muted until {moment(until)}")


@everywhere
@alert.command()
@click.argument("sync")
def unmute(sync: str) -> None:
    """Tell of SYNC again."""
    invocation = current()
    with invocation.project(looking_back=True) as project:
        project.sync(sync)
        was = project.alerts.unmute(sync)
    if invocation.screen.as_json:
        invocation.screen.document({"sync": sync, "was_muted": was})
    else:
        invocation.screen.out.line(f"'{sync}' is not muted" + (" any more" if was else ""))


@everywhere
@alert.command()
def check() -> None:
    """Look now for overdue and slow runs, and send what waits.

    Exits with 2 while anything is in trouble, or a message cannot be sent. `connector serve` does this every minute.
    Where something else starts the runs, call it from there.
    """
    invocation = current()
    with invocation.project() as project:
        alerts = project.alerts
        unsent = alerts.look()
        bad = [state for state in alerts.states() if state.level != "ok"]
        show_warnings(invocation.screen.err, unsent)
        invocation.exit_code = 2 if bad or unsent else 0
        if invocation.screen.as_json:
            invocation.screen.document(alerts.json())
        else:
            _show(invocation.screen.out, invocation.screen.err, alerts)


def _show(out: Stream, err: Stream, alerts: Alerting) -> None:
    if not alerts.channels:
        err.line("connector.yml names no alert channel under alerts: channels:")
        return
    table = Table(
        [
            Column("sync"),
            Column("alert"),
            Column("level"),
            Column("since", drop=1),
            Column("what", give="wrap", least=20),
        ]
    )
    mutes = alerts.mutes()
    for state in alerts.states():
        level = "recovered" if state.level == "ok" else state.level
        quiet = f" (muted until {moment(mutes[state.sync])})" if state.sync in mutes else ""
        since = moment(state.changed_at if state.level == "ok" else state.since)
        what = str(state.finding.get("what", "")) + quiet
        table.add(state.sync, state.condition, Styled(level, STYLES[level]), Styled(since, DIM), what)
    if table.rows:
        out.table(table)
    else:
        err.line("no sync is in trouble")
    for sync in sorted(set(mutes) - {state.sync for state in alerts.states()}):
        err.line(f"'{sync}' is muted until {moment(mutes[sync])}")
    waiting = alerts.waiting()
    if waiting:
        err.line(f"{counted(len(waiting), 'message')} could not be sent yet:")
    for message in waiting:
        title = str(message.content.get("title", message.condition))
        why = f": {message.error}" if message.error else ""
        err.line(f"{message.channel}: {title}, tried {counted(message.attempts, 'time')}{why}", indent=2, hang=4)
