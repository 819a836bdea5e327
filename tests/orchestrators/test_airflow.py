"""A real Airflow runs DAGs: with its provider for Hightouch, unmodified, and with our operator."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.project import OBJECT_SYNC, REPOSITORY, Scene
from tests.orchestrators.served import TOKEN, Served, needs, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [needs("airflow"), pytest.mark.slow, pytest.mark.timeout(900)]

AIRFLOW = str(Path(sys.executable).with_name("airflow"))
DAGS = Path(__file__).with_name("dags")
EXAMPLE = REPOSITORY / "examples" / "airflow_dag.py"


@dataclass(frozen=True, slots=True)
class Airflow:
    """An Airflow with a database of its own."""

    home: Path
    environ: Mapping[str, str]

    def start(self, dag: str, file: Path) -> subprocess.Popen[str]:
        """A run of a DAG, which has started, after putting its file where Airflow looks for it."""
        folder = self.home / "dags"
        folder.mkdir(exist_ok=True)
        there = shutil.copy(file, folder)
        return subprocess.Popen(
            [AIRFLOW, "dags", "test", dag, "--dagfile-path", str(there)],
            env={**os.environ, **self.environ},
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, dag: str, file: Path) -> tuple[str, str]:
        """The state of a run of a DAG that has ended, and all that was said."""
        said, _ = self.start(dag, file).communicate(timeout=600)
        found = self.ask("SELECT state FROM dag_run WHERE dag_id = ?", dag)
        assert len(found) == 1, said
        return found[0][0], said

    def states(self, dag: str) -> dict[str, str]:
        """The state of each task of a DAG."""
        return dict(self.ask("SELECT task_id, state FROM task_instance WHERE dag_id = ?", dag))

    def xcoms(self, dag: str, task: str) -> dict[str, Any]:
        """What a task has handed on."""
        found = self.ask("SELECT key, value FROM xcom WHERE dag_id = ? AND task_id = ?", dag, task)
        return {key: decoded(value) for key, value in found}

    def ask(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """The rows of a query in Airflow's database."""
        with closing(sqlite3.connect(self.home / "airflow.db")) as connection:
            return connection.execute(query, values).fetchall()


def decoded(value: Any) -> Any:
    """A value of a JSON column: SQLite keeps the numbers among them as numbers."""
    return json.loads(value) if isinstance(value, str) else value


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of an Airflow whose database is empty."""
    home = tmp_path_factory.mktemp("airflow")
    environ = {**os.environ, **settings_of(home)}
    subprocess.run([AIRFLOW, "db", "migrate"], env=environ, cwd=home, check=True, capture_output=True, timeout=600)
    return home


def settings_of(home: Path) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    }


def airflow_with(migrated: Path, tmp_path: Path, place: Scene, connection: str, url: str) -> Airflow:
    """An Airflow with an empty database and one connection, to the server."""
    home = tmp_path / "airflow"
    shutil.copytree(migrated, home)
    host, _, port = url.removeprefix("http://").partition(":")
    there = {"conn_type": "http", "host": host, "port": int(port or 80), "password": TOKEN, "schema": "http"}
    environ = {
        **settings_of(home),
        f"AIRFLOW_CONN_{connection.upper()}": json.dumps(there),
        "CONNECTOR_PROJECT": str(place.root),
        "PYTHONPATH": str(REPOSITORY),
    }
    return Airflow(home, environ)


# --- with the provider for Hightouch ----------------------------------------------------------------------------------


def test_the_provider_for_hightouch_triggers_polls_and_senses(served: Served, migrated: Path, tmp_path: Path) -> None:
    engine = airflow_with(migrated, tmp_path, served.scene, "hightouch_default", served.url)
    ids = {"ACCOUNTS_ID": str(served.number("account_health")), "EVENTS_ID": str(served.number("plan_upgrades"))}
    state, said = Airflow(engine.home, {**engine.environ, **ids}).run("hightouch", DAGS / "hightouch_dag.py")

    assert state == "success", said
    assert engine.states("hightouch") == dict.fromkeys(("by_slug", "by_id", "not_waiting", "sensor"), "success")
    assert served.scene.held() == served.scene.wanted()
    assert served.scene.delivered() == dict.fromkeys(range(5), 1)
    newest, oldest = served.get("/syncs/account_health/runs")["data"]
    assert engine.xcoms("hightouch", "not_waiting")["return_value"] == str(newest["id"])
    assert oldest["successfulRows"]["addedCount"] == 20


def test_the_provider_for_hightouch_fails_on_what_has_failed(served: Served, migrated: Path, tmp_path: Path) -> None:
    served.scene.write("account_health", OBJECT_SYNC, guardrails={"max_changed": 0})
    served.scene.run("account_health")
    served.scene.sql("UPDATE accounts SET health = health + 1")
    engine = airflow_with(migrated, tmp_path, served.scene, "hightouch_default", served.url)
    ids = {"ACCOUNTS_ID": "1", "EVENTS_ID": "2"}
    state, said = Airflow(engine.home, {**engine.environ, **ids}).run("hightouch", DAGS / "hightouch_dag.py")

    assert state == "failed"
    assert engine.states("hightouch")["by_slug"] == "failed"
    assert "max_changed" in said


# --- with our operator ------------------------------------------------------------------------------------------------


def test_our_operator_runs_a_sync_in_a_child_process(place: Scene, migrated: Path, tmp_path: Path) -> None:
    place.sandbox.add({"failing_ids": {"account": {"acct-3": "no good"}}})
    engine = airflow_with(migrated, tmp_path, place, "connector_default", "http://127.0.0.1:9")
    state, said = engine.run("here", DAGS / "own_dag.py")
    found = engine.xcoms("here", "health")

    assert state == "success", said
    assert (found["status"], found["exit_code"]) == ("warning", 2)
    assert (found["counts"]["succeeded"], found["counts"]["rejected"]) == (19, 1)
    with place.project() as project:
        assert found["return_value"] == project.runs("account_health")[0].json()


def test_a_warning_fails_the_task_where_that_is_wanted(place: Scene, migrated: Path, tmp_path: Path) -> None:
    place.sandbox.add({"failing_ids": {"account": {"acct-3": "no good"}}})
    engine = airflow_with(migrated, tmp_path, place, "connector_default", "http://127.0.0.1:9")
    state, said = engine.run("strict", DAGS / "own_dag.py")
    found = engine.xcoms("strict", "health")

    assert state == "failed"
    assert "1 rows not delivered" in said
    assert (found["status"], found["exit_code"]) == ("warning", 2)
    assert "return_value" not in found


@pytest.mark.parametrize("dag", ["there", "deferred"])
def test_our_operator_has_the_server_run_a_sync(dag: str, served: Served, migrated: Path, tmp_path: Path) -> None:
    engine = airflow_with(migrated, tmp_path, served.scene, "connector_default", served.url)
    state, said = engine.run(dag, DAGS / "own_dag.py")
    found = engine.xcoms(dag, "health")

    assert state == "success", said
    assert (found["status"], found["exit_code"], found["counts"]["succeeded"]) == ("success", 0, 20)
    assert found["return_value"]["trigger"] == "api"
    assert served.scene.held() == served.scene.wanted()
    assert ("deferred" in said) or dag == "there"


def test_the_example_runs(served: Served, migrated: Path, tmp_path: Path) -> None:
    engine = airflow_with(migrated, tmp_path, served.scene, "connector_default", served.url)
    state, said = engine.run("pendo", EXAMPLE)

    assert state == "success", said
    assert engine.states("pendo") == {"account_health": "success", "plan_upgrades": "success"}
    assert served.scene.delivered() == dict.fromkeys(range(5), 1)


def test_a_task_that_is_killed_cancels_its_run(place: Scene, migrated: Path, tmp_path: Path) -> None:
    place.accounts(2000)
    place.write("account_health", OBJECT_SYNC, batch={"rows": 10})
    place.point_at(concurrency=1, max_requests_per_second=5)
    engine = airflow_with(migrated, tmp_path, place, "connector_default", "http://127.0.0.1:9")
    task = engine.start("here", DAGS / "own_dag.py")
    wait_until(lambda: place.held() or task.poll() is not None)
    task.send_signal(signal.SIGTERM)
    said, _ = task.communicate(timeout=120)

    with place.project() as project:
        (run,) = project.runs("account_health")
    assert run.status == "cancelled", said
    assert run.outcomes is not None
    assert 0 < run.outcomes["succeeded"]["added"] < 2000


KILL = """
import asyncio, sys
from connector.integrations.airflow import SyncTrigger
asyncio.run(SyncTrigger("connector_default", sys.argv[1]).on_kill())
"""


def test_a_deferred_task_that_is_cleared_cancels_its_run(served: Served, migrated: Path, tmp_path: Path) -> None:
    """What the triggerer calls when a user clears the task, or marks it as failed."""
    served.scene.accounts(2000)
    served.scene.write("account_health", OBJECT_SYNC, batch={"rows": 10})
    served.scene.point_at(concurrency=1, max_requests_per_second=5)
    engine = airflow_with(migrated, tmp_path, served.scene, "connector_default", served.url)
    number = served.trigger("account_health")
    wait_until(served.scene.held)
    environ = {**os.environ, **engine.environ}
    subprocess.run([sys.executable, "-c", KILL, number], env=environ, check=True, timeout=300, capture_output=True)
    wait_until(lambda: served.get(f"/runs/{number}")["finished_at"])
    ended = served.get(f"/runs/{number}")

    assert ended["status"] == "cancelled"
    assert 0 < ended["outcomes"]["succeeded"]["added"] < 2000
