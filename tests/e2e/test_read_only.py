"""With `planner: local`, a login that can only read is enough for everything, and leaves nothing behind there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from connector.cli import main
from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, Scene, scene
from tests.e2e.warehouses import PostgresSchema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS: tuple[tuple[int, str], ...] = (
    (0, "check"),
    (0, "check --online"),
    (0, "preview accounts"),
    (0, "plan accounts --show 1"),
    (2, "run accounts"),
    (0, "run events"),
    (0, "runs"),
    (0, "log accounts --rows"),
    (0, "log --calls"),
    (0, "hold accounts"),
    (0, "retry accounts"),
    (0, "run events --full-resync --resend-events"),
    (0, "run accounts --row acct-1"),
    (0, "reset accounts"),
    (0, "reset accounts --baseline"),
    (0, "plan accounts"),
    (0, "schema"),
)


@pytest.fixture(params=["postgres", *(pytest.param(name, marks=pytest.mark.slow) for name in ("duckdb", "sqlite"))])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """A project whose warehouse is read by a login without any other right, or is a file that nobody may write."""
    with scene(tmp_path / "p", source=request.param, planner="local") as made:
        made.write(ACCOUNTS, OBJECT_SYNC)
        made.write(EVENTS, EVENT_SYNC)
        made.accounts(20)
        made.events(20)
        made.sandbox.add({"failing_ids": {"account": {"acct-5": "no good"}}})
        if isinstance(made.warehouse, PostgresSchema):
            as_reader(made, made.warehouse)
        yield made


def as_reader(place: Scene, warehouse: PostgresSchema) -> None:
    """Nothing, after making the grants of docs/warehouses/postgres.md, and no others."""
    user = f"reader_of_{warehouse.schema}"
    warehouse.server.run(
        f"create role {user} login password 'r3ader'",
        f"alter role {user} set default_transaction_read_only = on",
        f"grant connect on database postgres to {user}",
        f"grant usage on schema {warehouse.schema} to {user}",
        f"grant select on all tables in schema {warehouse.schema} to {user}",
    )
    warehouse.entry = warehouse.entry_of(user, "r3ader")
    place.point_at()


def traces(place: Scene) -> Any:
    """Everything that writing would change: the tables of the schema and their rows, or the files."""
    if isinstance(place.warehouse, PostgresSchema):
        tables = place.warehouse.ask(
            "select table_schema, table_name from information_schema.tables where table_schema !~ '^pg_|^information' "
            f"and (table_schema like '%{place.warehouse.schema}%' or table_schema like 'connector%') order by 1, 2"
        )
        counts = [
            place.warehouse.ask(f"select count(*), md5(string_agg(t::text, '' order by t::text)) from {s}.{n} t")
            for s, n in tables
        ]
        return tables, counts
    return {file.name: file.read_bytes() for file in place.root.iterdir() if file.name.startswith("warehouse.")}


def test_everything_works_and_nothing_is_written_there(place: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    before = traces(place)
    for code, line in COMMANDS:
        words = line.split()
        if words[:2] == ["log", "accounts"]:
            with place.project() as project:
                words[1] = project.runs(ACCOUNTS)[0].run_id
        ended = main([*words, "--project", str(place.root)])
        said = capsys.readouterr()
        assert (ended, line) == (code, line), said.err
    ended = main(["plan", ACCOUNTS, "--json", "--project", str(place.root)])
    planned = json.loads(capsys.readouterr().out)

    assert ended == 0
    assert planned["rows"]["unchanged"] == 20
    assert traces(place) == before
    assert set(place.held()) == {f"acct-{at}" for at in range(20)} - {"acct-5"}
