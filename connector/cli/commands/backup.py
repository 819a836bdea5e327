"""`connector backup` and `connector restore`: the state as one file, and back."""

from __future__ import annotations

from pathlib import Path

import click

from connector.actions.figures import counted, moment, size
from connector.cli.invocation import current, everywhere, option
from connector.state.clock import SystemClock, utc


@everywhere
@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@option("--wait", metavar="SECONDS", type=click.FloatRange(min=0), default=0, help="How long runs are waited for.")
def backup(file: Path, *, wait: float) -> None:
    """Write the state to FILE: what was sent, the run history and the API call log.

    It is of one moment: while it is made no run can begin, and while a run goes on it cannot be made.
    """
    from connector.state.backup import back_up  # noqa: PLC0415 - start-up

    invocation = current()
    with invocation.project(looking_back=True) as project:
        made = back_up(project.definition.state_dir, file, SystemClock(), wait_s=wait)
    if invocation.screen.as_json:
        invocation.screen.document(
            {"file": str(file), "syncs": list(made.syncs), "files": made.files, "bytes": made.size_bytes}
        )
    else:
        invocation.screen.out.line(f"{file}: {size(made.size_bytes)}, {counted(len(made.syncs), 'sync')}")


@everywhere
@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@option("--force", is_flag=True, help="Put the state that is there aside.")
def restore(file: Path, *, force: bool) -> None:
    """Make the backup in FILE the state of this project.

    All of it is read and compared before anything is changed. State that is there already is kept beside it.
    """
    from connector.state.backup import restore as restore_state  # noqa: PLC0415 - start-up

    invocation = current()
    with invocation.project(looking_back=True) as project:
        state_dir = project.definition.state_dir
    made, before = restore_state(file, state_dir, SystemClock(), force=force)
    if invocation.screen.as_json:
        aside = None if before is None else str(before)
        document = {"file": str(file), "made_at": utc(made.created_at), "syncs": list(made.syncs), "aside": aside}
        invocation.screen.document(document)
        return
    words = f"restored: {counted(len(made.syncs), 'sync')} as of {moment(made.created_at)}"
    invocation.screen.out.line(words)
    if before is not None:
        invocation.screen.out.line(f"what was there before is in {before}")
