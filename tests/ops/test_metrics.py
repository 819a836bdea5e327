"""What Prometheus, Kubernetes and a load balancer are told, over a real port."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from connector.schedule.loop import SchedulerState
from connector.serve.metrics import Metrics
from connector.serve.ops import readiness
from connector.serve.serving import Serving
from connector.state import open_history
from connector.state.due import DueSync
from connector.state.runs import Finish, NewRun
from tests.e2e.project import OBJECT_SYNC, REPOSITORY, Scene, scene
from tests.serve.web import served
from tests.state.fake_clock import NEW_YEAR, FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connector.state.history import History


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path / "project") as made:
        made.accounts(3)
        made.write("accounts", OBJECT_SYNC)
        yield made


def serving(history: History, clock: FakeClock, **more: Any) -> Serving:
    def no_project() -> Any:
        raise AssertionError("nobody asks for it")

    settings: dict[str, Any] = {"project": no_project, **more}
    return Serving(history.state_dir, history.state_dir, history, clock, **settings)


def values(text: str) -> dict[str, float]:
    """Each sample by its name and labels."""
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ended(history: History, number: int, status: str = "success", **more: Any) -> None:
    history.runs.start(NewRun(f"run-{number}", "accounts", "schedule", "accounts", "pendo", "account"))
    history.runs.finish(f"run-{number}", Finish(status, **more))


def test_metrics_of_a_served_project(place: Scene) -> None:
    with served(place) as url:
        place.run("accounts")
        place.sandbox.add_faults({"status": 403})
        place.run("accounts", full_resync=True)
        answer = httpx.get(url + "/metrics")
        found = values(answer.text)

    assert answer.headers["content-type"].startswith("text/plain")
    assert found["connector_runs_total status=success sync=accounts"] == 1
    assert found["connector_runs_total status=failed sync=accounts"] == 1
    assert found["connector_rows_total change=added outcome=succeeded sync=accounts"] == 3
    assert found["connector_rows_queried_total sync=accounts"] == 6
    assert found["connector_requests_total kind=sent sync=accounts"] >= 2
    assert found["connector_run_duration_seconds_count sync=accounts"] == 2
    assert (
        found["connector_last_success_timestamp_seconds sync=accounts"]
        < (found["connector_last_run_timestamp_seconds sync=accounts"])
    )
    assert found["connector_scheduler_active"] == 0
    assert [name for name in found if name.startswith("connector_info version=")]


def test_a_run_counts_once_however_often_it_is_asked_for(tmp_path: Path) -> None:
    clock = FakeClock()
    with open_history(tmp_path, clock=clock) as history:
        metrics = Metrics(serving(history, clock))
        seen = []
        for number in range(4):
            ended(history, number)
            clock.time += 400
            metrics.scrape()
            seen.append(values(metrics.scrape().decode())["connector_runs_total status=success sync=accounts"])

        assert seen == [1, 2, 3, 4]


def test_a_run_that_is_written_down_late_counts_too(tmp_path: Path) -> None:
    clock = FakeClock()
    with open_history(tmp_path, clock=clock) as history:
        metrics = Metrics(serving(history, clock))
        ended(history, 1)
        metrics.scrape()
        clock.time -= 300
        ended(history, 2)
        found = values(metrics.scrape().decode())

    assert found["connector_runs_total status=success sync=accounts"] == 2


def test_what_waits_is_due_paused_or_in_trouble(tmp_path: Path) -> None:
    clock = FakeClock()
    with open_history(tmp_path, clock=clock) as history:
        state = SchedulerState(active=True, looked_at=clock.now())
        metrics = Metrics(serving(history, clock, scheduler=lambda: state))
        history.triggers.ask("accounts", trigger="api")
        history.due.put(DueSync("accounts", "every 1h", NEW_YEAR + 3600))
        history.pauses.pause("events")
        history.alerts.mute("events", NEW_YEAR + 60)
        history.runs.start(NewRun("going", "accounts", "api", "accounts", "pendo", "account"))
        found = values(metrics.scrape().decode())
        history.due.forget("accounts")
        clock.time += 61
        later = values(metrics.scrape().decode())

    assert found["connector_queue_length"] == 1
    assert found["connector_next_run_timestamp_seconds sync=accounts"] == NEW_YEAR + 3600
    assert found["connector_schedule_paused sync=events"] == 1
    assert found["connector_alert_muted sync=events"] == 1
    assert found["connector_runs_in_progress sync=accounts"] == 1
    assert found["connector_scheduler_active"] == 1
    assert "connector_next_run_timestamp_seconds sync=accounts" not in later
    assert "connector_alert_muted sync=events" not in later


def test_a_served_project_is_alive_and_ready(place: Scene) -> None:
    with served(place) as url:
        alive, ready = httpx.get(url + "/healthz"), httpx.get(url + "/readyz")
        (place.root / "connector.yml").unlink()
        gone = httpx.get(url + "/readyz")
        still_alive = httpx.get(url + "/healthz")

    assert (alive.status_code, alive.text) == (200, "ok\n")
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, "checks": {"history": "ok", "project": "ok", "scheduler": "off"}}
    assert gone.status_code == 503
    assert gone.json()["checks"]["project"] == "no-project"
    assert still_alive.status_code == 200


def test_who_looks_after_the_server_needs_no_token_and_whoever_counts_does(place: Scene) -> None:
    with served(place, token="a-token-of-a-test") as url:
        codes = {path: httpx.get(url + path).status_code for path in ("/healthz", "/readyz", "/metrics")}
        with_token = httpx.get(url + "/metrics", headers={"authorization": "Bearer a-token-of-a-test"})

    assert codes == {"/healthz": 200, "/readyz": 200, "/metrics": 401}
    assert with_token.status_code == 200


@pytest.mark.parametrize(
    ("state", "said", "ready"),
    [
        (SchedulerState(), "starting", False),
        (SchedulerState(active=True, looked_at=NEW_YEAR), "ok", True),
        (SchedulerState(active=False, looked_at=NEW_YEAR), "standing by", True),
        (SchedulerState(active=True, looked_at=NEW_YEAR - 61), "stalled", False),
        (SchedulerState(active=True, stopping=True, looked_at=NEW_YEAR), "stopping", False),
    ],
)
def test_a_scheduler_that_does_not_look_is_not_ready(
    place: Scene, tmp_path: Path, state: SchedulerState, said: str, *, ready: bool
) -> None:
    clock = FakeClock()
    with open_history(tmp_path / "state", clock=clock) as history:

        class Loaded:
            def close(self) -> None:
                pass

        found = readiness(serving(history, clock, scheduler=lambda: state, project=Loaded))

    assert found == {"ready": ready, "checks": {"history": "ok", "project": "ok", "scheduler": said}}
    assert place.root.exists()


def test_every_metric_is_on_the_page_and_no_other(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(connector_[a-z_]+)` \|", page, re.MULTILINE))
    clock = FakeClock()
    with open_history(tmp_path, clock=clock) as history:
        families = list(Metrics(serving(history, clock)).registry.collect())

    assert listed == {family.name + ("_total" if family.type == "counter" else "") for family in families}
