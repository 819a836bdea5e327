"""`connector log`: the API call log and the row outcomes of a run."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from connector.cli.exports import csv_text, curl, har
from connector.cli.failures import problem_of, show_problem, show_warnings
from connector.cli.figures import counted, moment
from connector.cli.invocation import current, everywhere, option
from connector.cli.show_log import call_line, calls_table, rows_table, show_call, show_row
from connector.cli.show_run import show_reasons, show_result

if TYPE_CHECKING:
    from connector.api import Project
    from connector.cli.screen import Screen
    from connector.state.calls import Call

FORMATS = ("table", "json", "csv", "har", "curl")
OUTCOMES = ("succeeded", "skipped", "not_attempted", "in_doubt", "rejected", "quarantined")
ROW_NAMES = ("key", "change", "outcome", "reason", "call_id", "attempts", "payload")
CALL_NAMES = (
    "id",
    "run_id",
    "started_at",
    "ms",
    "attempt",
    "method",
    "url",
    "status",
    "rows",
    "route",
    "purpose",
    "verdict",
    "reason",
    "error",
    "request_headers",
    "request_body",
    "response_headers",
    "response_body",
)
POLL_S = 0.3
SCREENFUL = 100


@everywhere
@click.command()
@click.argument("run", required=False, default="last")
@option("--calls", "what", flag_value="calls", help="The API calls, in the order they were made.")
@option("--rows", "what", flag_value="rows", help="What became of each row.")
@option("--key", metavar="KEY", help="Everything about the row with this primary key.")
@option("--outcome", metavar="OUTCOME", type=click.Choice(OUTCOMES), help=f"Rows that are {', '.join(OUTCOMES)}.")
@option("--call", "call_id", metavar="ID", type=int, help="One call in full: request, reply, verdict.")
@option("--follow", is_flag=True, help="Show each call as it is answered, until the run ends.")
@option("--format", "form", metavar="FORM", type=click.Choice(FORMATS), default="table", help=", ".join(FORMATS) + ".")
@option("--limit", metavar="N", type=click.IntRange(min=1), help=f"At most N lines; on a terminal {SCREENFUL}.")
def log(
    run: str,
    *,
    what: str | None,
    key: str | None,
    outcome: str | None,
    call_id: int | None,
    follow: bool,
    form: str,
    limit: int | None,
) -> None:
    """What a run did: its API calls and what became of its rows.

    RUN is a run's id, the beginning or the last six characters of one, the name of a sync for its last run, or `last`
    for the last run of all, which is the default.
    """
    invocation = current()
    screen = invocation.screen
    form = "json" if screen.as_json and form == "table" else form
    if outcome is not None:
        what = what or "rows"
    _refuse_contradictions(what, outcome, call_id, form, follow=follow)
    with invocation.project(looking_back=True) as project:
        log_of = _Log(project, screen, form, limit)
        if call_id is not None:
            log_of.one_call(project.history.calls.get(call_id))
            return
        run_id = project.history.runs.resolve("last", run) if run in project.syncs else project.resolve_run(run)
        if follow:
            log_of.follow(run_id)
        elif what == "rows":
            log_of.rows(run_id, key, outcome)
        elif what == "calls":
            log_of.calls(project.calls(run_id) if key is None else project.calls_of(key, run_id))
        elif key is not None:
            log_of.one_key(run_id, key)
        else:
            log_of.summary(run_id, invocation)


def _refuse_contradictions(
    what: str | None, outcome: str | None, call_id: int | None, form: str, *, follow: bool
) -> None:
    if outcome is not None and what == "calls":
        raise click.UsageError("--outcome is about rows, not about --calls")
    if form in ("har", "curl") and what == "rows":
        raise click.UsageError(f"--format {form} is about calls, not about rows")
    if follow and (what == "rows" or call_id is not None or form not in ("table", "json")):
        raise click.UsageError("--follow shows calls, as a table or as JSON")


class _Log:
    """A project's log in one form."""

    def __init__(self, project: Project, screen: Screen, form: str, limit: int | None) -> None:
        self.project = project
        self.screen = screen
        self.out = screen.out
        self.form = form
        self.limit = limit

    def calls(self, calls: tuple[Call, ...]) -> None:

        if self.form == "table":
            shown = calls[: self._most()]
            self.out.table(calls_table(shown))
            self._more(len(calls) - len(shown), "call")
            return
        documents = [call.json() for call in calls[: self.limit]]
        if self.form == "json":
            self.screen.document(documents)
        elif self.form == "csv":
            self.out.write(csv_text(documents, CALL_NAMES))
        elif self.form == "har":
            from importlib.metadata import version  # noqa: PLC0415 - start-up

            self.screen.document(har(documents, version("pendo-connector")))
        else:
            for document in documents:
                self.out.raw(curl(document))

    def rows(self, run_id: str, key: str | None, outcome: str | None) -> None:

        most = self._most() if self.form == "table" else self.limit
        rows = self.project.rows(run_id, key=key, outcome=outcome, limit=None if most is None else most + 1)
        shown = rows[:most]
        if self.form == "json":
            self.screen.document(shown)
        elif self.form == "csv":
            self.out.write(csv_text(shown, ROW_NAMES))
        elif shown:
            self.out.table(rows_table(shown))
            self._more(1 if len(rows) > len(shown) else 0, "row", exactly=False)
        else:
            self.screen.err.line(f"run {run_id} has no such row")

    def one_call(self, call: Call) -> None:

        if self.form == "table":
            show_call(self.out, call)
        elif self.form == "json":
            self.screen.document(call.json())
        else:
            self.calls((call,))

    def one_key(self, run_id: str, key: str) -> None:

        rows, calls = self.project.rows(run_id, key=key), self.project.calls_of(key, run_id)
        if self.form == "json":
            found = {"run_id": run_id, "key": key, "rows": rows, "calls": [call.json() for call in calls]}
            self.screen.document(found)
            return
        if self.form != "table":
            self.calls(calls)
            return
        if not rows:
            self.screen.err.line(f"run {run_id} changed no row with the key '{key}'")
            return
        for row in rows:
            show_row(self.out, row)
        self.out.line()
        self.out.table(calls_table(calls))

    def summary(self, run_id: str, invocation: Any) -> None:

        run = self.project.history.runs.get(run_id)
        calls = self.project.calls(run_id, bodies=self.form != "table")
        if self.form == "json":
            self.screen.document({"run": run.json(), "calls": [call.json() for call in calls]})
            return
        if self.form != "table":
            self.calls(calls)
            return
        seconds = None if run.finished_at is None else run.finished_at - run.started_at
        show_result(self.out, run.json(), seconds)
        self.out.line(f"started {moment(run.started_at)} by {run.trigger}", indent=2)
        show_reasons(self.out, self.project.reasons(run_id))
        if run.error is not None:
            show_problem(self.out, problem_of(run.error))
        show_warnings(self.out, [problem_of(warning) for warning in run.warnings])
        if calls:
            self.out.line()
            shown = calls[: self._most()]
            self.out.table(calls_table(shown))
            self._more(len(calls) - len(shown), "call")
        self.out.line()
        self.out.line("next: ", invocation.command_line(f"log {run_id} --rows"), hang=6)
        if calls:
            self.out.line("      ", invocation.command_line(f"log --call {calls[-1].id}"), hang=6)

    def follow(self, run_id: str) -> None:

        tail = self.project.history.calls.follow(run_id)
        shown = 0
        if self.form == "json":
            self.out.write("[")
        while not self.out.gone:
            over = self.project.history.runs.get(run_id).status != "running"
            came = tail.poll(final=over)
            for call in came:
                shown += 1
                if self.form == "json":
                    self.out.write(("" if shown == 1 else ",") + "\n" + json.dumps(call.json(), ensure_ascii=False))
                else:
                    self.out.line(*call_line(call), hang=4)
            if over:
                break
            time.sleep(POLL_S)
        if self.form == "json":
            self.out.write("\n]\n")
        else:
            self.out.line(f"run {run_id}: {self.project.history.runs.get(run_id).status}")

    def _most(self) -> int | None:
        return self.limit or (SCREENFUL if self.out.terminal else None)

    def _more(self, left: int, noun: str, *, exactly: bool = True) -> None:

        if left > 0:
            how_many = f"{counted(left, noun)} more" if exactly else f"more {noun}s"
            self.screen.err.line(f"… and {how_many}; --limit shows more, a pipe gets all")
