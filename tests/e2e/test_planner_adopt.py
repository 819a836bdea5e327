"""A snapshot in the warehouse is taken over by a state directory that is older, or newer: no event goes out twice."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from connector.errors import StateError
from tests.e2e.project import EVENT_SYNC, EVENTS, Scene, outcomes, scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Scene]:
    """A project whose snapshot is kept in a DuckDB file, with ten events that were sent."""
    with scene(tmp_path / "p", source="duckdb", planner="warehouse") as made:
        made.write(EVENTS, EVENT_SYNC)
        made.events(10)
        made.run(EVENTS)
        yield made


def adopted(place: Scene) -> int:
    """The rows of the snapshot that is taken over, after a run was refused."""
    with pytest.raises(StateError) as refused:
        place.run(EVENTS)
    assert refused.value.problem.slug == "snapshot-changed"
    with place.project() as project:
        return project.kept(EVENTS).adopt()


def test_what_an_older_state_directory_takes_for_undelivered_was_delivered_since(kept: Scene, tmp_path: Path) -> None:
    kept.events(20)
    kept.sandbox.add_faults({"path": "/data/track", "status": 400})
    refused = kept.run(EVENTS)
    shutil.copytree(kept.state_dir, tmp_path / "backup")
    kept.sandbox.clear_faults()
    kept.run(EVENTS)
    kept.forget()
    shutil.move(tmp_path / "backup", kept.state_dir)

    rows = adopted(kept)
    after = kept.run(EVENTS)

    assert outcomes(refused) == {"rejected": 10}
    assert rows == 20
    assert outcomes(after) == {}
    assert kept.undelivered(EVENTS) == {}
    assert set(kept.delivered().values()) == {1}


@pytest.mark.parametrize("moment", ["settled", "before-snapshot-write"])
def test_what_an_older_snapshot_was_not_told_is_told_when_it_is_taken_over(
    kept: Scene, tmp_path: Path, moment: str
) -> None:
    shutil.copy(kept.root / "warehouse.duckdb", tmp_path / "backup.duckdb")
    kept.events(20)
    kept.run(EVENTS)
    kept.events(30)
    kept.start("run", EVENTS, environ={"CONNECTOR_FAILPOINT": moment}).communicate()
    shutil.copy(tmp_path / "backup.duckdb", kept.root / "warehouse.duckdb")
    kept.events(30)

    rows = adopted(kept)
    after = kept.run(EVENTS)

    # Those of the run in between are in neither.
    assert rows == 20
    assert outcomes(after) == {"succeeded": 10}
    assert {number for number, times in kept.delivered().items() if times > 1} == set(range(10, 20))
