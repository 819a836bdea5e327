"""A real Dagster runs jobs: with its Hightouch library, unmodified, and with our assets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.project import OBJECT_SYNC, REPOSITORY, Scene
from tests.orchestrators.served import Served, needs, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [needs("dagster"), pytest.mark.slow, pytest.mark.timeout(900)]

DAGSTER = str(Path(sys.executable).with_name("dagster"))
JOBS = Path(__file__).with_name("dags")
EVENTS = Path(__file__).with_name("dagster_events.py")
EXAMPLE = REPOSITORY / "examples" / "dagster_job.py"


@dataclass(frozen=True, slots=True)
class Dagster:
    """A Dagster with an event log of its own."""

    home: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def start(self, job: str, file: Path) -> subprocess.Popen[str]:
        """A run of a job, which has started."""
        self.home.mkdir(exist_ok=True)
        return subprocess.Popen(
            [DAGSTER, "job", "execute", "-f", str(file), "-j", job],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, job: str, file: Path) -> tuple[dict[str, Any], str]:
        """What Dagster remembers of a run of a job that has ended, and all that was said."""
        said, _ = self.start(job, file).communicate(timeout=600)
        return self.events(said), said

    def events(self, said: str) -> dict[str, Any]:
        """Status, materializations and checks of the newest run; `said` is shown when there is none."""
        done = subprocess.run(
            [sys.executable, str(EVENTS)], env=self._environ, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, said + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @property
    def _environ(self) -> dict[str, str]:
        own = {"DAGSTER_HOME": str(self.home), "DAGSTER_DISABLE_TELEMETRY": "yes", "PYTHONPATH": str(REPOSITORY)}
        return {**os.environ, **own, **self.environ}


@pytest.fixture
def own(place: Scene, tmp_path: Path) -> Dagster:
    """A Dagster that knows where the project is."""
    return Dagster(tmp_path / "dagster", {"CONNECTOR_PROJECT": str(place.root)})


def with_library(served: Served, tmp_path: Path) -> Dagster:
    environ = {
        "CONNECTOR_URL": served.url,
        "CONNECTOR_TOKEN": served.token,
        "ACCOUNTS_ID": str(served.number("account_health")),
        "EVENTS_ID": str(served.number("plan_upgrades")),
    }
    return Dagster(tmp_path / "dagster", environ)


# --- with Dagster's Hightouch library ---------------------------------------------------------------------------------


def test_its_op_triggers_polls_and_records_the_counts(served: Served, tmp_path: Path) -> None:
    found, said = with_library(served, tmp_path).run("by_ops", JOBS / "hightouch_jobs.py")
    run = served.last_run("account_health")

    assert found["status"] == "SUCCESS", said
    assert set(found["materializations"]) == {"hightouch/pendo/pendo/account", "hightouch/pendo/pendo/track_event"}
    counts = found["materializations"]["hightouch/pendo/pendo/account"]
    assert (counts["planned_add"], counts["successful_add"], counts["failed_add"], counts["query_size"]) == (
        20,
        20,
        0,
        20,
    )
    assert (run["status"], run["successfulRows"]["addedCount"]) == ("success", 20)
    assert served.scene.held() == served.scene.wanted()
    assert served.scene.delivered() == dict.fromkeys(range(5), 1)


def test_its_resource_makes_an_asset(served: Served, tmp_path: Path) -> None:
    found, said = with_library(served, tmp_path).run("asset_of_resource", JOBS / "hightouch_jobs.py")
    run = served.last_run("account_health")

    assert found["status"] == "SUCCESS", said
    assert found["materializations"] == {"by_resource": {"run": run["id"], "to": "pendo"}}


def test_its_component_makes_an_asset(served: Served, tmp_path: Path) -> None:
    served.scene.sandbox.add({"failing_ids": {"account": {"acct-3": "no good"}}})
    found, said = with_library(served, tmp_path).run("asset_of_component", JOBS / "hightouch_jobs.py")

    assert found["status"] == "SUCCESS", said
    made = found["materializations"]["by_component"]
    assert (made["total_failed_rows"], made["failed_adds"], made["query_size"], made["completion_ratio"]) == (
        1,
        1,
        20,
        1,
    )
    assert made["sync_details"]["slug"] == "account_health"
    assert made["destination_details"]["type"] == "pendo"


def test_its_op_fails_on_what_has_failed(served: Served, tmp_path: Path) -> None:
    served.scene.write("account_health", OBJECT_SYNC, guardrails={"max_changed": 0})
    served.scene.run("account_health")
    served.scene.sql("UPDATE accounts SET health = health + 1")
    found, said = with_library(served, tmp_path).run("by_ops", JOBS / "hightouch_jobs.py")

    assert (found["status"], found["materializations"]) == ("FAILURE", {})
    assert "max_changed" in said
    assert served.scene.delivered() == {}


# --- with our assets --------------------------------------------------------------------------------------------------


def test_the_example_makes_an_asset_of_each_sync(own: Dagster, place: Scene) -> None:
    found, said = own.run("pendo", EXAMPLE)
    made = found["materializations"]

    assert found["status"] == "SUCCESS", said
    assert set(made) == {"pendo/account_health", "pendo/plan_upgrades"}
    assert (made["pendo/account_health"]["queried"], made["pendo/account_health"]["succeeded"]) == (20, 20)
    assert (made["pendo/plan_upgrades"]["status"], made["pendo/plan_upgrades"]["exit_code"]) == ("success", 0)
    assert len(found["checks"]) == 6
    assert all(passed for passed, _, _ in found["checks"].values())
    assert place.held() == place.wanted()
    assert place.delivered() == dict.fromkeys(range(5), 1)


def test_rows_that_were_not_delivered_fail_a_check_and_not_the_run(own: Dagster, place: Scene) -> None:
    place.sandbox.add({"failing_ids": {"account": {"acct-3": "no good"}}})
    found, said = own.run("accounts", JOBS / "own_jobs.py")
    passed, severity, metadata = found["checks"]["pendo/account_health: all_rows_delivered"]

    assert found["status"] == "SUCCESS", said
    assert found["materializations"]["pendo/account_health"]["rejected"] == 1
    assert (passed, severity, metadata["rows"]) == (False, "WARN", 1)
    assert "| 1 | rejected | " in metadata["reasons"]
    assert "acct-3" in metadata["reasons"]
    assert found["checks"]["pendo/account_health: run_ended"][0]


def test_a_held_run_fails_its_check_and_the_run_and_makes_nothing(own: Dagster, place: Scene) -> None:
    place.write("account_health", OBJECT_SYNC, guardrails={"max_changed": 0})
    place.run("account_health")
    place.sql("UPDATE accounts SET health = health + 1")
    found, said = own.run("accounts", JOBS / "own_jobs.py")
    passed, severity, metadata = found["checks"]["pendo/account_health: within_guardrails"]

    assert (found["status"], found["materializations"]) == ("FAILURE", {})
    assert (passed, severity) == (False, "ERROR")
    assert "max_changed" in metadata["run"]
    assert "max_changed" in said


def test_a_job_that_is_stopped_cancels_its_run(own: Dagster, place: Scene) -> None:
    place.accounts(2000)
    place.write("account_health", OBJECT_SYNC, batch={"rows": 10})
    place.point_at(concurrency=1, max_requests_per_second=5)
    job = own.start("accounts", JOBS / "own_jobs.py")
    wait_until(lambda: place.held() or job.poll() is not None)
    job.send_signal(signal.SIGINT)
    said, _ = job.communicate(timeout=120)

    with place.project() as project:
        (run,) = project.runs("account_health")
    assert run.status == "cancelled", said
    assert run.outcomes is not None
    assert 0 < run.outcomes["succeeded"]["added"] < 2000
