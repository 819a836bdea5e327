"""What a command was called with, beside its own options, and the options that every command has."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

import click

from connector.cli.failures import show_warnings
from connector.cli.screen import Screen
from connector.errors import ConfigErrors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from connector.api import Project

CommandT = TypeVar("CommandT", bound=click.Command)


@dataclass(slots=True)
class Invocation:
    """The folder of the project, where its state is, and where output goes.

    `state_dir` is None until it is given or known from the project. `given` are the two options as they were typed.
    `exit_code` is what the command ends with.
    """

    root: Path = Path()
    state_dir: Path | None = None
    screen: Screen = field(default_factory=Screen)
    given: dict[str, str] = field(default_factory=dict)
    exit_code: int = 0

    @contextmanager
    def project(self, *, looking_back: bool = False) -> Iterator[Project]:
        """The project, loaded. Raises ConfigErrors; a mistake in its files is no reason not to look back."""
        from connector import load_project  # noqa: PLC0415 - start-up: `--help` does not read YAML
        from connector.api import check_project  # noqa: PLC0415

        try:
            loaded = load_project(self.root, state_dir=self.state_dir, strict=not looking_back)
        except ConfigErrors as error:
            # The files alone are not all: columns that the models do not have are told in the same go. Somebody may
            # have mended them in between.
            found = check_project(self.root, state_dir=self.state_dir).errors
            raise ConfigErrors(found or error.problems) from None
        with loaded as project:
            self.state_dir = project.definition.state_dir
            yield project

    def warn(self, project: Project, syncs: Iterable[str]) -> None:
        """Nothing, after showing the warnings that are about these syncs."""
        files = {project.sync(name).file for name in syncs}
        show_warnings(self.screen.err, [w for w in project.warnings if w.at and w.at.split(":")[0] in files])

    def command_line(self, rest: str) -> str:
        """A command that works from here and now, on this project and its state: for the hints below a result."""
        words = [f"--{name} {quote(value)}" for name, value in self.given.items()]
        return " ".join([program(), *words, rest])


def program() -> str:
    """What to type to start this program: in a checkout, dev.py has put it where no shell finds it."""
    made_by_dev = (Path(sys.prefix) / "dev.json").is_file() and Path("dev.py").is_file()
    return "python3 dev.py connector" if made_by_dev else "connector"


def current() -> Invocation:
    """The invocation of the running command."""
    return click.get_current_context().ensure_object(Invocation)


def everywhere(command: CommandT) -> CommandT:
    """The command with the options that all have; each works before and behind the command's name."""
    command.params += _options()
    return command


def _options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--project"],
            metavar="DIR",
            expose_value=False,
            callback=_project,
            help="The folder with connector.yml. Default: the current folder.",
        ),
        click.Option(
            ["--state-dir"],
            metavar="DIR",
            expose_value=False,
            callback=_state_dir,
            help="Where state, history and the API call log are. Default: CONNECTOR_STATE_DIR, or `state: dir:` of "
            "connector.yml, or .connector.",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_json,
            help="One JSON document on stdout and nothing else there.",
        ),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_version,
            help="Show the version and exit.",
        ),
    ]


def _project(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Invocation).root = Path(value)
        context.ensure_object(Invocation).given["project"] = value


def _state_dir(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Invocation).state_dir = Path(value)
        context.ensure_object(Invocation).given["state-dir"] = value


def _json(context: click.Context, _: click.Parameter, value: Any) -> None:
    if value:
        context.ensure_object(Invocation).screen.as_json = True


def _version(context: click.Context, _: click.Parameter, value: Any) -> None:
    if value:
        from importlib.metadata import version  # noqa: PLC0415 - start-up

        click.echo(f"connector {version('pendo-connector')}")
        context.exit()


def option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """click.option, whose default is shown in the help where there is one."""
    settings.setdefault("show_default", settings.get("default") not in (None, False))
    return click.option(*names, **settings)
