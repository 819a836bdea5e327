"""`connector prune`."""

from __future__ import annotations

import click

from connector.actions.figures import counted, size
from connector.cli.invocation import current, everywhere, option


@everywhere
@click.command()
@option("--dry-run", is_flag=True, help="Say what would be taken out, and take nothing out.")
@option(
    "--keep-days", metavar="N", type=click.IntRange(min=0), help="Instead of `history: keep_days` of connector.yml."
)
@option("--sync", metavar="SYNC", help="Only runs of this sync, by their age.")
def prune(*, dry_run: bool, keep_days: int | None, sync: str | None) -> None:
    """Takes old runs out of the history, with their calls and rows, as `history:` of connector.yml says."""
    invocation = current()
    with invocation.project(looking_back=True) as project:
        name = None if sync is None else project.sync(sync).name
        pruned = project.prune(dry_run=dry_run, keep_days=keep_days, sync=name)
    if invocation.screen.as_json:
        invocation.screen.document(pruned.json())
        return
    out = invocation.screen.out
    verb = "would be taken out" if dry_run else "taken out"
    out.line(
        f"{counted(len(pruned.runs), 'run')} with {counted(pruned.calls, 'call')} {verb}, {size(pruned.size_bytes)}"
    )
    if pruned.freed_bytes > 0:
        out.line(f"history.db is {size(pruned.freed_bytes)} shorter")
    for run_id, why in pruned.needed.items():
        out.line(f"{run_id} stays: {why}", indent=2)
