from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from connector.errors import ConfigError, Problem, StateError
from connector.state.runs import Finish, NewRun, new_run_id

if TYPE_CHECKING:
    from connector.state.history import History

    from .fake_clock import FakeClock

RUN = NewRun(
    run_id="20260101T000000Z-ab12cd",
    sync="account_health",
    trigger="cli",
    model="account_health",
    destination="pendo",
    object="account",
    config={"match": "account_id"},
)
ROWS = {"queried": 3, "null_key": 0, "duplicate_key": 0, "unchanged": 0, "added": 2, "changed": 1, "removed": 0}
OUTCOMES = {
    "succeeded": {"added": 1, "changed": 1, "removed": 0},
    "rejected": {"added": 1, "changed": 0, "removed": 0},
}
REQUESTS = {"sent": 3, "retried": 1, "split": 1}


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311  names, not secrets


def start(history: History, *names: str, sync: str = "account_health") -> None:
    for name in names:
        history.runs.start(replace(RUN, run_id=name, sync=sync))


def test_a_run_id_sorts_by_time_and_is_short(clock: FakeClock) -> None:
    first = new_run_id(clock, seeded(1))
    clock.sleep(1)
    second = new_run_id(clock, seeded(2))

    assert first == f"20260101T000000Z-{seeded(1).getrandbits(24):06x}"
    assert first < second


def test_run_ids_of_one_second_differ(clock: FakeClock) -> None:
    random = seeded(1)

    assert len({new_run_id(clock, random) for _ in range(100)}) == 100


def test_a_started_run_says_who_runs_it(history: History, clock: FakeClock) -> None:
    history.runs.start(RUN)

    run = history.runs.get(RUN.run_id)

    assert (run.status, run.stage, run.pid, run.host) == ("running", None, os.getpid(), socket.gethostname())
    assert (run.started_at, run.finished_at, run.config) == (clock.now(), None, {"match": "account_id"})
    assert (run.rows, run.outcomes, run.requests, run.warnings, run.timings) == (None, None, None, [], {})


def test_a_run_says_what_it_is_doing(history: History) -> None:
    history.runs.start(RUN)
    history.runs.stage(RUN.run_id, "processing")

    assert history.runs.get(RUN.run_id).stage == "processing"


def test_a_finished_run_gives_back_its_result_exactly(history: History, clock: FakeClock) -> None:
    history.runs.start(RUN)
    clock.sleep(61)
    end = Finish("warning", None, MappingProxyType(ROWS), MappingProxyType(OUTCOMES), MappingProxyType(REQUESTS))
    history.runs.finish(RUN.run_id, end)

    found = history.runs.get(RUN.run_id).json()

    expected: dict[str, Any] = {
        "run_id": RUN.run_id,
        "sync": "account_health",
        "status": "warning",
        "started_at": "2026-01-01T00:00:00Z",
        "finished_at": "2026-01-01T00:01:01Z",
        "trigger": "cli",
        "error": None,
        "rows": ROWS,
        "outcomes": OUTCOMES,
        "requests": REQUESTS,
    }
    assert json.dumps(found) == json.dumps(expected)


def test_a_failed_run_keeps_its_error_and_its_warnings(history: History) -> None:
    history.runs.start(RUN)
    error = Problem("the key is not valid", "bad-key", hint="check PENDO_INTEGRATION_KEY")
    warning = Problem("no account_id", "no-account-id", at="sync_configs/x.yml:1:1")
    history.runs.finish(RUN.run_id, Finish("failed", error, warnings=[warning], timings={"querying": 1.5}))

    run = history.runs.get(RUN.run_id)

    assert run.json()["error"] == {"slug": "bad-key", "message": error.message, "hint": error.hint}
    assert run.json()["rows"] is None
    assert run.warnings == [
        {"slug": "no-account-id", "message": "no account_id", "hint": None, "at": "sync_configs/x.yml:1:1"}
    ]
    assert run.timings == {"querying": 1.5}


def test_runs_are_listed_newest_first_page_by_page(history: History, clock: FakeClock) -> None:
    for name in ("r1", "r2", "r3"):
        start(history, name)
        clock.sleep(1)
    start(history, "other", sync="events")

    def names(**page: int) -> list[str]:
        return [run.run_id for run in history.runs.list("account_health", **page)]

    assert names() == ["r3", "r2", "r1"]
    assert names(limit=1, offset=1) == ["r2"]
    assert names(offset=2) == ["r1"]
    assert [run.run_id for run in history.runs.list()] == ["other", "r3", "r2", "r1"]


def test_the_latest_run_is_the_newest_of_its_sync(history: History) -> None:
    assert history.runs.latest() is None

    start(history, "a", "b")
    start(history, "c", sync="events")

    latest = history.runs.latest("account_health")
    assert latest is not None
    assert latest.run_id == "b"


def test_unfinished_runs_are_those_that_never_ended(history: History) -> None:
    start(history, "a", "b")
    start(history, "c", sync="events")
    history.runs.finish("a", Finish("success"))

    assert [run.run_id for run in history.runs.unfinished("account_health")] == ["b"]
    assert {run.run_id for run in history.runs.unfinished()} == {"b", "c"}


@pytest.mark.parametrize(
    ("name", "run_id"),
    [
        ("20260101T000000Z-ab12cd", "20260101T000000Z-ab12cd"),
        ("20260102", "20260102T000000Z-ab0000"),
        ("ab12cd", "20260101T000000Z-ab12cd"),
        ("exact", "exact"),
    ],
)
def test_a_run_is_found_by_what_is_unique_in_its_id(history: History, name: str, run_id: str) -> None:
    start(history, "exact", "exact-longer", "20260101T000000Z-ab12cd", "20260102T000000Z-ab0000")

    assert history.runs.resolve(name) == run_id


def test_the_last_run_may_be_that_of_one_sync(history: History, clock: FakeClock) -> None:
    start(history, "a")
    clock.sleep(1)
    start(history, "b", sync="events")

    assert history.runs.resolve("last") == "b"
    assert history.runs.resolve("last", "account_health") == "a"


@pytest.mark.parametrize(
    ("name", "slug", "said"),
    [
        ("2027", "unknown-run", "connector runs"),
        ("", "unknown-run", "connector runs"),
        ("%", "unknown-run", "connector runs"),
        ("2026", "ambiguous-run", "20260101T000000Z-000005, 20260101T000000Z-000004"),
    ],
)
def test_a_name_that_means_no_run_or_several_is_refused(history: History, name: str, slug: str, said: str) -> None:
    start(history, *(f"20260101T000000Z-00000{n}" for n in range(6)))

    with pytest.raises(ConfigError) as refused:
        history.runs.resolve(name)

    assert refused.value.problem.slug == slug
    assert said in str(refused.value)


@pytest.mark.parametrize(("sync", "said"), [(None, "there is no run yet"), ("x", "no run of sync 'x' yet")])
def test_without_runs_there_is_no_last_one(history: History, sync: str | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        history.runs.resolve("last", sync)

    assert refused.value.problem.slug == "no-runs"


def test_a_run_must_be_named_in_full_to_be_read(history: History) -> None:
    with pytest.raises(ConfigError) as refused:
        history.runs.get("2026")

    assert refused.value.problem.slug == "unknown-run"


def test_a_run_that_vanished_while_it_went_on_is_an_error(history: History) -> None:
    with pytest.raises(StateError) as refused:
        history.runs.stage("gone", "querying")

    assert refused.value.problem.slug == "run-gone"


def test_a_run_id_can_be_used_once_only(history: History) -> None:
    history.runs.start(RUN)

    with pytest.raises(StateError) as refused:
        history.runs.start(RUN)

    assert refused.value.problem.slug == "state-failed"
