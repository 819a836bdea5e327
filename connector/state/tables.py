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
    Column("options", _Json),
    Index("runs_by_sync", "sync", "started_at"),
    Index("runs_by_start", "started_at"),
    Index("runs_by_end", "finished_at"),
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
    Column("auth", String),
    Column("bodies", String),
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

triggers = Table(
    "triggers",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("run_id", String, nullable=False),
    Column("sync", String, nullable=False),
    Column("trigger", String, nullable=False),
    Column("state", String, nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("due_at", Double),
    Column("last_due_at", Double),
    Column("options", _Json),
    Column("attempts", Integer, nullable=False),
    Column("not_before", Double),
    Column("owner", String),
    Column("started_at", Double),
    Column("settled_at", Double),
    Column("error", _Json),
    Index("triggers_by_run", "run_id", unique=True),
    Index("triggers_by_state", "state", "id"),
    Index("triggers_by_sync", "sync", "id"),
)

due = Table(
    "due",
    metadata,
    Column("sync", String, primary_key=True),
    Column("schedule", String, nullable=False),
    Column("next_at", Double),
    Column("seen_at", Double),
)

pauses = Table(
    "pauses",
    metadata,
    Column("sync", String, primary_key=True),
    Column("paused_at", Double, nullable=False),
)

cancels = Table(
    "cancels",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("asked_at", Double, nullable=False),
)

numbers = Table(
    "numbers",
    metadata,
    Column("kind", String, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String, nullable=False),
    Column("since", Double, nullable=False),
    Index("numbers_by_name", "kind", "name", unique=True),
)

# What is known of a sync's troubles: a row for each that was ever there. `told` is what the channels were told last.
alert_states = Table(
    "alert_states",
    metadata,
    Column("sync", String, primary_key=True),
    Column("condition", String, primary_key=True),
    Column("level", String, nullable=False),
    Column("told", String, nullable=False),
    Column("count", Integer, nullable=False),
    Column("since", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("finding", _Json, nullable=False),
)

alert_mutes = Table(
    "alert_mutes",
    metadata,
    Column("sync", String, primary_key=True),
    Column("until", Double, nullable=False),
)

alert_messages = Table(
    "alert_messages",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("delivery", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("sync", String, nullable=False),
    Column("condition", String, nullable=False),
    Column("run_id", String),
    Column("content", _Json, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("leased_until", Double),
    Column("settled_at", Double),
    Column("error", Text),
    Index("alert_messages_by_state", "state", "id"),
)

unlogged = Table(
    "unlogged",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("noted_at", Double, nullable=False),
)
