"""The command line as a group whose commands are imported when they are used."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING

import click

from connector.cli.invocation import everywhere

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("demo", "Everything on one machine: sample data, a local Pendo, real runs."),
    "init": ("init", "A new project that runs against the sandbox as it is."),
    "check": ("check", "Read every file and report every problem."),
    "preview": ("preview", "A model's first rows and types."),
    "plan": ("plan", "What a run would send; sends and changes nothing."),
    "run": ("run", "Send what changed."),
    "runs": ("runs", "The run history."),
    "log": ("log", "The API calls and the row outcomes of a run."),
    "hold": ("undelivered", "The rows that could not be delivered."),
    "retry": ("undelivered", "Offer rejected and quarantined rows afresh."),
    "release": ("undelivered", "Let held and quarantined rows go: send them, or drop them."),
    "alert": ("alert", "Who is told when a sync is in trouble; test, mute, list."),
    "backup": ("backup", "The state as one file."),
    "restore": ("backup", "A backup, made the state again."),
    "reset": ("reset", "Forget what was sent, or take the present result as sent."),
    "state": ("state", "Where the snapshot of a sync is kept: here, or in the warehouse."),
    "serve": ("serve", "Scheduler, web debugger and REST API in one process."),
    "schedule": ("serve", "Start what is due; or say when that is."),
    "prune": ("prune", "Take old runs out of the history."),
    "sandbox": ("sandbox", "A local Pendo to try syncs against."),
    "probe": ("probe", "Ask a Pendo test app what its documentation leaves open."),
    "schema": ("schema", "JSON Schema of the YAML files, for editors."),
}
"""Each command: the module under `commands` that has it, and what it does."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names in the order in which they are met, not in that of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"connector.cli.commands.{COMMANDS[cmd_name][0]}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called. A name that does not exist is answered with the nearest one."""
        name = args[0]
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        if name not in COMMANDS and near and not name.startswith("-"):
            raise click.UsageError(f"there is no command '{name}'; did you mean '{near[0]}'?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """The commands with what they do, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


@everywhere
@click.group(
    "connector",
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 success, 1 wrong use (nothing was sent), 2 some rows were not delivered, 3 failed, "
    "4 held by a guardrail (nothing was sent), 130 cancelled.",
)
def connector() -> None:
    """Keeps Pendo true to the data warehouse."""
