"""`connector log`: the API call log and the row outcomes of a run, or of all runs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from connector.cli.invocation import current, everywhere, option
from connector.cli.log_output import Log

if TYPE_CHECKING:
    from connector.api import Project
    from connector.cli.invocation import Invocation
    from connector.state.calls import CallFilter

FORMATS = ("table", "json", "csv", "har", "curl")
OUTCOMES = ("succeeded", "skipped", "not_attempted", "in_doubt", "rejected", "quarantined")
CHANGES = ("added", "changed", "removed")
VERDICTS = ("judged", "refused", "try_again", "unknown", "fault", "not_attempted", "replayed")
OF_CALLS = ("status", "route", "endpoint", "verdict", "min_ms", "max_ms", "text", "since", "until")
OF_ROWS = ("outcome", "change")
POLL_S = 0.3


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed."""

    run: str | None
    what: str | None
    key: str | None
    outcome: str | None
    change: str | None
    reason: str | None
    status: str | None
    route: str | None
    endpoint: str | None
    verdict: str | None
    min_ms: float | None
    max_ms: float | None
    text: str | None
    since: str | None
    until: str | None
    all_runs: bool
    call_id: int | None
    tree: bool
    follow: bool
    replay: bool
    to: str | None
    yes: bool
    form: str
    limit: int | None

    def given(self, names: tuple[str, ...]) -> list[str]:
        """Those of these options that were given, as they are typed."""
        return [f"--{name.replace('_', '-')}" for name in names if getattr(self, name) is not None]


@everywhere
@click.command()
@click.argument("run", required=False)
@option("--calls", "what", flag_value="calls", help="The API calls, in the order they were made.")
@option("--rows", "what", flag_value="rows", help="What became of each row.")
@option(
    "--reasons", "what", flag_value="reasons", help="Why rows did not succeed: each reason with the number of rows."
)
@option("--key", metavar="KEY", help="Everything about the row with this primary key.")
@option("--all-runs", is_flag=True, help="All runs of the sync RUN, or of all syncs, instead of one run.")
@option("--outcome", metavar="OUTCOME", type=click.Choice(OUTCOMES), help=f"Rows that are {', '.join(OUTCOMES)}.")
@option("--change", metavar="CHANGE", type=click.Choice(CHANGES), help=f"Rows that are {', '.join(CHANGES)}.")
@option("--reason", metavar="TEXT", help="Rows, or with --calls calls, whose reason is like this or holds this text.")
@option("--status", metavar="S", help="Calls with this status: 429, 4xx, or none (no answer).")
@option("--route", metavar="NAME", help="Calls on this route, such as custom or track.")
@option("--endpoint", metavar="TEXT", help="Calls whose address holds this text.")
@option("--verdict", metavar="VERDICT", type=click.Choice(VERDICTS), help=f"Calls that were {', '.join(VERDICTS)}.")
@option("--min-ms", metavar="MS", type=float, help="Calls that took at least so long.")
@option("--max-ms", metavar="MS", type=float, help="Calls that took at most so long.")
@option("--text", metavar="TEXT", help="Calls with this text in address, bodies, error or reason.")
@option("--since", metavar="TIME", help="Calls made since then: 15m, 2h, 7d ago, or 2026-01-31T06:00:00Z.")
@option("--until", metavar="TIME", help="Calls made until then.")
@option("--call", "call_id", metavar="ID", type=int, help="One call in full: request, reply, verdict, and its kin.")
@option("--tree", is_flag=True, help="The calls as a tree: retries and the parts of refused batches below their call.")
@option("--follow", is_flag=True, help="Show each call as it is answered, until the run ends; waits for its begin.")
@option("--replay", is_flag=True, help="With --call: send it again, and show what comes back.")
@option("--to", metavar="URL", help="With --replay: to the sandbox at this address; without it, to the destination.")
@option("--yes", is_flag=True, help="With --replay: do not ask.")
@option("--format", "form", metavar="FORM", type=click.Choice(FORMATS), default="table", help=", ".join(FORMATS) + ".")
@option("--limit", metavar="N", type=click.IntRange(min=1), help="At most N lines; on a terminal 100.")
def log(**typed: Any) -> None:
    """What a run did: its API calls and what became of its rows.

    RUN is a run's id, the beginning or the last six characters of one, the name of a sync for its last run, or `last`
    for the last run of all, which is the default.
    """
    invocation = current()
    asked = Asked(**typed)
    form = "json" if invocation.screen.as_json and asked.form == "table" else asked.form
    _refuse_contradictions(asked, form)
    with invocation.project(looking_back=True) as project:
        output = Log(project, invocation, form, asked.limit)
        if asked.call_id is not None:
            _one_call(asked, asked.call_id, project, output)
        elif asked.all_runs:
            _all_runs(asked, project, output)
        elif asked.follow:
            output.follow(_awaited(asked.run, project, invocation), POLL_S)
        else:
            _one_run(asked, project, output)


def _one_call(asked: Asked, call_id: int, project: Project, output: Log) -> None:
    call = project.history.calls.get(call_id)
    if asked.replay:
        to = "destination" if asked.to is None else f"the sandbox at {asked.to}"
        if not asked.yes:
            carried = f" with {call.rows} rows" if call.rows else ""
            question = f"Send call {call.id} ({call.method} {call.url}{carried}) again, to the {to}?"
            click.confirm(question, abort=True, err=True)
        call = project.replay(call_id, "destination" if asked.to is None else "sandbox", url=asked.to)
        output.one_call(call, kin=False)
    elif asked.tree:
        output.tree(call.run_id, call_id)
    else:
        output.one_call(call, kin=True)


def _all_runs(asked: Asked, project: Project, output: Log) -> None:
    sync = None if asked.run is None else project.sync(asked.run).name
    if asked.key is not None:
        output.story(asked.key, sync)
    else:
        output.calls(None, _filter(asked, project, sync))


def _one_run(asked: Asked, project: Project, output: Log) -> None:
    run_id = _run_id(asked.run or "last", project)
    calls = asked.what == "calls" or (asked.what is None and asked.given(OF_CALLS))
    if asked.tree:
        output.tree(run_id, None)
    elif asked.what == "reasons":
        output.reasons(run_id)
    elif asked.what == "rows" or (not calls and (asked.given(OF_ROWS) or asked.reason is not None)):
        output.rows(run_id, key=asked.key, outcome=asked.outcome, change=asked.change, reason=asked.reason)
    elif calls:
        which = _filter(asked, project, None)
        output.calls(run_id, which) if asked.key is None else output.calls_of(run_id, asked.key)
    elif asked.key is not None:
        output.one_key(run_id, asked.key)
    else:
        output.summary(run_id)


def _filter(asked: Asked, project: Project, sync: str | None) -> CallFilter:
    from connector.actions.asking import moment_of  # noqa: PLC0415 - start-up
    from connector.state.calls import CallFilter  # noqa: PLC0415

    now = project.means().now_ms / 1000
    return CallFilter(
        status=asked.status,
        route=asked.route,
        verdict=asked.verdict,
        text=asked.text,
        min_ms=asked.min_ms,
        max_ms=asked.max_ms,
        url=asked.endpoint,
        reason=asked.reason,
        since=None if asked.since is None else moment_of(asked.since, now),
        until=None if asked.until is None else moment_of(asked.until, now),
        sync=sync,
    )


def _run_id(run: str, project: Project) -> str:
    return project.history.runs.resolve("last", run) if run in project.syncs else project.resolve_run(run)


def _awaited(run: str | None, project: Project, invocation: Invocation) -> str:
    """The id of the run to follow, after its begin: one that was asked for, or the first of its sync."""
    name, said = run or "last", False
    while not _has_begun(name, project) and not invocation.screen.out.gone:
        if not said:
            invocation.screen.err.line("waiting for the run to begin; Ctrl-C ends this")
            said = True
        time.sleep(POLL_S)
    return _run_id(name, project)


def _has_begun(name: str, project: Project) -> bool:
    """Whether there is something to follow, or nothing to wait for."""
    history = project.history
    if name == "last" or name in project.syncs:
        return history.runs.latest(None if name == "last" else name) is not None
    asked_for = history.triggers.by_run(name)
    waits = asked_for is not None and asked_for.state in ("waiting", "started")
    return not waits or history.runs.find(name) is not None


def _refuse_contradictions(asked: Asked, form: str) -> None:
    of_rows, of_calls = asked.given(OF_ROWS), asked.given(OF_CALLS)
    if of_rows and (asked.what == "calls" or of_calls):
        raise click.UsageError(f"{of_rows[0]} is about rows, not about {of_calls[0] if of_calls else '--calls'}")
    if of_calls and asked.what in ("rows", "reasons"):
        raise click.UsageError(f"{of_calls[0]} is about calls, not about --{asked.what}")
    if form in ("har", "curl") and (asked.what in ("rows", "reasons") or of_rows):
        raise click.UsageError(f"--format {form} is about calls, not about rows")
    if asked.follow and (
        asked.what in ("rows", "reasons") or asked.call_id is not None or of_calls or form not in ("table", "json")
    ):
        raise click.UsageError("--follow shows calls, as a table or as JSON")
    if asked.all_runs and (asked.what in ("rows", "reasons") or of_rows or asked.follow or asked.tree):
        raise click.UsageError("--all-runs is about the calls of all runs, or with --key about one row")
    if (asked.replay or asked.to or asked.yes) and not (asked.replay and asked.call_id is not None):
        raise click.UsageError("--replay, --to and --yes send one call again: they need --call ID --replay")
