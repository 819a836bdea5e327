"""Prefect 3: the plain Python API in a task. `python examples/prefect_flow.py` runs the flow once."""

# ruff: noqa: INP001 - a file by itself, to be copied

from __future__ import annotations

import os
from typing import Any

from prefect import flow, get_run_logger, task

from connector import load_project

PROJECT = os.environ.get("CONNECTOR_PROJECT", "/srv/pendo")


class HeldError(RuntimeError):
    """A guardrail held the run: it stays so until somebody has looked."""


def is_worth_it(_task: Any, _run: Any, state: Any) -> bool:
    """Whether to try again."""
    return not isinstance(state.result(raise_on_failure=False), HeldError)


@task(retries=2, retry_delay_seconds=60, retry_condition_fn=is_worth_it)
def sync(name: str) -> dict[str, Any]:
    """The result of a run, as `connector run --json` prints it. Some rows not delivered is a warning, no failure."""
    with load_project(PROJECT) as project:
        result = project.run(name, trigger="prefect")
    if result.status not in ("success", "warning"):
        failure = HeldError if result.status == "held" else RuntimeError
        raise failure(f"{name}: {result.status}: {result.error}")
    get_run_logger().info("%s: %s, %s", name, result.status, result.json()["rows"])
    return result.json()


@flow(name="pendo")
def pendo(names: tuple[str, ...] = ("account_health", "plan_upgrades")) -> dict[str, dict[str, Any]]:
    """The results of the syncs, one after the other: events want their accounts in Pendo first."""
    return {name: sync(name) for name in names}


if __name__ == "__main__":
    pendo()
