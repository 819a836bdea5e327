"""A sync's file that is older than the history: put back alone from a backup, it does not know what was sent since."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from connector.errors import StateError
from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, Scene, outcomes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def older(quick: Scene, tmp_path: Path) -> Scene:
    """A project whose sync files are those of the run before the last one."""
    if quick.planner == "warehouse":
        pytest.skip("the snapshot is in the warehouse, and its version tells")
    quick.write(EVENTS, EVENT_SYNC)
    quick.write(ACCOUNTS, OBJECT_SYNC)
    for count in (10, 20):
        quick.events(count)
        quick.accounts(count)
        for sync in (EVENTS, ACCOUNTS):
            quick.run(sync)
        if count == 10:
            shutil.copytree(quick.state_dir / "syncs", tmp_path / "backup")
    shutil.rmtree(quick.state_dir / "syncs")
    shutil.copytree(tmp_path / "backup", quick.state_dir / "syncs")
    return quick


def refused(place: Scene) -> str:
    """The slug of a run, and of a plan, that do not begin."""
    with place.project() as project, pytest.raises(StateError) as planned:
        project.plan(EVENTS)
    with pytest.raises(StateError) as run:
        place.run(EVENTS)
    assert planned.value.problem == run.value.problem
    return run.value.problem.slug


def test_no_event_goes_out_that_the_history_knows_as_sent(older: Scene) -> None:
    slug = refused(older)
    with older.project() as project:
        taken = project.reset(EVENTS, baseline=True)
    quiet = older.run(EVENTS)
    older.events(25)
    after = [older.run(EVENTS), older.run(EVENTS)]

    assert slug == "state-lost"
    assert taken == 20
    assert outcomes(quiet) == {}
    assert [outcomes(run) for run in after] == [{"succeeded": 5}, {}]
    assert set(older.delivered().values()) == {1}


def test_after_a_reset_everything_goes_out_again_as_was_asked_for(older: Scene) -> None:
    with older.project() as project:
        project.reset(EVENTS)

    assert outcomes(older.run(EVENTS)) == {"succeeded": 20}
    assert outcomes(older.run(EVENTS)) == {}


def test_objects_are_sent_again(older: Scene) -> None:
    assert outcomes(older.run(ACCOUNTS)) == {"succeeded": 10}
    assert older.held() == older.wanted()


@pytest.mark.parametrize("fault", [{"status": 429, "retry_after": 5}, {"status": 400}])
def test_a_run_that_is_killed_after_a_call_that_settled_nothing_blocks_nobody(
    real: Scene, fault: dict[str, object]
) -> None:
    real.events(20)
    sync = real.write(EVENTS, EVENT_SYNC, batch={"rows": 10})
    real.point_at(concurrency=1)
    real.sandbox.add_faults({"path": "/data/track", "first": 2, "last": 2, **fault})
    real.start("run", sync, environ={"CONNECTOR_FAILPOINT": "before-intent:3"}).communicate()
    real.sandbox.clear_faults()

    after = real.run(sync)

    assert outcomes(after) == {"succeeded": 10}
    assert set(real.delivered().values()) == {1}
