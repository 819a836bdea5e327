"""`connector demo`: what happens, told step by step."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from connector.actions.figures import counted, number
from connector.cli.bar import watching
from connector.cli.commands.run import show_run
from connector.cli.failures import show_problem
from connector.cli.invocation import current, everywhere, option, program
from connector.cli.layout import Column, Styled, Table
from connector.cli.screen import BAD, DIM, GOOD, STRONG
from connector.cli.show_log import calls_table, rows_table
from connector.cli.show_run import spoken
from connector.cli.signals import stopping

if TYPE_CHECKING:
    from connector.cli.screen import Screen, Stream
    from connector.run.ending import RunResult
    from connector.sample.demo import Demo
    from connector.sample.proof import Comparison

FOLDER = ".connector/demo"
FAILED = 3
MOST_ROWS = 2
MOST_CALLS = 8


@everywhere
@click.command()
@option("--dir", "folder", metavar="DIR", default=FOLDER, help="Where the sample project is made, anew each time.")
def demo(*, folder: str) -> None:
    """Everything on this machine: a sample warehouse, a local Pendo, real runs of four syncs, and what came of it.

    Ends with 3 when the sandbox does not hold exactly what the warehouse says.
    """
    from connector.sample.demo import demo as running_demo  # noqa: PLC0415 - start-up

    invocation = current()
    invocation.state_dir = None
    with running_demo(Path(folder), now=time.time()) as it, stopping(it.project.stop, abort=True):
        show = _Show(invocation.screen, it)
        show.everything()
    _where_to_look(invocation.screen.people, folder)
    if invocation.screen.as_json:
        invocation.screen.document(show.document)
    invocation.exit_code = 0 if show.document["ok"] else FAILED


class _Show:
    """The demo's acts, one after the other; `document` is what --json prints."""

    def __init__(self, screen: Screen, it: Demo) -> None:
        self.screen = screen
        self.out: Stream = screen.people
        self.it = it
        self.document: dict[str, Any] = {"ok": True, "project": str(it.folder), "sandbox": it.url}

    def everything(self) -> None:
        self._scene()
        self.first_run()
        self.comparison()
        self.second_run()
        self.a_day_later()

    def first_run(self) -> None:
        self._heading("1", "The first run of each sync sends every row")
        results = []
        for name in self.it.project.syncs:
            result = self._run(name)
            results.append(result.json())
            self.out.line()
            show_run(self.out, self.it.project, result)
            self._rows_and_calls(result)
        self.document["first_run"] = results

    def comparison(self) -> None:
        self._heading("2", "What the sandbox holds now, compared with the warehouse value by value")
        found = [self.it.compare(name) for name in self.it.project.syncs]
        table = Table([Column(""), Column("", align="right"), Column("", give="wrap", least=30)])
        for each in found:
            table.add(
                f"{each.what}s",
                Styled(f"{number(each.equal)} of {number(each.rows)} equal", _verdict(each)),
                _rest(each),
            )
        self.out.table(table, indent=2)
        logged, received = self.it.logged_and_received()
        same = logged == received
        self.out.line(
            f"{counted(logged, 'call')} in the API call log, {number(received)} received by the sandbox",
            Styled("" if same else "  different!", BAD),
            indent=2,
        )
        self.document["compared"] = [{**asdict(each), "holds": each.holds} for each in found]
        self.document["calls"] = {"logged": logged, "received": received}
        self._hold(same and all(each.holds for each in found))

    def second_run(self) -> None:
        self._heading("3", "A second run of each sync: nothing changed, so nothing is sent")
        results = [self._run(name).json() for name in self.it.project.syncs]
        table = Table([Column(""), Column("unchanged", align="right"), Column("requests", align="right")])
        for result in results:
            table.add(result["sync"], number(result["rows"]["unchanged"]), number(result["requests"]["sent"]))
            self._hold(result["requests"]["sent"] == 0)
        self.out.table(table, indent=2)
        self.document["second_run"] = results

    def a_day_later(self) -> None:
        from connector.sample.demo import CHANGED_SYNCS  # noqa: PLC0415 - start-up

        self.it.a_day_later()
        self._heading("4", "A day later: one account changed, and one of each thing that goes wrong came in")
        self.out.line(
            "An account's health score fell. The seats of another became a word. A user came whom Pendo does not know, "
            "a user stands in two rows, and an account has no id. What is good arrives; the rest is counted, with its "
            "reason.",
            indent=2,
        )
        results = {}
        for name in CHANGED_SYNCS:
            result = self._run(name)
            results[name] = result.json()
            self.out.line()
            show_run(self.out, self.it.project, result)
            self._rows_and_calls(result)
        self.document["third_run"] = list(results.values())
        accounts, visitors = (results[name]["outcomes"] for name in CHANGED_SYNCS)
        self._hold(accounts["succeeded"]["changed"] == accounts["rejected"]["changed"] == 1)
        self._hold(visitors["skipped"]["added"] == 1 and results[CHANGED_SYNCS[1]]["rows"]["duplicate_key"] > 1)
        self._hold(self.it.compare(CHANGED_SYNCS[0]).holds)

    def _scene(self) -> None:
        counts = self.it.sandbox.counts()
        held = f"{number(counts['visitors'])} visitors, {number(counts['accounts'])} accounts"
        table = Table([Column(""), Column("", give="wrap", least=30)])
        table.add(
            Styled("project", DIM),
            f"{self.it.folder}: {counted(len(self.it.project.syncs), 'sync')}, made anew each time",
        )
        table.add(Styled("warehouse", DIM), f"{self.it.folder / 'warehouse.duckdb'}: a DuckDB file with sample data")
        table.add(Styled("sandbox", DIM), f"{self.it.url}: a local Pendo that knows {held}")
        self.out.table(table)

    def _run(self, name: str) -> RunResult:
        with watching(self.screen.err, name, shown=not self.screen.as_json) as progress:
            result = self.it.run(name, progress)
        if result.error is not None:
            show_problem(self.screen.err, result.error.problem)
            self._hold(False)
        return result

    def _rows_and_calls(self, result: RunResult) -> None:
        project, run_id = self.it.project, result.run.run_id
        outcomes = [name for name, counts in result.json()["outcomes"].items() if any(counts.values())]
        rows = [row for name in outcomes for row in project.rows(run_id, outcome=name, limit=MOST_ROWS)]
        if rows:
            self.out.line(Styled("row by row, a few of each outcome", DIM), indent=2)
            self.out.table(rows_table(rows), indent=4)
        calls = project.calls(run_id, bodies=False)
        if calls:
            more = f", the first {MOST_CALLS} of {number(len(calls))}" if len(calls) > MOST_CALLS else ""
            self.out.line(Styled(f"call by call{more}", DIM), indent=2)
            self.out.table(calls_table(calls[:MOST_CALLS]), indent=4)

    def _heading(self, number_: str, words: str) -> None:
        self.out.line()
        self.out.line(Styled(f"{number_}. {words}", STRONG))

    def _hold(self, holds: bool) -> None:
        self.document["ok"] = self.document["ok"] and holds


def _verdict(found: Comparison) -> str:
    return GOOD if found.holds else BAD


def _rest(found: Comparison) -> str:
    parts = [f"{number(count)} {spoken(outcome)}" for outcome, count in found.explained.items()]
    if found.left_out:
        parts.append(f"{counted(found.left_out, 'row')} left out")
    if found.different:
        parts.append(f"{number(len(found.different))} DIFFERENT: {', '.join(found.different[:3])}")
    return ", ".join(parts)


def next_steps(folder: str) -> list[tuple[str, str]]:
    """Commands that work right after the demo, without its sandbox, and what they show."""
    start = f"{program()} --project {quote(folder)}"
    return [
        (f"{start} runs", "the run history"),
        (f"{start} log", "the last run: its calls, its rows"),
        (f"{start} log account_health --key group-01::acct-0001", "everything about one row"),
        (f"{start} hold account_health", "what did not get through"),
        (f"{start} plan account_health --full-resync", "what a run would send"),
        (f"{program()} init my-project", "a project of your own"),
    ]


def _where_to_look(stream: Stream, folder: str) -> None:
    stream.line()
    stream.line(Styled("Where to look next", STRONG))
    table = Table([Column(""), Column("", drop=1)])
    for words, what in next_steps(folder):
        table.add(words, Styled(what, DIM))
    stream.table(table, indent=2)
