"""POST /api/v1/metadata/{kind}/{group}/value: writing the fields of many objects in one call.

Source: pendo-api.md 3.4. A 200 may hold failures: `missing` and `errors` are part of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from connector.sandbox.calls import Refusal, json_answer, parsed
from connector.sandbox.fieldtypes import NAME, coerced, fits
from connector.sandbox.state import KINDS, Field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.sandbox.calls import Answer, Call
    from connector.sandbox.state import Metadata, State

TIME_LIMIT_S = 300.0
"""A metadata call may take five minutes, then 408 (pendo-api.md 3.4, documented)."""

_READ_ONLY = ("auto", "pendo")
_LOST = object()


@dataclass(frozen=True, slots=True)
class Column:
    """One field name of a call: the key it is kept under, and the field's type. An empty key: its values are lost.

    `make_as`: the field does not exist yet and is made under this display name.
    """

    key: str
    type: str
    make_as: str | None = None


@dataclass(slots=True)
class Tally:
    """What became of a call's records. `ignored` ones are counted as updated, though nothing was kept of them."""

    updated: int = 0
    created: int = 0
    ignored: int = 0
    missing: list[str] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)


def write(state: State, call: Call, kind: str, group: str) -> Answer:
    """200 with the counts; 400 for the whole call when a field or the form is wrong; 408 when it takes too long."""
    known_kind(state, kind)
    records = _records(state, call, kind)
    columns = _columns(state, kind, group, records)
    _refuse_wrong_types(state, records, columns)
    for each in columns.values():
        if each.make_as is not None and state.field_type(kind, group, each.key) is None:
            state.make_field(kind, group, each.key, Field("", each.make_as))
    writing = _Writing(state, kind, group, columns, create=call.query.get("create") == "true")
    in_time = _in_time(state, len(records))
    for record in records[:in_time]:
        writing.apply(record)
    if _takes_too_long(state, len(records)):
        note = f"{in_time} records applied"
        raise Refusal(408, "request timed out", rows=len(records), applied=in_time > 0, note=note)
    return _answer(state, kind, writing.tally, len(records))


def known_kind(state: State, kind: str) -> None:
    """Nothing; 404 for a kind without metadata routes."""
    if kind not in KINDS:
        raise Refusal(404, f"unknown kind {kind}")
    if kind == "parentAccount" and state.switches.parent_account_routes != "served":
        status = 404 if state.switches.parent_account_routes == "not_found" else 400
        raise Refusal(status, "unknown kind parentAccount")


def stored(state: State, column: Column, value: Any) -> Any:
    """What is kept of a value: the value, None when it clears the field, `_LOST` when it changes nothing.

    Raises ValueError when the value does not fit and the switch wants that reported.
    """
    clears = state.switches.clear_with
    if value is None:
        return None if clears != "empty_string" else _LOST
    if value == "" and clears != "null":
        return None
    date_only = state.switches.date_only == "accept"
    if fits(column.type, value, date_only=date_only):
        return value
    match state.switches.metadata_wrong_type:
        case "store_as_is":
            return value
        case "coerce":
            made = coerced(column.type, value)
            return _LOST if made is None else made
        case _:
            raise ValueError(f"field '{column.key}': not a {column.type}")


def put(metadata: Metadata, group: str, values: Iterable[tuple[str, Any]]) -> None:
    """Nothing, after setting the fields to what `stored` returned; a field without a key is lost."""
    fields = metadata.setdefault(group, {})
    for key, value in values:
        if value is None:
            fields.pop(key, None)
        elif value is not _LOST and key:
            fields[key] = value


def column(state: State, kind: str, group: str, name: str) -> Column | None:
    """The field of that name; None when it does not exist. Names are lower-cased on the way in."""
    type_ = state.field_type(kind, group, name.lower())
    return None if type_ is None else Column(name.lower(), type_)


def _records(state: State, call: Call, kind: str) -> list[dict[str, Any]]:
    data = parsed(call)
    if not isinstance(data, list):
        raise Refusal(400, "the body is not a list of records")
    id_key = f"{kind}Id"
    for record in data:
        if (
            not isinstance(record, dict)
            or not isinstance(record.get(id_key, ""), str)
            or not isinstance(record.get("values", {}), dict)
        ):
            raise Refusal(400, "a record is malformed", rows=len(data), note=str(record)[:200])
        if not record.get(id_key) and state.switches.metadata_missing_id == "refuse_call":
            raise Refusal(400, f"a record has no {id_key}", rows=len(data))
    return data


def _columns(state: State, kind: str, group: str, records: list[dict[str, Any]]) -> dict[str, Column]:
    """Each field name of the call with its column. Unknown fields of `custom` will be made, without a type."""
    if group in _READ_ONLY:
        raise Refusal(400, f"group {group} is read-only", rows=len(records))
    if group not in state.schemas[kind]:
        raise Refusal(400, f"missing field mappings: no group {group}", rows=len(records))
    names = dict.fromkeys(name for record in records for name in record.get("values", ()))
    found = {name: column(state, kind, group, name) for name in names}
    unknown = [name for name, known in found.items() if known is None]
    create = group == "custom" or (group == "agent" and state.switches.agent_unknown_field == "create")
    if unknown and not create:
        raise Refusal(400, f"missing field mappings: {', '.join(unknown)}", rows=len(records))
    invalid = [name for name in unknown if not NAME.fullmatch(name)]
    if invalid and state.switches.custom_invalid_name == "refuse_call":
        raise Refusal(400, f"invalid field name: {', '.join(invalid)}", rows=len(records))
    made = {name: Column("", "") if name in invalid else Column(name.lower(), "", make_as=name) for name in unknown}
    return {name: known or made[name] for name, known in found.items()}


def _refuse_wrong_types(state: State, records: list[dict[str, Any]], columns: dict[str, Column]) -> None:
    if state.switches.metadata_wrong_type != "refuse_call":
        return
    for record in records:
        for name, value in record.get("values", {}).items():
            try:
                stored(state, columns[name], value)
            except ValueError as error:
                raise Refusal(400, f"invalid value, {error}", rows=len(records)) from None


def _takes_too_long(state: State, records: int) -> bool:
    return records * state.switches.seconds_per_record > TIME_LIMIT_S


def _in_time(state: State, records: int) -> int:
    """How many of the records are applied, with the simulated time limit."""
    if not _takes_too_long(state, records):
        return records
    part = int(TIME_LIMIT_S / state.switches.seconds_per_record)
    return {"nothing_applied": 0, "part_applied": part, "all_applied": records}[state.switches.after_408]


class _Writing:
    """The records of one call on their way into the objects."""

    def __init__(self, state: State, kind: str, group: str, columns: dict[str, Column], *, create: bool) -> None:
        self.tally = Tally()
        self._state, self._kind, self._group, self._columns, self._create = state, kind, group, columns, create
        self._held, self._id_key = state.objects[kind].held, f"{kind}Id"
        self._seen: set[str] = set()
        self._now_ms = int(state.now() * 1000)
        self._as_is = state.switches.metadata_wrong_type == "store_as_is"

    def apply(self, record: dict[str, Any]) -> None:
        """Nothing, after writing the record or counting why not."""
        written = record.get(self._id_key) or ""
        object_id = self._state.canonical(self._kind, written)
        repeated = object_id in self._seen
        self._seen.add(object_id)
        problem = self._problem(object_id, repeated=repeated)
        if problem:
            self._fail(written, problem)
        elif repeated and self._state.switches.duplicate_ids == "first_wins":
            self._ignore()
        elif object_id in self._state.do_not_process[self._kind]:
            if self._state.switches.dnp_writes == "missing":
                self.tally.missing.append(written)
            else:
                self._ignore()
        elif object_id not in self._held and not self._create:
            self.tally.missing.append(written)
        else:
            self._put(written, object_id, record.get("values", {}))

    def _problem(self, object_id: str, *, repeated: bool) -> str | None:
        if not object_id:
            return f"no {self._id_key}"
        if repeated and self._state.switches.duplicate_ids == "error":
            return "id is in the call twice"
        return self._state.failing_ids[self._kind].get(object_id) or self._state.bad_id(object_id)

    def _put(self, written: str, object_id: str, values: dict[str, Any]) -> None:
        try:
            kept = [(self._columns[name].key, self._stored(name, value)) for name, value in values.items()]
        except ValueError as error:
            self._fail(written, str(error))
            return
        if object_id in self._held or self._state.switches.created_counted_as == "updated":
            self.tally.updated += 1
        else:
            self.tally.created += 1
        metadata = self._state.make_object(self._kind, object_id)
        metadata["auto"]["lastupdated"] = self._now_ms
        put(metadata, self._group, kept)

    def _stored(self, name: str, value: Any) -> Any:
        if self._as_is and value is not None and value != "":
            return value
        return stored(self._state, self._columns[name], value)

    def _ignore(self) -> None:
        self.tally.updated += 1
        self.tally.ignored += 1

    def _fail(self, written: str, problem: str) -> None:
        shapes: dict[str, Any] = {
            "strings": f"{written}: {problem}",
            "objects": {self._id_key: written, "error": problem},
            "objects_other_key": {"id": written, "message": problem},
            "anonymous": problem,
        }
        self.tally.errors.append(shapes[self._state.switches.metadata_errors_shape])


def _answer(state: State, kind: str, tally: Tally, rows: int) -> Answer:
    failed = len(tally.missing) + len(tally.errors)
    document: dict[str, Any] = {"total": tally.updated + tally.created + failed, "updated": tally.updated}
    if tally.created:
        document["created"] = tally.created
    document["failed"] = failed
    empty: Any = {"absent": ..., "null": None, "empty_list": []}[state.switches.missing_when_empty]
    for name, listed in (("missing", tally.missing), ("errors", tally.errors)):
        if listed or empty is not ...:
            document[name] = listed or empty
    document["kind"] = kind
    note = f"{tally.ignored} of `updated` ignored" if tally.ignored else None
    return replace(json_answer(document), applied=tally.updated + tally.created > tally.ignored, rows=rows, note=note)
