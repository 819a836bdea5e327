"""`connector run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from connector.cli.bar import watching
from connector.cli.failures import problem_json, problem_of, show_error, show_problem, show_warnings, worst
from connector.cli.invocation import current, everywhere, option
from connector.cli.show_run import show_reasons, show_result, show_timings
from connector.cli.signals import stopping
from connector.errors import BusyError, ConfigError, ConfigErrors, ConnectorError, Problem, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.api import Project
    from connector.cli.invocation import Invocation
    from connector.cli.screen import Stream
    from connector.run.ending import RunResult

CANCELLED = 130
BAD_OUTCOMES = ("rejected", "quarantined", "in_doubt")


@everywhere
@click.command()
@click.argument("syncs", metavar="SYNC...", nargs=-1)
@option("--all", "every", is_flag=True, help="Every sync of the project.")
@option("--full-resync", is_flag=True, help="Send every row again, also those that did not change.")
@option("--resend-events", is_flag=True, help="With --full-resync: send events again, which Pendo then has twice.")
@option("--row", metavar="KEY", help="Only the row with this primary key.")
@option(
    "--limit", metavar="N", type=click.IntRange(min=1), help="Send at most N rows; the rest waits for the next run."
)
@option("--force", is_flag=True, help="Go on past a guardrail, this once.")
@option(
    "--after-dbt",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Only syncs whose model dbt has built without error, by its run_results.json; the others are named.",
)
@option("--timings", is_flag=True, help="Show how long each step took.")
@option("--wait", is_flag=True, help="Wait while another run of the same sync goes on.")
def run(syncs: tuple[str, ...], *, every: bool, timings: bool, after_dbt: Path | None, **options: Any) -> None:
    """Send what changed since the last run.

    Several syncs run one after the other. All of them are checked before the first one sends anything.
    """
    if bool(syncs) == every:
        raise click.UsageError("name the syncs to run, or give --all")
    invocation = current()
    runs = _Runs(invocation, list(dict.fromkeys(syncs)), options, timings=timings)
    try:
        with invocation.project() as project:
            if every:
                runs.names = project.syncs
            if after_dbt is not None:
                runs.leave_out_not_built(project, after_dbt)
            runs.run_all(project)
    except ConnectorError as error:
        show_error(invocation.screen.err, error)
        runs.not_started(error)
    if invocation.screen.as_json:
        invocation.screen.document(runs.entries)
    invocation.exit_code = worst(runs.codes)


class _Runs:
    """The runs of one command, one after the other."""

    def __init__(
        self, invocation: Invocation, names: list[str], options: dict[str, Any], *, timings: bool = False
    ) -> None:
        self.timings = timings
        self.invocation = invocation
        self.names = names
        self.options = options
        self.entries: list[dict[str, Any]] = []
        self.codes: list[int] = []

    def run_all(self, project: Project) -> None:

        self.invocation.warn(project, self.names)
        with stopping(project.stop, self._say_stopping):
            if not self._check(project):
                return
            for name in self.names:
                self._run(project, name)
        if project.stop.is_set():
            self.codes.append(CANCELLED)

    def leave_out_not_built(self, project: Project, results: Path) -> None:
        """Nothing, after leaving out the syncs whose model dbt has not built. Raises ConfigError."""
        from connector.project.dbt_results import not_built  # noqa: PLC0415 - start-up

        for name in self.names:
            project.sync(name)  # raises, with the nearest name, when there is no such sync
        inside = project.definition.root / results
        file = inside if inside.exists() and not results.exists() else results
        for name, why in not_built(project.definition, file, self.names).items():
            self.invocation.screen.err.line(f"{name} does not run: {why}")
            problem = Problem(f"not started: {why}", "dbt-not-built", hint="dbt's own output says more")
            self.entries.append(entry_without_run(name, problem, "skipped"))
            self.names.remove(name)

    def not_started(self, error: ConnectorError) -> None:
        """Nothing, after giving every sync that has no entry yet one that says why."""
        known = {entry["sync"] for entry in self.entries}
        names: list[str | None] = [*self.names] or [None]
        self.entries += [entry_without_run(name, error.problem) for name in names if name not in known]
        self.codes.append(error.exit_code)

    def _check(self, project: Project) -> bool:
        """True when every sync can run: several syncs are checked before the first one sends anything."""
        if len(self.names) == 1:
            return True  # its run checks it
        wrong: dict[str, ConfigError] = {}
        for name in self.names:
            try:
                project.check_models([name])
            except ConfigError as error:
                wrong[name] = error
            except SourceError:
                continue  # a warehouse that is away stops its own syncs only: their runs will say so
        if not wrong:
            return True
        problems = dict.fromkeys(problem for error in wrong.values() for problem in error.problems)
        show_error(self.invocation.screen.err, ConfigErrors(tuple(problems)))
        others = Problem(
            f"not started: there are errors in {', '.join(wrong)}", "other-sync", hint="mend them, or run it alone"
        )
        for name in self.names:
            self.entries.append(entry_without_run(name, wrong[name].problem if name in wrong else others))
        self.codes.append(1)
        return False

    def _run(self, project: Project, name: str) -> None:

        screen = self.invocation.screen
        if project.stop.is_set():
            self.entries.append(entry_without_run(name, Problem("not started: cancelled", "cancelled"), "cancelled"))
            return
        try:
            with watching(screen.err, name, shown=not screen.as_json) as progress:
                result = project.run(name, trigger="cli", progress=progress, **self.options)
        except ConnectorError as error:
            # It was waiting, or the warehouse had not answered yet: there is no run.
            if project.stop.is_set() and isinstance(error, BusyError | SourceError):
                self.entries.append(entry_without_run(name, error.problem, "cancelled"))
                return
            show_error(screen.err, error)
            self.entries.append(entry_without_run(name, error.problem))
            self.codes.append(error.exit_code)
            return
        self.entries.append(result.json())
        self.codes.append(result.exit_code)
        self._show(project, result)

    def _show(self, project: Project, result: RunResult) -> None:
        stream, found = self.invocation.screen.people, result.json()
        show_run(stream, project, result)
        if self.timings:
            show_timings(stream, result.run.timings)
        show_warnings(self.invocation.screen.err, [problem_of(warning) for warning in result.run.warnings])
        if result.error is not None:
            show_problem(self.invocation.screen.err, result.error.problem)
        for words in self._next_steps(found):
            stream.line("next: ", self.invocation.command_line(words), indent=2, hang=6)
        if len(self.names) > 1:
            stream.line()

    def _next_steps(self, found: dict[str, Any]) -> Sequence[str]:
        run_id = found["run_id"]
        bad = [name for name in BAD_OUTCOMES if sum(found["outcomes"][name].values())]
        if bad:
            return [f"log {run_id} --rows --outcome {bad[0]}"]
        if found["status"] == "cancelled":
            return [f"run {found['sync']}"]
        return [f"log {run_id}"] if found["status"] == "failed" else []

    def _say_stopping(self) -> None:
        self.invocation.screen.err.line("finishing the requests in flight; again to stop at once")


def show_run(stream: Stream, project: Project, result: RunResult) -> None:
    """Nothing, after the summary of a finished run, with the reasons of the rows that did not get through."""
    found = result.json()
    seconds = (result.run.finished_at or result.run.started_at) - result.run.started_at
    show_result(stream, found, seconds)
    if any(sum(found["outcomes"][name].values()) for name in (*BAD_OUTCOMES, "skipped")):
        show_reasons(stream, project.reasons(found["run_id"]))


def entry_without_run(sync: str | None, problem: Problem, status: str = "failed") -> dict[str, Any]:
    """What `run --json` has for a sync that did not even start: the keys of a run, and no run id."""
    from connector.ports import Change, Outcome  # noqa: PLC0415 - start-up

    counts = ("queried", "null_key", "duplicate_key", "unchanged", "added", "changed", "removed", "kept")
    return {
        "run_id": None,
        "sync": sync,
        "status": status,
        "started_at": None,
        "finished_at": None,
        "trigger": "cli",
        "error": problem_json(problem),
        "rows": dict.fromkeys(counts, 0),
        "outcomes": {outcome.value: dict.fromkeys(map(str, Change), 0) for outcome in Outcome},
        "requests": {"sent": 0, "retried": 0, "split": 0},
    }
