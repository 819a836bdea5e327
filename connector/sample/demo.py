"""`connector demo`: the sample project, run for real against a local Pendo."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connector.api import load_project
from connector.errors import ConfigError
from connector.sample.data import a_day_later, build_warehouse, copy_sample, seed
from connector.sample.proof import compare
from connector.sandbox import INTEGRATION_KEY, TRACK_EVENT_SECRET, Sandbox, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connector.api import Project
    from connector.run.ending import RunResult
    from connector.run.progress import Progress
    from connector.sample.proof import Comparison

WAREHOUSE = "warehouse.duckdb"
MARK = ".connector-demo"
CHANGED_SYNCS = ("account_health", "visitors")

_MARK_TEXT = "This folder belongs to `connector demo`, which removes it and makes it anew each time.\n"


@dataclass(slots=True)
class Demo:
    """The sample project, loaded, its sandbox running."""

    folder: Path
    url: str
    project: Project
    sandbox: Sandbox
    _undelivered: dict[str, dict[str, str]] = field(default_factory=dict)

    def run(self, sync: str, progress: Progress) -> RunResult:
        """The finished run."""
        result = self.project.run(sync, trigger="demo", progress=progress)
        rows = self.project.rows(result.run.run_id)
        self._undelivered[sync] = {row["key"]: row["outcome"] for row in rows if row["outcome"] != "succeeded"}
        return result

    def compare(self, sync: str) -> Comparison:
        """The sync's rows in the warehouse against what the sandbox holds now."""
        return compare(self.project.sync(sync), self.folder / WAREHOUSE, self.sandbox, self._undelivered.get(sync, {}))

    def logged_and_received(self) -> tuple[int, int]:
        """How many calls are in the API call log, and how many the sandbox received."""
        return self.project.history.calls.count(None), len(self.sandbox.requests)

    def a_day_later(self) -> None:
        """Nothing, after a day's changes to the warehouse, good and bad."""
        a_day_later(self.folder / WAREHOUSE)


@contextmanager
def demo(folder: Path, *, now: float) -> Iterator[Demo]:
    """The demo in a fresh `folder`, its sandbox running on a free port until the end of the block.

    `now` (seconds since 1970) is when the newest event of the sample happened. Raises ConfigError when the folder holds
    anything but an earlier demo.
    """
    _make_fresh(folder)
    copy_sample(folder)
    build_warehouse(folder / WAREHOUSE, now=now)
    sandbox = Sandbox(seed=seed())
    with running(sandbox) as server:
        # Nothing of the caller's environment may lead the demo to a real Pendo or to another state.
        theirs = {name: value for name, value in os.environ.items() if not name.startswith(("PENDO_", "CONNECTOR_"))}
        ours = {
            "PENDO_BASE_URL": server.url,
            "PENDO_INTEGRATION_KEY": INTEGRATION_KEY,
            "PENDO_TRACK_EVENT_SECRET": TRACK_EVENT_SECRET,
        }
        with load_project(folder, environ=theirs | ours) as project:
            yield Demo(folder, server.url, project, sandbox)


def _make_fresh(folder: Path) -> None:
    mark = folder / MARK
    if not mark.is_file() and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"{folder} is there and is no demo",
            slug="not-a-demo",
            hint="a demo's folder is removed and made anew each time: give an empty one with --dir",
        )
    if mark.is_file():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(_MARK_TEXT, encoding="utf-8")
