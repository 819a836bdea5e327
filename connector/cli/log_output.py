"""What `connector log` prints, in each of its forms."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from connector.actions.exports import CALL_NAMES, REASON_NAMES, ROW_NAMES, csv_text, curl, har
from connector.actions.figures import counted, moment, number
from connector.cli.failures import problem_of, show_problem, show_warnings
from connector.cli.layout import Column, Styled, Table
from connector.cli.show_log import call_line, calls_table, rows_table, show_call, show_row
from connector.cli.show_run import OUTCOME_STYLE, listed_keys, show_reasons, show_result, spoken
from connector.cli.show_story import show_story, tree_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.api import Project
    from connector.cli.invocation import Invocation
    from connector.state.calls import Call, CallFilter

SCREENFUL = 100


class Log:
    """A project's log in one form."""

    def __init__(self, project: Project, invocation: Invocation, form: str, limit: int | None) -> None:
        """Print to the invocation's screen."""
        self.project = project
        self.invocation = invocation
        self.screen = invocation.screen
        self.out = invocation.screen.out
        self.form = form
        self.limit = limit

    def calls(self, run_id: str | None, which: CallFilter) -> None:
        """Nothing, after the calls that the filter takes, of one run or of all."""
        history = self.project.history
        most = self._most() if self.form == "table" else self.limit
        more = None if most is None else most + 1
        found = history.calls.list(run_id, which, limit=more, bodies=False) if self.form == "table" else None
        if found is None:
            self._documents(history.calls.iterate(run_id, which))
            return
        self.out.table(calls_table(found[:most]))
        # Only a search in the bodies is too slow to be done to its end for a number.
        exactly = which.text is None
        left = history.calls.count(run_id, which) if exactly and len(found) > len(found[:most]) else len(found)
        self._more(left - len(found[:most]), "call", exactly=exactly)

    def calls_of(self, run_id: str, key: str) -> None:
        """Nothing, after the calls that carried a row."""
        found = self.project.calls_of(key, run_id)
        if self.form == "table":
            self._table(found)
        else:
            self._documents(found)

    def _table(self, calls: tuple[Call, ...]) -> None:
        shown = calls[: self._most()]
        self.out.table(calls_table(shown))
        self._more(len(calls) - len(shown), "call")

    def _documents(self, calls: Iterable[Call]) -> None:
        """Nothing, after the calls for a program; one in memory at a time where the form lets us."""
        taken = (call.json() for _, call in zip(self._counter(), calls, strict=False))
        if self.form == "json":
            self._list(taken)
        elif self.form == "har":
            from importlib.metadata import version  # noqa: PLC0415 - start-up

            self.screen.document(har(taken, version("pendo-connector")))
        elif self.form == "csv":
            self.out.write(csv_text((), CALL_NAMES))
            for call in taken:
                self.out.write(csv_text((call,), CALL_NAMES, header=False))
        else:
            for call in taken:
                self.out.raw(curl(call))

    def _counter(self) -> Iterable[int]:
        from itertools import count  # noqa: PLC0415 - only here

        return count() if self.limit is None else range(self.limit)

    def _list(self, documents: Iterable[Any]) -> None:
        """Nothing, after a JSON list, written as it comes."""
        empty = True
        for document in documents:
            text = json.dumps(document, ensure_ascii=False, indent=2).replace("\n", "\n  ")
            self.out.write(("[\n  " if empty else ",\n  ") + text)
            empty = False
            if self.out.gone:
                return
        self.out.write("[]\n" if empty else "\n]\n")

    def rows(self, run_id: str, **filters: Any) -> None:
        """Nothing, after the rows that the filters take."""
        most = self._most() if self.form == "table" else self.limit
        rows = self.project.rows(run_id, limit=None if most is None else most + 1, **filters)
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

    def reasons(self, run_id: str) -> None:
        """Nothing, after every reason with the number of its rows."""
        found = self.project.reasons(run_id)
        documents = [
            {"outcome": each.outcome, "rows": each.rows, "reason": each.reason, "keys": list(each.keys)}
            for each in found
        ]
        if self.form == "json":
            self.screen.document(documents)
        elif self.form == "csv":
            self.out.write(csv_text(documents, REASON_NAMES))
        elif found:
            table = Table(
                [
                    Column("rows", align="right"),
                    Column("outcome"),
                    Column("reason", give="wrap", least=24),
                    Column("for example", give="end", least=12, drop=1),
                ]
            )
            for each in found:
                outcome = Styled(spoken(each.outcome), OUTCOME_STYLE[each.outcome])
                table.add(number(each.rows), outcome, each.reason or "no reason is known", listed_keys(each.keys))
            self.out.table(table)
        else:
            self.screen.err.line(f"every row of run {run_id} succeeded, or it planned none")

    def one_call(self, call: Call, *, kin: bool) -> None:
        """Nothing, after one call; on a terminal with the calls it comes from and those that came of it."""
        if self.form == "json":
            self.screen.document(call.json())
        elif self.form != "table":
            self._documents((call,))
        else:
            show_call(self.out, call)
            family = self.project.history.windows.family(call.id) if kin else []
            if len(family) > 1:
                self.out.line()
                self.out.table(tree_table(family, call.id))

    def tree(self, run_id: str, call_id: int | None) -> None:
        """Nothing, after the tree that a call belongs to, or all trees of a run that have more than one call."""
        windows = self.project.history.windows
        if call_id is not None:
            trees = [windows.family(call_id)]
        else:
            trees = [windows.family(root) for root in self.project.history.calls.roots(run_id)]
        if self.form == "json":
            ids = [[line.id for line in family] for family in trees]
            parents = {line.id: line.parent_id for family in trees for line in family}
            self.screen.document([[{"id": one, "parent_id": parents[one]} for one in family] for family in ids])
            return
        for at, family in enumerate(trees):
            if at:
                self.out.line()
            self.out.table(tree_table(family, call_id))
        if not trees:
            self.screen.err.line(f"no call of run {run_id} was repeated or split")

    def one_key(self, run_id: str, key: str) -> None:
        """Nothing, after what became of a row in a run, and the calls that carried it."""
        rows, calls = self.project.rows(run_id, key=key), self.project.calls_of(key, run_id)
        if self.form == "json":
            found = {"run_id": run_id, "key": key, "rows": rows, "calls": [call.json() for call in calls]}
            self.screen.document(found)
        elif self.form != "table":
            self._documents(calls)
        elif not rows:
            self.screen.err.line(f"run {run_id} changed no row with the key '{key}'; --all-runs looks into all runs")
        else:
            for row in rows:
                show_row(self.out, row)
            self.out.line()
            self.out.table(calls_table(calls))

    def story(self, key: str, sync: str | None) -> None:
        """Nothing, after everything that ever happened to a row."""
        found = self.project.story(key, sync, limit=self.limit or 50)
        if self.form != "table":
            self.screen.document(found)
            return
        show_story(self.out, found)
        if not found["entries"]:
            self.screen.err.line(f"no run that is kept changed a row with the key '{key}'")
        if found["unsettled"]:
            going = ", ".join(found["unsettled"])
            self.screen.err.line(f"not searched, because they have not ended: {going}")
        self._more(1 if found["more"] else 0, "run", exactly=False)

    def summary(self, run_id: str) -> None:
        """Nothing, after what there is to say of a run, and its calls."""
        run = self.project.history.runs.get(run_id)
        calls = self.project.calls(run_id, bodies=self.form != "table")
        if self.form == "json":
            self.screen.document({"run": run.json(), "calls": [call.json() for call in calls]})
            return
        if self.form != "table":
            self._documents(calls)
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
            self._table(calls)
        self.out.line()
        self.out.line("next: ", self.invocation.command_line(f"log {run_id} --rows"), hang=6)
        if calls:
            self.out.line("      ", self.invocation.command_line(f"log --call {calls[-1].id}"), hang=6)

    def follow(self, run_id: str, poll_s: float) -> None:
        """Nothing, after each call as it was answered, until the run has ended."""
        tail = self.project.history.calls.follow(run_id)
        shown = 0
        if self.form == "json":
            self.out.write("[")
        while not self.out.gone:
            over = self.project.history.runs.get(run_id).status != "running"
            for call in tail.poll(final=over):
                shown += 1
                if self.form == "json":
                    self.out.write(("" if shown == 1 else ",") + "\n" + json.dumps(call.json(), ensure_ascii=False))
                else:
                    self.out.line(*call_line(call), hang=4)
            if over:
                break
            time.sleep(poll_s)
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
