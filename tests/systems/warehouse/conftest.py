"""Servers that several modules of tests share; each starts when a test first asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.systems.warehouse.postgres_server import Server
    from tests.systems.warehouse.snowflake_server import SnowflakeServer


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


@pytest.fixture(scope="session")
def snowflake_server() -> Iterator[SnowflakeServer]:
    """A Snowflake on this machine, with a table of numbers."""
    pytest.importorskip("snowflake.connector", reason="the extra `snowflake` is not installed")
    pytest.importorskip("fakesnow.instance", reason="fakesnow is not installed")
    from tests.systems.warehouse.snowflake_server import running_snowflake  # noqa: PLC0415 - needs both

    with running_snowflake() as server:
        server.run(
            "create table accounts as select 'acct-' || seq4() as account_id, seq4() as arr "
            "from table(generator(rowcount => 5))",
            "create table numbers as select row_number() over (order by 1) - 1 as n "
            "from table(generator(rowcount => 2000000))",
        )
        yield server
