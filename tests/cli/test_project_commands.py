"""`connector init`, `check`, `preview`, `schema`, `sandbox`, `probe` and what they have in common."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from connector.actions.figures import duration, estimate, milliseconds, size
from connector.sandbox import Sandbox, running
from tests.e2e.project import CONNECTOR, EVENT_SYNC

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.e2e.project import Scene


# --- init ------------------------------------------------------------------------------------------------------------


def test_a_new_project_runs_against_the_sandbox_as_it_is(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cli.anywhere("init", str(cli.root))
    checked = cli("check")
    with running(Sandbox(seed=cli.root / "sandbox.yml")) as server:
        monkeypatch.setenv("PENDO_BASE_URL", server.url)
        first = cli("run", "--all", "--json")
        second = cli("run", "--all", "--json")

    assert made.code == checked.code == 0
    assert "sandbox" in made.out
    assert "run --all" in made.out
    assert {path.name for path in cli.root.iterdir()} >= {
        *("connector.yml", "models", "sync_configs", "sandbox.yml", "warehouse.duckdb", ".gitignore", ".env.example")
    }
    assert first.code == second.code == 0
    assert sum(result["outcomes"]["succeeded"]["added"] for result in first.json()) > 3000
    assert [result["requests"]["sent"] for result in second.json()] == [0, 0, 0, 0]


def test_nothing_that_is_there_is_overwritten(tmp_path: Path, cli: Cli) -> None:
    cli.root.mkdir()
    (cli.root / "warehouse.duckdb").write_text("mine", encoding="utf-8")
    ended = cli.anywhere("init", str(cli.root))
    document = cli.anywhere("init", str(tmp_path / "another"), "--json")

    assert ended.code == 1
    assert "[project-exists]" in ended.err
    assert [path.name for path in cli.root.iterdir()] == ["warehouse.duckdb"]
    assert "connector.yml" in document.json()["files"]
    assert len(document.json()["next"]) == 3


@pytest.mark.parametrize("words", [["init", "{}/file/project"], ["schema", "--write", "{}/file/schemas"]])
def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path, cli: Cli, words: list[str]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    ended = cli.anywhere(*(word.format(tmp_path) for word in words))

    assert ended.code == 1
    assert "[unwritable-folder]" in ended.err


# --- check -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("world")
def test_a_project_without_mistakes_is_ok(cli: Cli) -> None:
    ended = cli("check")
    document = cli("check", "--json").json()

    assert ended.code == 0
    assert ended.out == "ok  1 source, 1 destination, 2 models, 2 syncs\n"
    assert document["ok"] is True
    assert document["problems"] == []
    assert document["syncs"] == ["accounts", "events"]


def test_a_check_leaves_no_trace(world: Scene, cli: Cli) -> None:
    before = sorted(path.name for path in world.root.rglob("*"))
    cli("check")

    assert sorted(path.name for path in world.root.rglob("*")) == before


def test_a_warning_is_no_error(world: Scene, cli: Cli) -> None:
    world.write("events", {name: value for name, value in EVENT_SYNC.items() if name != "account_id"})
    ended = cli("check")

    assert ended.code == 0
    assert "warning: " in ended.err
    assert "1 warning" in ended.out


def test_a_key_that_the_model_does_not_return_is_reported_where_it_is_named(world: Scene, cli: Cli) -> None:
    model = world.root / "models" / "accounts.sql"
    model.write_text("/*\nsource: warehouse\nprimary_key: account\n*/\nSELECT * FROM accounts\n", encoding="utf-8")
    (problem,) = cli("check", "--json").json()["problems"]

    assert (problem["at"], problem["slug"]) == ("models/accounts.sql:3:14", "unknown-column")
    assert "did you mean 'account_id'?" in problem["hint"]


def test_a_missing_warehouse_is_told_apart_from_a_mistake(world: Scene, cli: Cli) -> None:
    (world.root / "warehouse.duckdb").unlink()
    offline = cli("check")
    online = cli("check", "--online")

    assert offline.code == 0
    assert "not compared with the warehouse: accounts, events" in offline.out
    assert online.code == 3
    assert "[source-file-missing]" in online.err


def test_online_it_logs_in_everywhere(world: Scene, cli: Cli) -> None:
    good = cli("check", "--online", "--json")
    shown = cli("check", "--online")
    world.point_at(integration_key="wrong")
    refused = cli("check", "--online", "--json")

    assert good.code == 0
    assert [answer["name"] for answer in good.json()["online"]] == ["warehouse", "pendo"]
    assert "warehouse: duckdb: logged in" in shown.out
    assert refused.code == 3
    assert refused.json()["problems"][0]["slug"] == "pendo-key-refused"


# --- preview, schema -------------------------------------------------------------------------------------------------


def test_a_preview_shows_rows_and_types(world: Scene, cli: Cli) -> None:
    model = world.root / "models" / "events.sql"
    model.write_text(
        "/*\nsource: warehouse\nprimary_key: event_id\n*/\n"
        "select event_id, occurred_at, null as nothing, [1, 2] as list, 'x'::blob as bytes, "
        "1.5::decimal(4, 2) as amount, 'nan'::double as nan, {'a': date '2026-01-01'} as object "
        "from events order by event_id",
        encoding="utf-8",
    )
    shown = cli("preview", "events", "--limit", "2")
    document = cli("preview", "events", "--limit", "1", "--json").json()

    assert len(shown.out.splitlines()) == 4
    assert "2 rows; primary key: event_id" in shown.err
    assert document["columns"][0] == {"name": "event_id", "type": "int64"}
    assert document["rows"] == [
        {
            "event_id": 0,
            "occurred_at": "2026-01-01 00:00:00",
            "nothing": None,
            "list": [1, 2],
            "bytes": "78",
            "amount": "1.50",
            "nan": "nan",
            "object": {"a": "2026-01-01"},
        }
    ]


def test_a_preview_shows_values_that_python_has_not(world: Scene, cli: Cli) -> None:
    values = {
        "'infinity'::date": "infinity",
        "date '20000-01-01'": "20000-01-01",
        "timestamp '0044-03-15 (BC) 12:00:00'": "0044-03-15 (BC) 12:00:00",
        "'2026-01-01 00:00:00.123456789'::timestamp_ns": "2026-01-01 00:00:00.123456789",
        "'2026-06-01 12:00:00+02'::timestamptz": "2026-06-01 10:00:00+00",
        "'24:00:00'::time": "24:00:00",
        "interval '1 month 2 days'": "1 month 2 days",
        "{'at': '-infinity'::timestamp, 'nan': 'nan'::double}": {"at": "-infinity", "nan": "NaN"},
        "map {'a': [1]}": {"a": [1]},
        "12345678901234567890123456789012345678901::bignum": "12345678901234567890123456789012345678901",
        "true": True,
    }
    sql = ", ".join(f"{value} as v{place}" for place, value in enumerate(values))
    model = world.root / "models" / "events.sql"
    model.write_text(f'/*\nsource: warehouse\nprimary_key: id\n*/\nselect {sql}, 1 as "V0" ', encoding="utf-8")
    document = cli("preview", "events", "--json").json()
    shown = cli("preview", "events")

    assert list(document["rows"][0].values()) == [*values.values(), 1]
    assert '{"at":"-infinity","nan":"NaN"}' in shown.out
    assert "primary key: id, which the model does not return" in shown.err


def test_a_preview_refuses_two_columns_of_one_name(world: Scene, cli: Cli) -> None:
    model = world.root / "models" / "events.sql"
    model.write_text("/*\nsource: warehouse\nprimary_key: x\n*/\nselect 1 as x, 2 as x", encoding="utf-8")
    ended = cli("preview", "events")

    assert ended.code == 1
    assert "models/events.sql:5:1: error: model 'events' returns two columns named 'x' [duplicate-column]" in ended.err


@pytest.mark.usefixtures("world")
def test_an_unknown_model_is_answered_with_the_nearest(cli: Cli) -> None:
    ended = cli("preview", "event", "--json")

    assert ended.code == 1
    assert ended.json()["error"]["slug"] == "unknown-model"
    assert "did you mean 'events'?" in ended.err


def test_schemas_are_printed_or_written(tmp_path: Path, cli: Cli) -> None:
    document = cli.anywhere("schema").json()
    written = cli.anywhere("schema", "--write", str(tmp_path / "schemas"))
    listed = cli.anywhere("schema", "--write", str(tmp_path / "schemas"), "--json").json()

    assert set(document) == {"connector", "sync", "model"}
    assert written.out.splitlines() == listed["files"]
    assert json.loads((tmp_path / "schemas" / "sync.schema.json").read_text()) == document["sync"]


# --- sandbox, probe --------------------------------------------------------------------------------------------------


def test_the_sandbox_is_served_until_it_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "sandbox.yml").write_text("visitors: [user-1, user-2]\n", encoding="utf-8")
    process = subprocess.Popen(
        [*CONNECTOR, "sandbox", "--port", "0", "--project", str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first, holds = process.stdout.readline(), process.stdout.readline()
    state = httpx.get(first.split()[-1] + "/_sandbox/state").json()
    process.terminate()
    process.communicate(timeout=20)

    assert state["visitors"] == 2
    assert "2 visitors, 0 accounts, 0 parent accounts, from" in holds
    assert process.returncode == 0


def test_the_sandbox_says_where_it_is_as_json(tmp_path: Path) -> None:
    seed = tmp_path / "seed.yml"
    seed.write_text("accounts: [acct-1]\n", encoding="utf-8")
    process = subprocess.Popen(
        [*CONNECTOR, "sandbox", "--port", "0", "--seed", str(seed), "--json"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines: list[str] = []
    while not (lines and lines[-1].startswith("}")):
        lines.append(process.stdout.readline())
    document = json.loads("".join(lines))
    process.terminate()
    process.communicate(timeout=20)

    assert document["accounts"] == 1
    assert document["url"].endswith(str(document["port"]))
    assert document["integration_key"] == "sandbox-integration-key"


def test_a_port_that_is_taken_is_said_so(world: Scene, cli: Cli) -> None:
    ended = cli("sandbox", "--port", world.url.rpartition(":")[2])

    assert ended.code == 1
    assert "[port-unavailable]" in ended.err


def test_probes_ask_first_and_print_what_they_found(world: Scene, cli: Cli) -> None:
    world.sandbox.switch(track_arrays="single_only")
    asked = cli("probe", "pendo")
    untouched = len(world.sandbox.requests)
    shown = cli("probe", "pendo", "--yes")
    (world.root / "sync_configs" / "events.yml").unlink()
    world.point_at(track_event_secret=None)
    document = cli("probe", "pendo", "--yes", "--json").json()
    unknown = cli("probe", "pend", "--yes")

    assert asked.code == unknown.code == 1
    assert "say --yes" in asked.err
    assert untouched == 0
    assert shown.code == 0
    assert "an array of two events: refused" in shown.out
    assert "remembered: " in shown.out
    assert "leaves there: " in shown.out
    assert [probe["name"] for probe in document][:2] == ["track", "metadata"]
    assert document[0]["skipped"] == "track_event_secret is not set"
    assert "did you mean 'pendo'?" in unknown.err


def test_a_probe_of_an_app_that_is_away_writes_nothing(world: Scene, cli: Cli) -> None:
    world.point_at("http://127.0.0.1:9")
    ended = cli("probe", "pendo", "--yes")

    assert ended.code == 3
    assert "[destination-unavailable]" in ended.err


# --- what all commands have in common --------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [["--project", "{}", "check"], ["check", "--project", "{}"]])
@pytest.mark.usefixtures("world")
def test_common_options_stand_before_or_behind_the_command(cli: Cli, order: list[str]) -> None:
    assert cli.anywhere(*(word.format(cli.root) for word in order)).code == 0


def test_the_state_can_be_elsewhere(world: Scene, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("run", "accounts", "--state-dir", str(tmp_path / "one"))
    monkeypatch.setenv("CONNECTOR_STATE_DIR", str(tmp_path / "two"))
    cli("run", "accounts")

    assert (tmp_path / "one" / "history.db").is_file()
    assert (tmp_path / "two" / "history.db").is_file()
    assert not world.state_dir.exists()


def test_a_folder_without_a_project_is_said_so(cli: Cli) -> None:
    ended = cli("run", "--all", "--json")

    assert ended.code == 1
    assert "[no-project]" in ended.err
    assert ended.json()[0]["error"]["slug"] == "no-project"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rum"], "did you mean 'run'?"),
        (["xyz"], "No such command 'xyz'"),
        (["run", "--fullresync"], "--full-resync"),
        (["runs", "--limit", "none"], "'none' is not a valid integer"),
        ([], "Commands:"),
    ],
)
def test_wrong_use_ends_with_1(cli: Cli, words: list[str], said: str) -> None:
    ended = cli.anywhere(*words)

    assert ended.code == 1
    assert ended.out == ""
    assert said in ended.err


def test_wrong_use_is_a_document_too(cli: Cli) -> None:
    ended = cli.anywhere("plan", "--json")

    assert ended.code == 1
    assert ended.json()["error"]["slug"] == "wrong-use"


def test_a_defect_is_one_line_and_a_file(world: Scene, cli: Cli) -> None:
    cli("run", "accounts")
    (world.state_dir / "rows").rename(world.state_dir / "gone")
    for path in (world.state_dir / "gone").iterdir():
        (world.state_dir / "rows").mkdir(exist_ok=True)
        (world.state_dir / "rows" / path.name).write_text("no parquet", encoding="utf-8")
    ended = cli("log", "--rows", "--json")
    (saved,) = world.state_dir.glob("error-*.txt")

    assert ended.code == 3
    assert len(ended.err.splitlines()) == 1
    assert str(saved) in ended.err
    assert "Traceback" in saved.read_text()
    assert ended.json()["error"]["slug"] == "defect"


def test_a_reader_that_goes_away_is_no_defect(world: Scene, cli: Cli) -> None:
    world.accounts(3000)
    cli("run", "accounts")
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m connector.cli --project {world.root} log --rows --format csv | head -1"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ},
    )

    assert done.stdout.startswith("key,change")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (duration(0.4), "0.40 s"),
        (duration(12.34), "12.3 s"),
        (duration(125), "2 min 05 s"),
        (duration(3725), "1 h 02 min"),
        (estimate(0.2), "less than a second"),
        (estimate(75), "about 1 min 15 s"),
        (milliseconds(None), ""),
        (milliseconds(3.21), "3.2 ms"),
        (milliseconds(120), "120 ms"),
        (milliseconds(1800), "1.80 s"),
        (size(1), "1 byte"),
        (size(27_400), "27.4 KB"),
        (size(1_200_000), "1.2 MB"),
    ],
)
def test_figures_read_well(said: str, expected: str) -> None:
    assert said == expected
