"""The command line: parse, call `connector.api`, render. Nothing else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from connector.cli.failures import error_json, show_error
from connector.cli.group import connector
from connector.cli.invocation import Invocation
from connector.cli.signals import terminating_like_interrupting
from connector.errors import ConnectorError
from connector.process import spare_memory
from connector.state.tracebacks import save_traceback

if TYPE_CHECKING:
    from collections.abc import Sequence

WRONG_USE = 1
DEFECT = 3
CANCELLED = 130


def main(args: Sequence[str] | None = None) -> int:
    """The exit code of the command line `args`, by default the process's own."""
    words = list(sys.argv[1:] if args is None else args)
    spare_memory()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character is no reason to fail
    invocation = Invocation()
    invocation.screen.as_json = "--json" in words  # also for what goes wrong while the words are read
    with terminating_like_interrupting():
        return _guarded(words, invocation)


def _guarded(words: list[str], invocation: Invocation) -> int:
    try:
        ended = connector.main(words, prog_name="connector", standalone_mode=False, obj=invocation)
    except click.UsageError as error:
        return _wrong_use(error, invocation)
    except (click.Abort, KeyboardInterrupt):
        invocation.screen.err.write("cancelled\n")
        return CANCELLED
    except ConnectorError as error:
        return _failed(error, invocation)
    except BrokenPipeError:
        return invocation.exit_code
    except Exception as error:  # noqa: BLE001 - the last place where a defect can become a message
        return _defect(error, invocation)
    return ended if isinstance(ended, int) and ended else invocation.exit_code


def _wrong_use(error: click.UsageError, invocation: Invocation) -> int:
    screen = invocation.screen
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        screen.err.write(error.format_message() + "\n")
        return WRONG_USE
    if error.ctx is not None:
        screen.err.write(error.ctx.get_usage() + "\n")
        screen.err.write(f"Try '{error.ctx.command_path} --help'.\n\n")
    screen.err.write(f"error: {error.format_message()}\n")
    if screen.as_json:
        problem = {"slug": "wrong-use", "message": error.format_message(), "at": None, "hint": None}
        screen.document({"error": problem, "problems": [problem]})
    return WRONG_USE


def _failed(error: ConnectorError, invocation: Invocation) -> int:
    show_error(invocation.screen.err, error)
    if invocation.screen.as_json:
        invocation.screen.document(error_json(error))
    return error.exit_code


def _defect(error: Exception, invocation: Invocation) -> int:
    path = save_traceback(error, invocation.state_dir)
    said = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
    invocation.screen.err.write(f"error: a defect of the connector: {what} [defect]; the traceback is in {path}\n")
    if invocation.screen.as_json:
        problem = {"slug": "defect", "message": what, "at": None, "hint": f"the traceback is in {path}"}
        invocation.screen.document({"error": problem, "problems": [problem]})
    return DEFECT
