"""The same from Python: what the command line can do, `load_project` can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connector.cli.failures import worst
from connector.errors import BusyError, ConfigErrors, DestinationError
from connector.sample.proof import compare
from connector.state.snapshot import open_snapshot
from connector.state.tracebacks import save_traceback
from tests.e2e.project import EVENT_SYNC, OBJECT_SYNC

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.project import Scene


def test_logins_are_checked(world: Scene) -> None:
    with world.project() as project:
        answers = dict(project.check_online())
    world.point_at(integration_key="wrong")
    with world.project() as project, pytest.raises(DestinationError, match="key"):
        project.check_online()

    assert answers["warehouse"] == "duckdb: logged in"
    assert answers["pendo"].startswith("the integration key may write")


def test_every_sync_that_does_not_fit_its_model_is_named(world: Scene) -> None:
    world.write("accounts", OBJECT_SYNC, match="id")
    world.write("events", EVENT_SYNC, visitor_id="user")
    with world.project() as project, pytest.raises(ConfigErrors) as raised:
        project.check_models()

    assert [problem.slug for problem in raised.value.problems] == ["unknown-column", "unknown-column"]
    assert world.sandbox.requests == []


def test_a_run_that_waits_can_be_cancelled(world: Scene) -> None:
    with world.project() as project, open_snapshot(world.state_dir, "accounts"):
        project.stop.set()
        with pytest.raises(BusyError):
            project.run("accounts", wait=True)

    assert world.sandbox.requests == []


def test_a_run_has_no_rows_or_reasons_when_it_planned_nothing(world: Scene) -> None:
    world.run("accounts")
    world.run("accounts")
    with world.project() as project:
        assert project.rows() == []
        assert project.reasons() == []
        assert project.calls_of("acct-1") == ()


def test_reasons_that_differ_in_values_only_are_one_kind(world: Scene) -> None:
    world.sql(
        "CREATE OR REPLACE TABLE accounts AS "
        "SELECT 'acct-' || i AS account_id, 'x' || i AS health, NULL AS plan FROM range(9) t(i)"
    )
    fields = {"custom": {"health": {"column": "health", "type": "integer", "create": True}}}
    world.write("accounts", OBJECT_SYNC, fields=fields)
    world.run("accounts")
    with world.project() as project:
        (reason,) = project.reasons()

    assert (reason.outcome, reason.rows, reason.keys) == ("rejected", 9, ("acct-0", "acct-1", "acct-2"))
    assert reason.reason == 'fields.custom.health: "x0" cannot be read as an integer'


def test_the_proof_notices_what_is_wrong(world: Scene) -> None:
    world.run("accounts")
    world.run("events")
    world.sandbox.state.objects["account"].held["acct-1"]["custom"]["health"] = 99
    world.sandbox.add({"accounts": [{"id": "stranger", "metadata": {"custom": {"plan": "x"}}}]})
    world.sql("DELETE FROM events WHERE event_id = 1", "INSERT INTO events VALUES (7, 'u', 'a', now()::TIMESTAMP, 'p')")
    with world.project() as project:
        accounts = compare(project.sync("accounts"), world.root / "warehouse.duckdb", world.sandbox, {})
        events = compare(project.sync("events"), world.root / "warehouse.duckdb", world.sandbox, {"7": "rejected"})

    assert not accounts.holds
    assert sorted(accounts.different) == ["acct-1", "stranger"]
    assert (accounts.rows, accounts.equal) == (3, 2)
    assert (events.rows, events.equal, events.explained["rejected"]) == (3, 2, 1)
    assert len(events.different) == 1


def test_a_traceback_is_saved_where_that_is_possible(tmp_path: Path) -> None:
    error = ValueError("broken")
    (tmp_path / "file").write_text("", encoding="utf-8")
    saved = [save_traceback(error, folder) for folder in (tmp_path, tmp_path / "missing", None)]

    assert saved[0].parent == tmp_path
    assert all("ValueError: broken" in path.read_text() for path in saved)
    for path in saved[1:]:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("codes", "expected"), [([], 0), ([0, 2], 2), ([2, 4, 0], 4), ([4, 1], 1), ([1, 3], 3), ([3, 130, 0], 130)]
)
def test_several_codes_make_the_worst(codes: list[int], expected: int) -> None:
    assert worst(codes) == expected
