"""`kill -9` at every named moment and at random ones: after one more run everything is where it belongs."""

from __future__ import annotations

import signal
import time
from random import Random
from typing import TYPE_CHECKING

import pytest

from connector import failpoints
from connector.failpoints import NAMES
from tests.e2e.nursery import Nursery, nursery
from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, REPOSITORY, Scene, check_counts, scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.state.runs import Run

ROWS = 50_000
FEW = 3_000
BATCH = 500
CONCURRENCY = 8
IN_FLIGHT = BATCH * CONCURRENCY
RANDOM_KILLS = 15  # of each sync
REPEATED = {"before-intent", "before-send", "before-answer", "before-verdict"}
"""Moments that each request has: killed in the middle of the run."""
SYNCS = (ACCOUNTS, EVENTS)
SINGLES = "singles"
"""The events again, each in a request of its own."""


@pytest.fixture(scope="module")
def children() -> Iterator[Nursery]:
    with nursery(str(REPOSITORY)) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A project whose warehouse stays as it is; every test starts with no state and a sandbox without values."""
    with scene(tmp_path_factory.mktemp("kill") / "p", concurrency=CONCURRENCY) as made:
        made.write(ACCOUNTS, OBJECT_SYNC)
        made.write(EVENTS, EVENT_SYNC)
        made.write(SINGLES, EVENT_SYNC, batch={"rows": 1})
        made.sandbox.seed({"accounts": [f"acct-{at}" for at in range(ROWS)]})
        yield made


@pytest.fixture(scope="module")
def usual_s(shared: Scene, children: Nursery) -> float:
    """How long an undisturbed run takes here and now."""
    fresh(shared, ROWS)
    began = time.monotonic()
    children.start(shared, "run", EVENTS)
    assert children.wait() == 0
    return time.monotonic() - began


def fresh(place: Scene, rows: int) -> None:
    """Nothing, after going back to the beginning: no state, and a sandbox that knows the accounts and no values."""
    place.forget()
    place.sandbox.reset()
    if place.ask("SELECT count(*) FROM events") != [(rows,)]:
        place.events(rows)
        place.accounts(rows, known=True)


def calm(place: Scene) -> None:
    """Nothing, when the sandbox has done with what the dead process sent."""
    time.sleep(0.05)
    while not all(entry.finished for entry in place.sandbox.requests):
        time.sleep(0.01)


def dead_run(place: Scene, sync: str) -> Run | None:
    """The run before the last one, None where there was just one."""
    with place.project() as project:
        runs = project.runs(sync)
    return runs[1] if len(runs) > 1 else None


def assert_one_more_run_is_enough(place: Scene, sync: str, rows: int, in_flight: int = IN_FLIGHT) -> Run | None:
    """The dead run, after another one brought what was missing, and a third had nothing to do."""
    calm(place)
    assert place.run(sync).status == "success"
    dead = dead_run(place, sync)
    quiet = place.run(sync).json()

    assert (quiet["rows"]["unchanged"], quiet["requests"]["sent"]) == (rows, 0)
    if sync == ACCOUNTS:
        assert place.held() == place.wanted()
    else:
        delivered = place.delivered()
        assert set(delivered) == set(range(rows))
        assert max(delivered.values()) <= 2
        assert delivered.total() - rows <= in_flight
    received, logged = place.received(), place.logged("all")
    assert not received - logged
    assert (logged - received).total() <= CONCURRENCY
    return dead


def test_a_moment_is_counted_only_when_it_is_the_wanted_one() -> None:
    failpoints.arm("settled:3")
    for name in ("settled", "finished", "settled"):
        failpoints.reach(name)
    failpoints.arm("")


def named(name: str) -> str:
    return f"{name}:30" if name in REPEATED else name


@pytest.mark.slow
@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "recovered"])
def test_after_a_kill_at_a_named_moment_one_more_run_is_enough(
    shared: Scene, children: Nursery, name: str, sync: str
) -> None:
    fresh(shared, ROWS)
    children.start(shared, "run", sync, failpoint=named(name))

    assert children.wait() == -signal.SIGKILL
    dead = assert_one_more_run_is_enough(shared, sync, ROWS)
    assert dead is not None
    assert dead.status == ("success" if name == "finished" else "interrupted")
    check_counts(dead.json())
    assert dead.rows is not None
    assert dead.rows["added"] == (0 if name in {"run-started", "rows-staged"} else ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("seed", range(RANDOM_KILLS))
def test_after_a_kill_at_any_moment_one_more_run_is_enough(
    shared: Scene, children: Nursery, usual_s: float, seed: int, sync: str
) -> None:
    fresh(shared, ROWS)
    moment = Random(seed).random()  # noqa: S311 - repeatable on purpose
    children.start(shared, "run", sync)
    time.sleep(moment * usual_s)
    children.kill()

    assert children.wait() in {0, -signal.SIGKILL}
    dead = assert_one_more_run_is_enough(shared, sync, ROWS)
    if dead is not None:
        assert dead.status in {"interrupted", "success"}
        check_counts(dead.json())


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(f"{name}:{nth}" for name in sorted(REPEATED) for nth in (1, 7, 500)), "all-sent"])
def test_after_a_kill_with_single_rows_in_flight_one_more_run_is_enough(
    shared: Scene, children: Nursery, name: str
) -> None:
    fresh(shared, FEW)
    children.start(shared, "run", SINGLES, failpoint=name)

    assert children.wait() == -signal.SIGKILL
    dead = assert_one_more_run_is_enough(shared, SINGLES, FEW, in_flight=CONCURRENCY)
    assert dead is not None
    assert dead.status == "interrupted"
    check_counts(dead.json())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(RANDOM_KILLS))
def test_after_a_kill_with_single_rows_in_flight_at_any_moment_one_more_run_is_enough(
    shared: Scene, children: Nursery, seed: int
) -> None:
    fresh(shared, FEW)
    children.start(shared, "run", SINGLES)
    time.sleep(3 * Random(seed).random())  # noqa: S311 - repeatable on purpose
    children.kill()

    assert children.wait() in {0, -signal.SIGKILL}
    dead = assert_one_more_run_is_enough(shared, SINGLES, FEW, in_flight=CONCURRENCY)
    if dead is not None:
        check_counts(dead.json())


@pytest.mark.parametrize(("name", "sync"), [("before-send:3", EVENTS), ("before-verdict:4", ACCOUNTS)])
def test_a_killed_run_that_was_killed_while_it_recovered_loses_nothing(
    shared: Scene, children: Nursery, name: str, sync: str
) -> None:
    fresh(shared, FEW)
    for failpoint in (name, "before-settle-commit", "recovered"):
        children.start(shared, "run", sync, failpoint=failpoint)
        assert children.wait() == -signal.SIGKILL

    dead = assert_one_more_run_is_enough(shared, sync, FEW)
    assert dead is not None
    assert dead.status == "interrupted"
    check_counts(dead.json())
