"""Stories of several runs in which something can be forgotten: what Pendo may hold is never taken for settled."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, Scene, left_over, outcomes
from tests.e2e.proxy import Proxy, always, at, proxied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CUSTOM, AGENT = "/custom/value", "/agent/value"
TWO_GROUPS: dict[str, Any] = {"custom": {"health": {"column": "health", "create": True}}, "agent": {"tier": "plan"}}
LOST = {"timeouts": {"connect_seconds": 1, "read_seconds": 0.15, "metadata_seconds": 0.15}, "retries": {"attempts": 2}}


@pytest.fixture
def proxy(quick: Scene) -> Iterator[Proxy]:
    """A proxy between the project and its sandbox, which is impatient."""
    with proxied(int(quick.url.rpartition(":")[2])) as made:
        quick.point_at(made.url, concurrency=1, **LOST)
        yield made


def stop_at(place: Scene, sync: str, when: Callable[[], bool]) -> Any:
    """The result of a run that is cancelled as soon as `when()` says so."""
    with place.project() as project:

        def watch() -> None:
            while not project.stop.is_set() and not when():
                threading.Event().wait(0.001)
            project.stop.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        result = project.run(sync)
        project.stop.set()
        watcher.join()
        return result


# --- objects ---------------------------------------------------------------------------------------------------------


def test_a_value_that_goes_back_after_its_change_was_in_doubt_is_sent_again(quick: Scene, proxy: Proxy) -> None:
    quick.accounts(1)
    sync = quick.write(ACCOUNTS, OBJECT_SYNC)
    quick.run(sync)
    proxy.script = always("reset_after", path=CUSTOM)
    quick.sql("UPDATE accounts SET plan = 'new'")
    doubtful = quick.run(sync)
    proxy.script = None
    quick.sql("UPDATE accounts SET plan = 'plan-0'")

    again = quick.run(sync)

    assert outcomes(doubtful) == {"in_doubt": 1}
    assert outcomes(again) == {"succeeded": 1}
    assert quick.held() == quick.wanted()


def test_a_value_that_goes_back_after_its_batch_was_in_doubt_refused_and_killed_is_sent_again(real: Scene) -> None:
    real.point_at(concurrency=1)
    real.accounts(4)
    sync = real.write(ACCOUNTS, OBJECT_SYNC)
    real.run(sync)
    real.sql("UPDATE accounts SET plan = 'new'")
    # The first attempt arrives and its answer does not; the second one is refused, and the batch is cut in two.
    metadata = {"method": "POST", "path": f"*{CUSTOM}", "last": 1}
    real.sandbox.add_faults({**metadata, "connection": "reset_after"}, {**metadata, "status": 400})
    killed = real.start("run", sync, environ={"CONNECTOR_FAILPOINT": "before-intent:3"})
    killed.communicate()
    real.accounts(4)

    again = real.run(sync)

    assert killed.returncode == -signal.SIGKILL
    assert outcomes(again) == {"succeeded": 4}
    assert real.held() == real.wanted()


@pytest.mark.parametrize("cut", ["cancelled", "refused"])
def test_a_value_that_goes_back_after_one_of_two_groups_was_written_is_sent_again(
    quick: Scene, proxy: Proxy, cut: str
) -> None:
    quick.accounts(1)
    quick.sandbox.add_fields("account", "agent", {"tier": "string"})
    sync = quick.write(ACCOUNTS, OBJECT_SYNC, fields=TWO_GROUPS)
    quick.run(sync)
    quick.sql("UPDATE accounts SET health = 99, plan = 'new'")
    if cut == "cancelled":
        proxy.script = always("blackhole_before", path=AGENT)
        written = len(quick.sandbox.requests)
        half = stop_at(quick, sync, lambda: any(CUSTOM in entry.path for entry in quick.sandbox.requests[written:]))
        proxy.script = None
    else:
        quick.sandbox.add_faults({"path": f"*{AGENT}", "status": 400})
        half = quick.run(sync)
        quick.sandbox.clear_faults()
    quick.sql("UPDATE accounts SET health = 0, plan = 'plan-0'")

    again = quick.run(sync)

    assert left_over(half)
    assert outcomes(again) == {"succeeded": 1}
    assert quick.held()["acct-0"] == {"health": 0}
    assert quick.held("agent")["acct-0"] == {"tier": "plan-0"}


@pytest.mark.parametrize("cut", ["reset_after", "cancelled between the groups"])
def test_a_row_that_was_added_in_part_and_leaves_the_model_is_removed(quick: Scene, proxy: Proxy, cut: str) -> None:
    quick.accounts(2)
    quick.sandbox.add_fields("account", "agent", {"tier": "string"})
    sync = quick.write(ACCOUNTS, OBJECT_SYNC, fields=TWO_GROUPS, on_removed="clear")
    if cut == "reset_after":
        proxy.script = always(cut, path="/value")
        half = quick.run(sync)
    else:
        proxy.script = always("blackhole_before", path=AGENT)
        half = stop_at(quick, sync, lambda: any(CUSTOM in entry.path for entry in quick.sandbox.requests))
    proxy.script = None
    there = set(quick.held())
    quick.sql("DELETE FROM accounts WHERE account_id = 'acct-1'")

    result = quick.run(sync)

    assert left_over(half)
    assert there == {"acct-0", "acct-1"}
    assert result.json()["outcomes"]["succeeded"]["removed"] == 1
    assert set(quick.held()) == {"acct-0"}
    assert set(quick.held("agent")) == {"acct-0"}


def test_rows_that_were_all_added_in_part_are_not_deleted_past_a_guardrail(quick: Scene) -> None:
    quick.accounts(20)
    fields = {**TWO_GROUPS, "agent": {"tier": {"column": "plan", "create": True}}}
    sync = quick.write(ACCOUNTS, OBJECT_SYNC, fields=fields, on_removed="delete", guardrails={})
    quick.sandbox.add_faults({"path": f"*{AGENT}", "status": 400})
    first = quick.run(sync)
    quick.sandbox.clear_faults()
    quick.sql("DELETE FROM accounts")
    sent = len(quick.sandbox.requests)

    emptied = quick.run(sync)

    assert outcomes(first) == {"rejected": 20}
    assert len(quick.held()) == 20
    assert emptied.status == "held"
    assert emptied.error is not None
    assert str(emptied.error).startswith("the model returned no row, and Pendo holds 20 in part")
    assert len(quick.sandbox.requests) == sent


def test_a_row_that_comes_back_after_its_clearing_was_in_doubt_is_sent_again(quick: Scene, proxy: Proxy) -> None:
    quick.accounts(2)
    sync = quick.write(ACCOUNTS, OBJECT_SYNC, on_removed="clear")
    quick.run(sync)
    wanted = quick.wanted()
    quick.sql("CREATE TABLE kept AS FROM accounts", "DELETE FROM accounts WHERE account_id = 'acct-1'")
    proxy.script = always("reset_after", path=CUSTOM)
    doubtful = quick.run(sync)
    proxy.script = None
    cleared = set(quick.held())
    quick.sql("CREATE OR REPLACE TABLE accounts AS FROM kept")

    quick.run(sync)

    assert outcomes(doubtful) == {"in_doubt": 1}
    assert cleared == {"acct-0"}
    assert quick.held() == wanted


def test_an_id_whose_deletion_is_in_doubt_and_that_comes_back_says_so_until_it_is_released(
    quick: Scene, proxy: Proxy
) -> None:
    quick.accounts(2)
    sync = quick.write(ACCOUNTS, OBJECT_SYNC, on_removed="delete")
    quick.run(sync)
    quick.sql("CREATE TABLE kept AS FROM accounts", "DELETE FROM accounts WHERE account_id = 'acct-1'")
    proxy.script = always("reset_after", path="/bulkdelete/")
    quick.run(sync)
    proxy.script = None
    quick.sql("CREATE OR REPLACE TABLE accounts AS FROM kept")

    back = quick.run(sync)
    with quick.project() as project:
        reasons = [row.last_reason for row in project.undelivered(sync)]
        released = project.release(sync, key="acct-1")
    after = quick.run(sync)

    assert outcomes(back) == {"rejected": 1}
    assert "donotprocess" in str(reasons)
    assert released == 1
    assert outcomes(after) == {"succeeded": 1}


def test_an_id_that_is_not_the_key_is_removed_under_the_name_it_has_now(quick: Scene) -> None:
    quick.accounts(3)
    quick.sql("ALTER TABLE accounts ADD COLUMN row_id INTEGER", "UPDATE accounts SET row_id = 7")
    quick.sql("DELETE FROM accounts WHERE account_id <> 'acct-0'")
    model = quick.root / "models" / "accounts.sql"
    model.write_text(model.read_text().replace("primary_key: account_id", "primary_key: row_id"))
    sync = quick.write(ACCOUNTS, OBJECT_SYNC, on_removed="clear")
    quick.run(sync)
    quick.sql("UPDATE accounts SET account_id = 'acct-2'")
    quick.run(sync)
    quick.sql("DELETE FROM accounts")

    quick.run(sync, force=True)

    assert set(quick.held()) == {"acct-0"}


def test_a_bad_row_stays_known_when_a_run_does_not_get_to_it(quick: Scene) -> None:
    quick.accounts(30)
    quick.point_at(concurrency=1)
    quick.sandbox.add({"failing_ids": {"account": {"acct-3": "no good"}}})
    sync = quick.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": 10})
    quick.run(sync)
    quick.sql("UPDATE accounts SET health = health + 1 WHERE account_id <> 'acct-3'")

    quick.run(sync, limit=5)

    with quick.project() as project:
        (bad,) = project.undelivered(sync)
    assert (bad.key, bad.outcome, bad.cause, bad.attempts) == ("acct-3", "rejected", "row", 1)


@pytest.mark.parametrize("change", ["back to what was accepted", "gone"])
def test_a_row_that_is_owed_no_more_is_listed_no_more(quick: Scene, change: str) -> None:
    quick.accounts(2)
    sync = quick.write(ACCOUNTS, OBJECT_SYNC)
    if change == "gone":
        quick.sandbox.add({"failing_ids": {"account": {"acct-1": "no good"}}})
    quick.run(sync)
    if change != "gone":
        quick.sandbox.add({"failing_ids": {"account": {"acct-1": "no good"}}})
        quick.sql("UPDATE accounts SET plan = 'bad' WHERE account_id = 'acct-1'")
        quick.run(sync)
    listed = quick.undelivered(sync)
    if change == "gone":
        quick.sql("DELETE FROM accounts WHERE account_id = 'acct-1'")
    else:
        quick.sandbox.state.failing_ids["account"].clear()
        quick.sql("UPDATE accounts SET plan = 'plan-1' WHERE account_id = 'acct-1'")

    quick.run(sync)

    assert listed == {"acct-1": "rejected"}
    assert quick.undelivered(sync) == {}


def test_a_removal_that_is_refused_travels_alone_and_is_quarantined(quick: Scene) -> None:
    quick.accounts(5)
    sync = quick.write(ACCOUNTS, OBJECT_SYNC, on_removed="clear", max_attempts=2)
    quick.run(sync)
    quick.sandbox.add({"failing_ids": {"account": {"acct-1": "no good"}}})
    quick.sql("DELETE FROM accounts WHERE account_id <> 'acct-0'")

    first, second, third = (quick.run(sync) for _ in range(3))

    assert outcomes(first) == {"succeeded": 3, "rejected": 1}
    assert outcomes(second) == {"rejected": 1}
    assert outcomes(third) == {"quarantined": 1}


# --- events ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ["stays", "leaves"])
@pytest.mark.parametrize("decision", ["release", "drop"])
def test_a_held_event_waits_for_a_decision_whether_or_not_its_row_is_there(
    quick: Scene, proxy: Proxy, decision: str, row: str
) -> None:
    quick.events(3)
    sync = quick.write(EVENTS, EVENT_SYNC, in_doubt="hold", batch={"rows": 1})
    proxy.script = at("reset_before", 2, path="/data/track")
    first = quick.run(sync)
    if row == "leaves":
        quick.sql("DELETE FROM events")
    waiting = [quick.run(sync) for _ in range(2)]
    with quick.project() as project:
        (held,) = project.undelivered(sync)
        assert project.release(sync, drop=decision == "drop") == 1
    after = quick.run(sync)
    quiet = quick.run(sync)

    assert outcomes(first) == {"succeeded": 2, "in_doubt": 1}
    assert [outcomes(each) for each in waiting] == [{"in_doubt": 1}] * 2
    assert (held.key, held.outcome) == ("1", "in_doubt")
    assert outcomes(after) == ({"succeeded": 1} if decision == "release" else {})
    assert outcomes(quiet) == {}
    assert set(quick.delivered()) == ({0, 1, 2} if decision == "release" else {0, 2})


def test_a_rejected_event_whose_row_left_is_kept_and_counts_its_attempts(quick: Scene) -> None:
    quick.events(1)
    quick.sandbox.add({"failing_ids": {"track_event": {"user-0": "no good"}}})
    sync = quick.write(EVENTS, EVENT_SYNC, max_attempts=3)
    quick.run(sync)
    quick.sql("DELETE FROM events")

    tried = [outcomes(quick.run(sync)) for _ in range(3)]
    with quick.project() as project:
        (row,) = project.undelivered(sync)
        project.retry(sync)
    quick.sandbox.state.failing_ids["track_event"].clear()
    final = quick.run(sync)

    assert tried == [{"rejected": 1}, {"rejected": 1}, {"quarantined": 1}]
    assert row.attempts == 3
    assert '"number":0' in str(row.payload)
    assert final.json()["rows"]["kept"] == 1
    assert set(quick.delivered()) == {0}


def test_an_event_whose_row_turned_bad_and_left_goes_out_as_it_was(quick: Scene, proxy: Proxy) -> None:
    quick.events(1)
    sync = quick.write(EVENTS, EVENT_SYNC)
    proxy.script = always("reset_before", path="/data/track")
    quick.run(sync)
    quick.sql("UPDATE events SET visitor_id = NULL")
    spoilt = quick.run(sync)
    quick.sql("DELETE FROM events")
    proxy.script = None

    quick.run(sync)

    assert outcomes(spoilt) == {"rejected": 1}
    assert set(quick.delivered()) == {0}


def test_events_that_are_sent_again_on_purpose_and_do_not_arrive_are_owed(quick: Scene) -> None:
    quick.events(2)
    sync = quick.write(EVENTS, EVENT_SYNC)
    quick.run(sync)
    quick.sandbox.add_faults({"path": "/data/track", "status": 400})
    refused = quick.run(sync, full_resync=True, resend_events=True)
    quick.sandbox.clear_faults()

    after = quick.run(sync)

    assert outcomes(refused) == {"rejected": 2}
    assert outcomes(after) == {"succeeded": 2}
    assert quick.delivered() == {0: 2, 1: 2}


@pytest.mark.parametrize("first", [{"row": "1"}, {"full_resync": True, "resend_events": True}])
def test_what_is_asked_for_by_name_is_sent_although_the_first_run_is_the_baseline(
    quick: Scene, first: dict[str, Any]
) -> None:
    quick.events(3)
    sync = quick.write(EVENTS, EVENT_SYNC, on_first_run="skip")

    asked = quick.run(sync, **first)
    quick.run(sync)
    quick.sql("INSERT INTO events SELECT * REPLACE (77 AS event_id) FROM events LIMIT 1")
    quick.run(sync)

    sent = {1} if "row" in first else {0, 1, 2}
    assert outcomes(asked) == {"succeeded": len(sent)}
    assert set(quick.delivered()) == sent | {77}


# --- a part of the plan ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", [ACCOUNTS, EVENTS])
def test_runs_with_a_limit_bring_everything_once(quick: Scene, sync: str) -> None:
    quick.accounts(25)
    quick.events(25)
    quick.write(sync, OBJECT_SYNC if sync == ACCOUNTS else EVENT_SYNC, batch={"rows": 10})

    results = [quick.run(sync, limit=10) for _ in range(4)]

    assert [outcomes(each).get("succeeded", 0) for each in results] == [10, 10, 5, 0]
    assert {each.status for each in results} == {"success"}
    assert quick.held() == quick.wanted() if sync == ACCOUNTS else set(quick.delivered().values()) == {1}


def test_a_run_that_is_cancelled_before_it_sends_is_cancelled(quick: Scene) -> None:
    quick.events(5)
    sync = quick.write(EVENTS, EVENT_SYNC)
    with quick.project() as project:
        project.stop.set()
        result = project.run(sync)

    assert (result.status, result.exit_code) == ("cancelled", 130)
    assert quick.sandbox.events == []
    assert outcomes(quick.run(sync)) == {"succeeded": 5}


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("sync", [ACCOUNTS, EVENTS])
def test_a_machine_that_cannot_set_up_a_connection_leaves_no_row_in_doubt(
    quick: Scene, monkeypatch: pytest.MonkeyPatch, sync: str, rows: int
) -> None:
    quick.accounts(3)
    quick.events(3)
    quick.write(sync, EVENT_SYNC if sync == EVENTS else OBJECT_SYNC, batch={"rows": rows})
    sandbox = quick.url
    quick.point_at("https://pendo.example.com")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/bundle.pem")

    result = quick.run(sync)

    assert (result.status, result.exit_code) == ("failed", 3)
    assert result.error is not None
    assert result.error.problem.slug == "connection-setup"
    assert outcomes(result) == {"not_attempted": 3}
    monkeypatch.delenv("SSL_CERT_FILE")
    quick.point_at(sandbox)
    assert outcomes(quick.run(sync)) == {"succeeded": 3}
