"""The REST API of the real command, with its scheduler and its processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.project import OBJECT_SYNC, Scene, scene
from tests.orchestrators.served import Served, serving, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "a-token-of-the-tests"
ENDED = ("success", "warning", "failed", "cancelled", "interrupted")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path / "p") as made:
        made.accounts(20)
        made.write("account_health", OBJECT_SYNC)
        yield made


def ended(served: Served, number: str) -> dict[str, Any]:
    """The run, after it has ended, as a client that waits for it sees it."""

    def look() -> dict[str, Any]:
        (found,) = served.get("/syncs/account_health/runs", runId=number)["data"]
        return dict(found)

    wait_until(lambda: look()["status"] in ENDED)
    return look()


def test_a_run_that_was_asked_for_runs_and_is_followed_to_its_end(place: Scene) -> None:
    with serving(place, TOKEN) as served:
        number = served.trigger("account_health")
        run = ended(served, number)

    assert (run["status"], run["successfulRows"]["addedCount"]) == ("success", 20)
    assert place.held() == place.wanted()


@pytest.mark.slow
def test_a_run_is_cancelled_and_one_that_waits_behind_it_runs(place: Scene) -> None:
    place.accounts(400)
    place.write("account_health", OBJECT_SYNC, batch={"rows": 10})
    place.point_at(concurrency=1, max_requests_per_second=5)
    with serving(place, TOKEN) as served:
        first = served.trigger("account_health")
        wait_until(place.held)
        place.point_at(max_requests_per_second=1000)
        second = served.trigger("account_health")
        served.cancel(first)
        stopped, after = ended(served, first), ended(served, second)

    assert stopped["status"] == "cancelled"
    assert 0 < stopped["successfulRows"]["addedCount"] < 400
    assert after["status"] == "success"
    assert after["successfulRows"]["addedCount"] + stopped["successfulRows"]["addedCount"] == 400
    assert after["createdAt"] < stopped["finishedAt"] <= after["startedAt"]


@pytest.mark.slow
def test_a_run_that_waits_survives_the_server(place: Scene) -> None:
    with serving(place, TOKEN, "--no-schedule") as served:
        number = served.trigger("account_health")
    with serving(place, TOKEN) as served:
        run = ended(served, number)

    assert (run["id"], run["status"]) == (int(number), "success")
