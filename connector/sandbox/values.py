"""One field of one object: reading it, writing it, and the do-not-process mark.

Source: pendo-api.md 3.5. Whether writing to an unknown custom field makes it is contradicted there: a switch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.sandbox.calls import Answer, Refusal, decoded_id, json_answer, parsed
from connector.sandbox.fieldtypes import NAME, epoch_ms
from connector.sandbox.metadata import Column, column, known_kind, put, stored
from connector.sandbox.state import DO_NOT_PROCESS, Field

if TYPE_CHECKING:
    from connector.sandbox.calls import Call
    from connector.sandbox.state import Metadata, State

_SETTINGS = (DO_NOT_PROCESS, "blacklistguides")


def read(state: State, call: Call, kind: str, group: str, written_id: str, name: str) -> Answer:
    """The bare JSON value; 404 when the object, the field or the value is not there."""
    known_kind(state, kind)
    object_id = state.canonical(kind, decoded_id(call, written_id))
    values = shown(state, kind, _object(state, kind, object_id)).get(group, {})
    if name.lower() not in values:
        raise Refusal(404, f"no value of {name}")
    return json_answer(values[name.lower()])


def write(state: State, call: Call, kind: str, group: str, written_id: str, name: str) -> Answer:
    """200 after setting the value; 404 for an unknown object or field, 400 for a group or value that cannot be set."""
    known_kind(state, kind)
    object_id = state.canonical(kind, decoded_id(call, written_id))
    value = parsed(call)
    if group == "pendo":
        _set(state, kind, object_id, name, value)
        return Answer(200, applied=True, rows=1)
    metadata = _object(state, kind, object_id)
    if group == "auto":
        raise Refusal(400, "group auto is read-only", rows=1)
    known = column(state, kind, group, name) or _made(state, kind, group, name)
    if object_id in state.do_not_process[kind]:
        return Answer(200, rows=1, note="id is do-not-process")
    try:
        put(metadata, group, [(known.key, stored(state, known, value))])
    except ValueError as error:
        raise Refusal(400, f"invalid value, {error}", rows=1) from None
    metadata["auto"]["lastupdated"] = int(state.now() * 1000)
    return Answer(200, applied=True, rows=1)


def shown(state: State, kind: str, metadata: Metadata) -> Metadata:
    """An object's values as the API shows them: no deleted fields, times as epoch milliseconds."""
    return {
        group: {
            key: _read_back(type_, value)
            for key, value in values.items()
            if (type_ := state.field_type(kind, group, key)) is not None
        }
        for group, values in metadata.items()
    }


def _read_back(type_: str, value: Any) -> Any:
    if type_ != "time":
        return value
    moment = epoch_ms(value, date_only=True)
    return value if moment is None else moment


def _object(state: State, kind: str, object_id: str) -> Metadata:
    metadata = state.objects[kind].held.get(object_id)
    if metadata is None:
        raise Refusal(404, f"no {kind} {object_id}", rows=1)
    return metadata


def _set(state: State, kind: str, object_id: str, name: str, value: Any) -> None:
    """Nothing, after setting one of Pendo's own settings; a deleted id keeps its mark and can lose it here."""
    if name not in _SETTINGS:
        raise Refusal(404, f"no field {name}", rows=1)
    if not isinstance(value, bool):
        raise Refusal(400, "the body is not true or false", rows=1)
    if name == DO_NOT_PROCESS and object_id in state.do_not_process[kind]:
        state.set_do_not_process(kind, object_id, on=value)
        return
    metadata = _object(state, kind, object_id)
    if name == DO_NOT_PROCESS:
        state.set_do_not_process(kind, object_id, on=value)
    else:
        metadata.setdefault("pendo", {})[name] = value


def _made(state: State, kind: str, group: str, name: str) -> Column:
    create = group == "custom" and state.switches.put_unknown_custom_field == "create" and NAME.fullmatch(name)
    if not create:
        raise Refusal(404, f"no field {name}", rows=1)
    state.make_field(kind, group, name.lower(), Field("", name))
    return Column(name.lower(), "")
