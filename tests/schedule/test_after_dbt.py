"""`connector run --all --after-dbt`: the syncs whose model dbt has built, and of the others why they do not run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.project import OBJECT_SYNC, Scene
from tests.project.test_dbt import manifest, node, results

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(real: Scene) -> Scene:
    """A project with a model of dbt that was built, one that was not, and one of its own."""
    real.accounts(5)
    target = real.root / "target"
    target.mkdir()
    built = manifest(node("accounts", relation_name="accounts"), node("broken", relation_name="broken"))
    (target / "manifest.json").write_text(built, encoding="utf-8")
    ended = results(model__shop__accounts="success", model__shop__broken="error")
    (target / "run_results.json").write_text(ended, encoding="utf-8")
    real.write("built", OBJECT_SYNC, model={"dbt": "accounts"})
    real.write("broken", OBJECT_SYNC, model={"dbt": "broken"})
    real.write("own", OBJECT_SYNC)
    return real


def test_what_was_built_runs_and_the_rest_is_named(place: Scene) -> None:
    child = place.start("run", "--all", "--after-dbt", "target/run_results.json", "--json")
    out, said = child.communicate(timeout=60)
    found = {entry["sync"]: entry for entry in json.loads(out)}

    assert child.returncode == 0, said
    assert {name: entry["status"] for name, entry in found.items()} == {
        "built": "success",
        "broken": "skipped",
        "own": "skipped",
    }
    assert found["broken"]["error"]["slug"] == "dbt-not-built"
    assert "broken does not run: dbt ended 'broken' with: error" in said
    assert "own does not run: its model 'accounts' is a file of this project" in said
    assert place.held() == place.wanted()


def test_results_that_are_not_there_run_nothing(place: Scene, tmp_path: Path) -> None:
    child = place.start("run", "built", "--after-dbt", str(tmp_path / "none.json"), "--json")
    out, said = child.communicate(timeout=60)

    assert child.returncode == 1
    assert "[dbt-results-missing]" in said
    assert [entry["error"]["slug"] for entry in json.loads(out)] == ["dbt-results-missing"]
    assert not place.sandbox.requests
