"""What the sandbox holds against what the warehouse says, row by row.

Nothing here uses what the connector made of the mapping: the values are read from a DuckDB warehouse with queries of
their own and shaped in plain Python, so that a mistake of the connector cannot hide itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb

from connector.project.settings import EventSync, FieldType
from connector.sandbox.fieldtypes import epoch_ms
from connector.values import quoted, quoted_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from connector.project.definition import Sync
    from connector.project.settings import ObjectSync, ValueSpec
    from connector.sandbox import Sandbox

Values = dict[str, Any]

_EVENT_MEMBERS = {"event": "event", "visitor_id": "visitorId", "account_id": "accountId", "timestamp": "timestamp"}
_HELD = {"visitor": "visitors", "account": "accounts", "parent_account": "parent_accounts"}
_MIDNIGHT = datetime.min.time()


@dataclass(slots=True)
class Comparison:
    """One sync's rows in the warehouse against what the sandbox holds.

    `equal` of `rows` usable rows are there with the same `values`; `explained` counts those that are not because the
    run said so, by outcome; `left_out` had no key or a repeated one; `different` names what has no such reason.
    """

    sync: str
    what: str
    values: int
    rows: int = 0
    equal: int = 0
    left_out: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every row is equal or accounted for, and nothing else is there."""
        return not self.different and self.rows == self.equal + sum(self.explained.values())


def compare(sync: Sync, warehouse: Path, sandbox: Sandbox, undelivered: Mapping[str, str]) -> Comparison:
    """The comparison for one sync. `undelivered` is the outcome of each row that did not get through, by key."""
    settings = sync.settings
    specs = _event_specs(settings) if isinstance(settings, EventSync) else _field_specs(settings)
    what = "track event" if isinstance(settings, EventSync) else settings.object.replace("_", " ")
    found = Comparison(sync.name, what, len(specs))
    if isinstance(settings, EventSync):
        _compare_events(found, _rows(sync, warehouse, specs, found), sandbox, undelivered)
    else:
        _compare_objects(found, _rows(sync, warehouse, specs, found), _held(settings, specs, sandbox), undelivered)
    return found


def _compare_objects(
    found: Comparison, rows: Iterator[tuple[str, str, Values]], held: dict[str, Values], undelivered: Mapping[str, str]
) -> None:
    for key, identity, expected in rows:
        there = held.pop(identity, None)
        found.rows += 1
        if there == expected:
            found.equal += 1
        elif key in undelivered:
            found.explained[undelivered[key]] += 1
        else:
            found.different.append(key)
    # What is left is in no row: this sync must not have written to it.
    found.different += [identity for identity, there in held.items() if there]


def _compare_events(
    found: Comparison, rows: Iterator[tuple[str, str, Values]], sandbox: Sandbox, undelivered: Mapping[str, str]
) -> None:
    events = Counter(_frozen(_event_values(event)) for event in sandbox.events)
    for key, _, expected in rows:
        found.rows += 1
        event = _frozen(expected)
        if events[event]:
            events[event] -= 1
            found.equal += 1
        elif key in undelivered:
            found.explained[undelivered[key]] += 1
        else:
            found.different.append(key)
    found.different += [f"an event that is in no row: {dict(event)}" for event in events.elements()]


def _rows(
    sync: Sync, warehouse: Path, specs: Mapping[str, ValueSpec], found: Comparison
) -> Iterator[tuple[str, str, Values]]:
    """Key, id in Pendo and expected values of each usable row; those that are not are counted in `left_out`."""
    (key,) = (quoted(column) for column in sync.model.settings.primary_key)
    identity = key if isinstance(sync.settings, EventSync) else quoted(sync.settings.match)
    origins = "".join(f", {_origin(spec)}" for spec in specs.values())
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(f"SELECT {key}, {identity}{origins} FROM ({sync.model.sql})").fetchall()
    times = Counter(row[0] for row in rows)
    for row_key, row_identity, *cells in rows:
        if row_key is None or times[row_key] > 1:
            found.left_out += 1
            continue
        cells_by_name = zip(specs, cells, strict=True)
        yield (
            str(row_key),
            str(row_identity),
            {name: _plain(cell, specs[name].type) for name, cell in cells_by_name if cell is not None},
        )


def _origin(spec: ValueSpec) -> str:
    if spec.column is not None:
        return quoted(spec.column)
    return f"({spec.sql})" if spec.sql is not None else quoted_text(str(spec.value))


def _plain(cell: Any, wanted: FieldType | None) -> Any:
    """The cell as it reads back: a time as milliseconds since 1970, a number as a number, everything else as it is."""
    if isinstance(cell, datetime):
        return round(cell.replace(tzinfo=cell.tzinfo or UTC).timestamp() * 1000)
    if isinstance(cell, date):
        return round(datetime.combine(cell, _MIDNIGHT, UTC).timestamp() * 1000)
    if isinstance(cell, Decimal):
        return float(cell)
    if wanted in (FieldType.INTEGER, FieldType.FLOAT) and isinstance(cell, str):
        return float(cell) if cell.replace(".", "").isdecimal() else cell
    return cell


def _held(settings: ObjectSync, specs: Mapping[str, ValueSpec], sandbox: Sandbox) -> dict[str, Values]:
    """The values in the sandbox by id, of the fields that the sync writes."""
    held: dict[str, Values] = {}
    for identity, metadata in getattr(sandbox, _HELD[settings.object]).items():
        held[identity] = {
            name: _time(metadata[group][field], spec.type)
            for name, spec in specs.items()
            for group, _, field in [name.partition(".")]
            if field in metadata[group]
        }
    return held


def _time(value: Any, wanted: FieldType | None) -> Any:
    if wanted in (FieldType.TIME, FieldType.DATE):
        return epoch_ms(value, date_only=False)
    return value


def _event_values(event: Mapping[str, Any]) -> Values:
    values = {name: event[member] for name, member in _EVENT_MEMBERS.items() if member in event}
    return values | {f"properties.{name}": value for name, value in (event.get("properties") or {}).items()}


def _frozen(values: Values) -> frozenset[tuple[str, Any]]:
    return frozenset(values.items())


def _field_specs(settings: ObjectSync) -> dict[str, ValueSpec]:
    groups = {"custom": settings.fields.custom, "agent": settings.fields.agent}
    return {f"{group}.{name.lower()}": spec for group, specs in groups.items() for name, spec in specs.items()}


def _event_specs(settings: EventSync) -> dict[str, ValueSpec]:
    members = {name: getattr(settings, name) for name in _EVENT_MEMBERS}
    named = {name: spec for name, spec in members.items() if spec is not None}
    return named | {f"properties.{name}": spec for name, spec in settings.properties.items()}
