"""`connector hold`, `retry`, `release` and `reset`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.project import EVENT_SYNC, OBJECT_SYNC

if TYPE_CHECKING:
    from tests.cli.conftest import Cli
    from tests.e2e.project import Scene


@pytest.fixture
def stubborn(world: Scene) -> Scene:
    """A project with one account that Pendo refuses, and that is quarantined after one run."""
    world.write("accounts", OBJECT_SYNC, max_attempts=1)
    world.sandbox.add({"failing_ids": {"account": {"acct-1": "no such plan"}}})
    return world


@pytest.mark.usefixtures("stubborn")
def test_rows_that_were_not_delivered_are_listed_with_their_reasons(cli: Cli) -> None:
    before = cli("hold", "accounts")
    cli("run", "accounts")
    shown = cli("hold", "accounts")
    (row,) = cli("hold", "accounts", "--json").json()

    assert "every row of 'accounts' was delivered" in before.err
    assert shown.out.splitlines()[1].split()[:3] == ["acct-1", "quarantined", "1"]
    assert "no such plan" in shown.out
    assert "retry accounts" in shown.err
    assert (row["key"], row["outcome"], row["attempts"]) == ("acct-1", "quarantined", 1)
    assert "no such plan" in row["last_reason"]


def test_a_retry_offers_them_afresh(stubborn: Scene, cli: Cli) -> None:
    cli("run", "accounts")
    stubborn.sandbox.state.failing_ids["account"].clear()
    quarantined = cli("run", "accounts", "--json").json()[0]
    retried = cli("retry", "accounts", "--key", "acct-1")
    delivered = cli("run", "accounts", "--json").json()[0]

    assert quarantined["outcomes"]["quarantined"]["added"] == 1
    assert "1 row of 'accounts' will be offered afresh" in retried.out
    assert delivered["outcomes"]["succeeded"]["added"] == 1
    assert cli("retry", "accounts", "--json").json() == {"sync": "accounts", "rows": 0}


@pytest.mark.usefixtures("stubborn")
def test_a_row_can_be_given_up(cli: Cli) -> None:
    cli("run", "accounts")
    vague = cli("release", "accounts", "--drop")
    both = cli("release", "accounts", "--key", "acct-1", "--all")
    wrong = cli("release", "accounts", "--key", "acct-9")
    dropped = cli("release", "accounts", "--all", "--drop")
    after = cli("run", "accounts", "--json").json()[0]

    assert vague.code == both.code == wrong.code == 1
    assert "--drop gives rows up" in vague.err
    assert "[unknown-row]" in wrong.err
    assert "1 row of 'accounts' counts as sent now and is not offered again" in dropped.out
    assert after["rows"]["unchanged"] == 3


@pytest.mark.usefixtures("stubborn")
def test_a_command_that_is_not_for_a_row_names_the_one_that_is(cli: Cli) -> None:
    cli("run", "accounts")
    cli("retry", "accounts")
    released = cli("release", "accounts", "--key", "acct-1", "--drop")

    assert released.code == 1
    assert "that row of sync 'accounts' is rejected: key 'acct-1'" in released.err
    assert "connector retry accounts --key" in released.err


@pytest.mark.usefixtures("stubborn")
def test_a_released_row_is_sent_by_the_next_run(cli: Cli) -> None:
    cli("run", "accounts")
    released = cli("release", "accounts")
    after = cli("run", "accounts", "--json").json()[0]

    assert "1 row of 'accounts' will be sent by the next run" in released.out
    assert after["rows"]["added"] == 1
    assert cli("release", "accounts", "--json").json()["rows"] == 1


def test_a_held_event_is_released(world: Scene, cli: Cli) -> None:
    world.write("events", EVENT_SYNC, in_doubt="hold")
    world.point_at(retries={"attempts": 1})
    world.sandbox.add_faults({"path": "/data/track", "connection": "reset_before"})
    run = cli("run", "events", "--json")
    held = cli("hold", "events")
    world.sandbox.clear_faults()
    still = cli("run", "events", "--json").json()[0]
    cli("release", "events", "--all", "--send")
    after = cli("run", "events", "--json").json()[0]

    assert run.json()[0]["outcomes"]["in_doubt"]["added"] == 3
    assert "in doubt" in held.out
    assert "release events --all" in held.err
    assert still["outcomes"]["in_doubt"]["added"] == 3
    assert after["outcomes"]["succeeded"]["added"] == 3


def test_an_id_that_was_deleted_and_comes_back_is_not_to_be_retried(world: Scene, cli: Cli) -> None:
    world.write("accounts", OBJECT_SYNC, on_removed="delete")
    cli("run", "accounts")
    world.sql(
        "CREATE TABLE gone AS FROM accounts WHERE account_id = 'acct-1'",
        "DELETE FROM accounts USING gone g WHERE accounts.account_id = g.account_id",
    )
    cli("run", "accounts")
    world.sql("INSERT INTO accounts FROM gone")
    cli("run", "accounts")
    shown = cli("hold", "accounts")
    (row,) = cli("hold", "accounts", "--json").json()
    released = cli("release", "accounts", "--key", "acct-1")

    assert (row["key"], row["outcome"], row["cause"]) == ("acct-1", "rejected", None)
    assert "connector release SYNC --key KEY" in row["last_reason"]
    assert "retry" not in shown.err
    assert released.code == 0


def test_a_reset_makes_the_next_run_a_first_run(world: Scene, cli: Cli) -> None:
    cli("run", "accounts")
    forgotten = cli("reset", "accounts")
    again = cli("run", "accounts", "--json").json()[0]

    assert "is a first run and sends every row" in forgotten.out
    assert again["rows"]["added"] == 3
    assert len(world.sandbox.requests) > 0


def test_a_baseline_takes_the_present_rows_as_sent(world: Scene, cli: Cli) -> None:
    taken = cli("reset", "events", "--baseline")
    first = cli("run", "events", "--json").json()[0]
    document = cli("reset", "events", "--baseline", "--json").json()

    assert "3 rows of 'events' count as sent" in taken.out
    assert first["rows"]["unchanged"] == 3
    assert document == {"sync": "events", "baseline": True, "rows": 3}
    assert world.sandbox.events == []
