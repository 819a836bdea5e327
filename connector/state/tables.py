"""The tables of the history database. Plain SQL types only, so that the same tables run on PostgreSQL.

Times are seconds since 1970 in UTC. `first` and `stop` are plan rows: from `first` up to, not including, `stop`.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

# SQLite numbers rows by itself only in a column whose type is exactly INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")
_Json = JSON(none_as_null=True)

state_version = Table(
    "state_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("created_at", Double, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("sync", String, nullable=False),
    Column("trigger", String, nullable=False),
    Column("status", String, nullable=False),
    Column("stage", String),
    Column("pid", Integer, nullable=False),
    Column("host", String, nullable=False),
    Column("model", String, nullable=False),
    Column("destination", String, nullable=False),
    Column("object", String, nullable=False),
    Column("config", _Json),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("error", _Json),
    Column("rows", _Json),
    Column("outcomes", _Json),
    Column("requests", _Json),
    Column("warnings", _Json),
    Column("timings", _Json),
    Index("runs_by_sync", "sync", "started_at"),
    Index("runs_by_start", "started_at"),
)

calls = Table(
    "calls",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("run_id", String, nullable=False),
    Column("route", String),
    Column("purpose", String, nullable=False),
    Column("parent_id", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("first", BigInteger),
    Column("stop", BigInteger),
    Column("started_at", Double, nullable=False),
    Column("ms", Double),
    Column("method", String, nullable=False),
    Column("url", Text, nullable=False),
    Column("request_headers", Text, nullable=False),
    Column("request_bytes", BigInteger, nullable=False),
    Column("status", Integer),
    Column("response_headers", Text),
    Column("response_bytes", BigInteger),
    Column("error", Text),
    Column("verdict", String),
    Column("reason", Text),
    # Last: a long value is kept on pages of its own, which a list without bodies then never reads.
    Column("response_body", LargeBinary),
    Index("calls_by_run", "run_id", "id"),
    Index("calls_by_row", "run_id", "first"),
    Index("calls_by_start", "started_at"),
)

# Apart from `calls`, because an update rewrites the whole row: a large body would be written two or three times.
request_bodies = Table(
    "request_bodies",
    metadata,
    Column("call_id", _Id, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)

intents = Table(
    "intents",
    metadata,
    Column("call_id", _Id, primary_key=True, autoincrement=False),
    Column("run_id", String, nullable=False),
    Column("route", String, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("stop", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Index("intents_by_run", "run_id"),
)

settled = Table(
    "settled",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("run_id", String, nullable=False),
    Column("route", String, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("stop", BigInteger, nullable=False),
    Column("outcome", String, nullable=False),
    Column("reason", Text),
    Column("cause", String),
    Column("call_id", BigInteger),
    Column("attempts", Integer, nullable=False),
    Index("settled_by_run", "run_id", "id"),
)

rates = Table(
    "rates",
    metadata,
    Column("destination", String, primary_key=True),
    Column("route", String, primary_key=True),
    Column("ceiling", Double, nullable=False),
    Column("rate", Double, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("parked_at", Double, nullable=False),
    Column("slowed_at", Double, nullable=False),
    Column("climbed_at", Double, nullable=False),
)

learned = Table(
    "learned",
    metadata,
    Column("destination", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("learned_at", Double, nullable=False),
)
