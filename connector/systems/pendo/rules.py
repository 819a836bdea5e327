"""What is wrong with a sync for Pendo, found without a call: everything at once, each with its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from connector.errors import Problem
from connector.ports import ValueType
from connector.project.settings import EventSync, FieldType, ObjectSync, OnRemoved
from connector.systems.pendo import facts
from connector.systems.pendo.cells import constant, constant_type, is_constant, is_left_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from connector.project.settings import ValueSpec
    from connector.systems.pendo.settings import PendoSettings

Found = tuple[str, Problem]
ERROR, WARNING = "error", "warning"


def sync_problems(settings: PendoSettings, sync: ObjectSync | EventSync, at: Callable[..., str]) -> Iterator[Found]:
    """Every problem of this sync with this destination, as ("error" | "warning", problem)."""
    yield from _destination_problems(settings, at)
    if isinstance(sync, EventSync):
        yield from _event_problems(settings, sync, at)
    else:
        yield from _object_problems(settings, sync, at)


def _destination_problems(settings: PendoSettings, at: Callable[..., str]) -> Iterator[Found]:
    contradiction = settings.region_hint()
    if contradiction:
        hint = "a key works only in the region that issued it: set `region` of the destination in connector.yml"
        yield WARNING, Problem(contradiction, "region-mismatch", at("destination"), hint)
    if settings.is_in_the_clear:
        yield (
            WARNING,
            Problem(
                "the destination's base_url is http: keys and rows would cross the network in the clear",
                "insecure-base-url",
                at("destination"),
                "use https, or an address of this machine",
            ),
        )


# --- objects ---------------------------------------------------------------------------------------------------------


def _object_problems(settings: PendoSettings, sync: ObjectSync, at: Callable[..., str]) -> Iterator[Found]:
    if settings.integration_key is None:
        message = f"a {sync.object} sync needs the integration_key of its destination, which is not set"
        hint = "set integration_key in connector.yml to an integration key with write access"
        yield ERROR, Problem(message, "missing-secret", at("destination"), hint)
    if sync.object == "parent_account" and sync.on_removed is OnRemoved.DELETE:
        yield (
            ERROR,
            Problem(
                "parent accounts cannot be deleted: Pendo's API deletes visitors and accounts only",
                "parent-account-delete",
                at("on_removed"),
                "use `on_removed: clear` or `do_nothing`",
            ),
        )
    groups: dict[str, Mapping[str, ValueSpec]] = {"custom": {**sync.fields.custom}, "agent": {**sync.fields.agent}}
    if not any(groups.values()):
        hint = "map at least one field under `custom:` or `agent:`"
        yield ERROR, Problem("the sync maps no field", "no-fields", at("fields"), hint)
    for group, fields in groups.items():
        yield from _field_problems(group, fields, at)
    if sync.fields.agent:
        yield (
            WARNING,
            Problem(
                "agent fields may be overwritten by the Pendo snippet at a visitor's next page load",
                "agent-fields-overwritten",
                at("fields", "agent"),
                "prefer `custom:` for fields that the warehouse owns",
            ),
        )


def _field_problems(group: str, fields: Mapping[str, ValueSpec], at: Callable[..., str]) -> Iterator[Found]:
    folded: dict[str, str] = {}
    for name, spec in fields.items():
        path = ("fields", group, name)
        if not re.fullmatch(facts.FIELD_NAME.value, name):
            hint = "letters, digits and underscores, and no digit at the beginning"
            yield ERROR, Problem(f"'{name}' is no name for a Pendo field", "invalid-field-name", at(*path), hint)
        if name.lower() in facts.RESERVED_FIELDS.value:
            hint = "the id is what `match` names; choose another name"
            yield ERROR, Problem(f"'{name}' is a name that Pendo keeps for itself", "reserved-field", at(*path), hint)
        first = folded.setdefault(name.lower(), name)
        if first != name:
            origins = f"{_origin(fields[first])} and {_origin(spec)}"
            yield (
                ERROR,
                Problem(
                    f"'{first}' and '{name}' are one field in Pendo, which keeps names in lower case: {origins}",
                    "duplicate-field",
                    at(*path),
                    "map one of them, or rename one",
                ),
            )
        if _is_list(spec) and group not in facts.LIST_GROUPS.value:
            hint = "map it under `agent:`, or send a text"
            yield ERROR, Problem(f"a {group} field cannot hold a list", "list-not-allowed", at(*path), hint)
        yield from _constant_problems(spec, path, at)


def _origin(spec: ValueSpec) -> str:
    if spec.column is not None:
        return f"column '{spec.column}'"
    return f"expression '{spec.sql}'" if spec.sql is not None else "a constant"


def _is_list(spec: ValueSpec) -> bool:
    return spec.type is FieldType.LIST or (is_constant(spec) and constant_type(spec) is ValueType.LIST)


# --- events ----------------------------------------------------------------------------------------------------------


def _event_problems(settings: PendoSettings, sync: EventSync, at: Callable[..., str]) -> Iterator[Found]:
    if settings.track_event_secret is None:
        message = "a track_event sync needs the track_event_secret of its destination, which is not set"
        hint = "set track_event_secret in connector.yml to the Track Event Shared Secret of the app"
        yield ERROR, Problem(message, "missing-secret", at("destination"), hint)
    if sync.account_id is None:
        hint = "map `account_id:`, so that Pendo can show the events by account"
        yield WARNING, Problem("the events name no account", "events-without-account", at(), hint)
    for name in ("event", "visitor_id", "account_id"):
        spec = getattr(sync, name)
        if spec is not None:
            yield from _constant_problems(spec, (name,), at, becomes=ValueType.ID)
            yield from _ignored(spec, (name,), at, types=(FieldType.STRING,), nulls=name == "account_id")
    if is_constant(sync.visitor_id) and sync.visitor_id.value in facts.REFUSED_IDS.value:
        message = f"'{sync.visitor_id.value}' is a placeholder, not a visitor's id"
        hint = "name a column, or a fixed id such as the name of the service"
        yield ERROR, Problem(message, "refused-id", at("visitor_id"), hint)
    if sync.timestamp is not None:
        yield from _constant_problems(sync.timestamp, ("timestamp",), at, becomes=ValueType.EPOCH_MS)
        yield from _ignored(sync.timestamp, ("timestamp",), at, types=(FieldType.TIME, FieldType.DATE), nulls=False)
    yield from _property_problems(sync, at)
    for name in facts.CONTEXT_MEMBERS.value:
        spec = getattr(sync.context, name, None)
        if spec is not None:
            yield from _constant_problems(spec, ("context", name), at, becomes=ValueType.STRING)
            yield from _ignored(spec, ("context", name), at, types=(FieldType.STRING,), nulls=True)


def _property_problems(sync: EventSync, at: Callable[..., str]) -> Iterator[Found]:
    folded: dict[str, str] = {}
    for name, spec in sync.properties.items():
        path = ("properties", name)
        if reason := _property_name_fault(name):
            hint = "letters, digits and underscores, and no digit at the beginning"
            yield ERROR, Problem(f"property '{name}' {reason}", "invalid-property-name", at(*path), hint)
        first = folded.setdefault(name.lower(), name)
        if first != name:
            hint = "Pendo may keep names in lower case: rename one of them"
            message = f"properties '{first}' and '{name}' differ only in upper and lower case"
            yield WARNING, Problem(message, "similar-properties", at(*path), hint)
        if _is_list(spec):
            hint = "send a text; lists are for agent fields only"
            yield ERROR, Problem("a property cannot hold a list", "list-not-allowed", at(*path), hint)
        yield from _constant_problems(spec, path, at)


def _property_name_fault(name: str) -> str | None:
    if len(name) > facts.PROPERTY_NAME_LENGTH.value:
        return f"is {len(name)} characters long; Pendo allows {facts.PROPERTY_NAME_LENGTH.value}"
    if not re.fullmatch(facts.PROPERTY_NAME.value, name):
        return "is no name for a property of an event"
    if name.startswith("__") and name.endswith("__"):
        return "stands in double underscores, which Pendo keeps for itself"
    return None


# --- values ----------------------------------------------------------------------------------------------------------


def _constant_problems(
    spec: ValueSpec, path: tuple[str, ...], at: Callable[..., str], *, becomes: ValueType | None = None
) -> Iterator[Found]:
    if not is_constant(spec):
        return
    label = ".".join(path)
    if is_left_out(spec):
        hint = 'give it a value, or say `nulls: "null"` or `nulls: empty`'
        yield ERROR, Problem(f"{label} is null on every row, so it is never sent", "wrong-constant", at(*path), hint)
        return
    try:
        constant(spec, becomes)
    except ValueError as error:
        hint = "change the value or its `type:`"
        yield ERROR, Problem(f"{label}: {error}", "wrong-constant", at(*path), hint)


def _ignored(
    spec: ValueSpec, path: tuple[str, ...], at: Callable[..., str], *, types: tuple[FieldType, ...], nulls: bool
) -> Iterator[Found]:
    """A warning for each setting that has no effect here."""
    label = ".".join(path)
    if spec.type is not None and spec.type not in types:
        form = "milliseconds since 1970" if path == ("timestamp",) else "a text"
        hint = f"it is always sent as {form}: leave `type:` out"
        yield (
            WARNING,
            Problem(f"{label}: `type: {spec.type}` has no effect", "ignored-setting", at(*path, "type"), hint),
        )
    if not nulls and "nulls" in spec.model_fields_set:
        hint = "an event cannot do without it, so a NULL rejects the row: leave `nulls:` out"
        yield WARNING, Problem(f"{label}: `nulls:` has no effect", "ignored-setting", at(*path, "nulls"), hint)
