"""A real Prefect runs the example's flow, on the plain Python API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.project import OBJECT_SYNC, REPOSITORY, Scene
from tests.orchestrators.served import needs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [needs("prefect"), pytest.mark.slow, pytest.mark.timeout(900)]

PROGRAM = """
import json, sys
from examples.prefect_flow import pendo, sync
state = pendo(%r, return_state=True) if %r else pendo(return_state=True)
found = {"state": state.name, "result": None if state.is_failed() else state.result()}
sys.stdout.write("FOUND " + json.dumps(found))
"""


def run_flow(place: Scene, home: Path, *names: str) -> tuple[dict[str, Any], str]:
    """What Prefect says of a run of the flow, and all that was said."""
    own = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
        "CONNECTOR_PROJECT": str(place.root),
        "PYTHONPATH": str(REPOSITORY),
    }
    program = PROGRAM % (names, bool(names))
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **own}, capture_output=True, text=True, check=False
    )
    assert "FOUND " in done.stdout, done.stderr
    return json.loads(done.stdout.partition("FOUND ")[2]), done.stderr


def test_the_example_runs_both_syncs(place: Scene, tmp_path: Path) -> None:
    found, said = run_flow(place, tmp_path / "prefect")

    assert found["state"] == "Completed", said
    assert found["result"]["account_health"]["outcomes"]["succeeded"]["added"] == 20
    assert found["result"]["plan_upgrades"]["trigger"] == "prefect"
    assert place.held() == place.wanted()
    assert place.delivered() == dict.fromkeys(range(5), 1)


def test_a_held_run_fails_the_flow(place: Scene, tmp_path: Path) -> None:
    place.write("account_health", OBJECT_SYNC, guardrails={"max_changed": 0})
    place.run("account_health")
    place.sql("UPDATE accounts SET health = health + 1")
    found, said = run_flow(place, tmp_path / "prefect", "account_health")

    assert found["state"] == "Failed"
    assert "account_health: held" in said
