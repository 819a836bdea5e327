"""Servers that several modules of tests share; each starts when a test first asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.systems.warehouse.postgres_server import Server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A real PostgreSQL with a login that may read, and one that may not read everything."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    from tests.systems.warehouse.postgres_server import running_postgres  # noqa: PLC0415 - needs psycopg

    with running_postgres() as server:
        server.run(
            "create role reader login password 'r3ader:/%@!'",
            "create schema marts",
            "create table marts.accounts as select 'acct-' || i as account_id, i as arr from generate_series(0, 4) i",
            "create table plans as select 'pro'::text as plan",
            "create table secrets as select 1 as a",
            "grant usage on schema marts to reader",
            "grant select on marts.accounts, plans to reader",
            "create type level as enum ('gold', 'iron')",
            "create type pair as (a int, b text)",
            "create domain positive as int check (value > 0)",
        )
        yield server
