"""The calls before the first row: may this key write, does Pendo have the fields, and make those that are to be made.

Pendo makes an unknown custom field by itself when a value arrives, but without a type, so that it is of no use in its
UI until someone sets one. Here no field comes about that way: it exists, or it is made with its type, or nothing is
sent.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.errors import ConfigErrors, DestinationError, Problem
from connector.ports import Fault, Request, ValueType
from connector.systems.pendo import facts
from connector.systems.pendo.replies import BAD_REQUEST, NOT_FOUND, fault, is_success, message, one_line, parsed, said
from connector.systems.pendo.settings import INTEGRATION_KEY

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from connector.ports import Reply
    from connector.systems.pendo.settings import PendoSettings

VERIFY_PURPOSE = "key check"
READ_PURPOSE = "read schema"
CREATE_PURPOSE = "create fields"
CREATED_STATUS, CONFLICT_STATUS, SERVER_ERROR_STATUS = 201, 409, 500
NUMBERS = frozenset({ValueType.INTEGER, ValueType.FLOAT})

# What a field of each type takes without damage. Types that are not named here (text, not set, new ones) take all.
TAKES: Mapping[str, frozenset[ValueType]] = {
    "integer": frozenset({ValueType.INTEGER}),
    "float": NUMBERS,
    "number": NUMBERS,
    "boolean": frozenset({ValueType.BOOLEAN}),
    "time": frozenset({ValueType.DATE, ValueType.TIME, ValueType.INTEGER}),
    "list": frozenset({ValueType.LIST}),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field that a sync writes; `type` is None where only the model's columns could say."""

    group: str
    name: str
    type: ValueType | None
    create: bool
    at: str

    @property
    def key(self) -> tuple[str, str]:
        """Where Pendo's schema has it."""
        return self.group, self.name.lower()


Types = dict[tuple[str, str], str]  # by group and lower-case name; empty for a field without a type


def prepare_fields(settings: PendoSettings, obj: str, fields: Sequence[Field]) -> Generator[Request, Reply, None]:
    """The key check, the schema, and the fields to make; ends when every field is there.

    Raises DestinationError for a key that may not write, ConfigErrors with every field that stands in the way.
    """
    key = yield from read_key(settings)
    if key.get("writeAccess") is False:
        raise DestinationError(
            "the integration key is read-only",
            slug="read-only-key",
            hint="make one with 'Allow write access' in Pendo (Settings > Integrations > Integration keys)",
        )
    kind = facts.KINDS.value[obj]
    present = yield from _read_schema(settings, kind)
    missing = [field for field in fields if field.key not in present]
    wrong = [*_problems_of_missing(obj, missing, present), *_conflicts(obj, fields, present)]
    if wrong:
        raise ConfigErrors(tuple(wrong))
    if missing:
        yield from _create(settings, obj, missing)


def read_key(settings: PendoSettings) -> Generator[Request, Reply, Mapping[str, Any]]:
    """What Pendo says about the integration key: `valid` and `writeAccess`. Raises DestinationError when it is none."""
    request = Request(
        "GET",
        settings.api_url + facts.VERIFY_PATH.value,
        INTEGRATION_KEY,
        VERIFY_PURPOSE,
        timeout_s=settings.timeouts.read_seconds,
    )
    reply = yield request
    body = _object(request, reply, settings)
    if body.get("valid") is False:
        raise DestinationError(
            "Pendo says that the integration key is not valid",
            slug="pendo-key-refused",
            hint=settings.region_hint() or "was it deleted in Pendo, or is it a key of another region?",
        )
    return body


def is_about_fields(reply: Reply) -> bool:
    """True when the reply to making fields says something about them, whatever its status."""
    if reply.status == SERVER_ERROR_STATUS:
        return bool(_statuses(parsed(reply)))  # all of them failed; without a list it is an ordinary breakdown
    return reply.status in facts.CREATE_STATUSES.value


def is_no_kind(reply: Reply) -> bool:
    """True when the reply to reading a schema means that Pendo does not know the kind."""
    return reply.status in (BAD_REQUEST, NOT_FOUND)


def no_parent_accounts(request: Request, reply: Reply) -> Fault:
    """Why parent accounts cannot be written here."""
    return Fault(
        f"Pendo has no parent accounts at {request.url} ({reply.status}: {said(reply)})",
        "parent-accounts-unavailable",
        "either the subscription does not have the parent account feature, or Pendo does not offer this API: "
        "its reference does not list it",
    )


def _read_schema(settings: PendoSettings, kind: str) -> Generator[Request, Reply, Types]:
    request = Request(
        "GET",
        settings.api_url + facts.SCHEMA_PATH.value.format(kind=kind),
        INTEGRATION_KEY,
        READ_PURPOSE,
        timeout_s=settings.timeouts.read_seconds,
    )
    reply = yield request
    if kind == facts.KINDS.value["parent_account"] and is_no_kind(reply):
        raise _error(no_parent_accounts(request, reply))
    return dict(_present(_object(request, reply, settings)))


def _present(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    """Every field of a schema that is not deleted. The casing of attributes is mixed in Pendo's own answers."""
    for group, fields in schema.items():
        for name, attributes in fields.items() if isinstance(fields, dict) else ():
            folded = {key.lower(): value for key, value in attributes.items()} if isinstance(attributes, dict) else {}
            if folded.get("isdeleted") is not True:
                yield (group, name.lower()), str(folded.get("type") or "").lower()


def _object(request: Request, reply: Reply, settings: PendoSettings) -> Mapping[str, Any]:
    if not is_success(reply):
        raise _error(fault(request, reply, settings))
    body = parsed(reply)
    if not isinstance(body, dict):
        raise DestinationError(
            f"the answer to the {request.purpose} is not what Pendo sends: {said(reply)}",
            slug="pendo-unreadable-answer",
            hint=f"does something else answer at {request.url}, such as a proxy's login page?",
        )
    return body


def _error(refusal: Fault) -> DestinationError:
    return DestinationError(refusal.message, slug=refusal.slug, hint=refusal.hint)


# --- what stands in the way ------------------------------------------------------------------------------------------


def _problems_of_missing(obj: str, missing: Sequence[Field], present: Types) -> Iterator[Problem]:
    for field in missing:
        absent = f"{obj} has no {field.group} field '{field.name.lower()}' in Pendo"
        if not field.create:
            yield Problem(absent, "unknown-field", field.at, _nearest(field, present) + "add `create: true` to make it")
        elif field.type is None:
            yield Problem(f"{absent}, and no type to make it with", "untyped-field", field.at, "say its `type:`")
        elif field.type not in facts.CREATE_TYPES.value:
            hint = "Pendo offers no way to make such a field by API: let the web snippet send it once, or map a text"
            yield Problem(f"{absent}, and a {field.type} field cannot be made", "list-field", field.at, hint)


def _nearest(field: Field, present: Types) -> str:
    elsewhere = [group for group in facts.GROUPS.value if (group, field.name.lower()) in present]
    if elsewhere:
        return f"group '{elsewhere[0]}' has a field of this name; or "
    names = [name for group, name in present if group == field.group]
    near = difflib.get_close_matches(field.name.lower(), names, n=1)
    return f"did you mean '{near[0]}'? or " if near else ""


def _conflicts(obj: str, fields: Sequence[Field], present: Types) -> Iterator[Problem]:
    for field in fields:
        there = present.get(field.key, "")
        if field.type is not None and not _takes(there, field):
            yield Problem(
                f"{obj} field '{field.name.lower()}' ({field.group}) is of type {there} in Pendo, "
                f"but would be sent as {field.type}",
                "field-type-conflict",
                field.at,
                f"say `type:` ({', '.join(sorted(TAKES[there]))}), or map another field",
            )


def _takes(there: str, field: Field) -> bool:
    if there == "integer" and field.create:
        # A field can only be made as `number`; whether that reads back as integer is Pendo's choice, not the user's.
        return field.type in NUMBERS
    return there not in TAKES or field.type in TAKES[there]


# --- making fields ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Answer:
    """What Pendo said about making one field: done or not, and its words."""

    done: bool
    words: str


def _create(settings: PendoSettings, obj: str, missing: Sequence[Field]) -> Generator[Request, Reply, None]:
    kind = facts.KINDS.value[obj]
    answers: dict[tuple[str, str], _Answer] = {}
    for group in facts.GROUPS.value:
        of_group = [field for field in missing if field.group == group]
        for start in range(0, len(of_group), facts.CREATE_FIELDS.value):
            some = of_group[start : start + facts.CREATE_FIELDS.value]
            reply = yield _create_request(settings, kind, group, some)
            answers.update(_answers(some, reply))
    # The schema read anew is the truth; it may lag by minutes, so a field that Pendo says it made counts as well.
    present = yield from _read_schema(settings, kind)
    wrong = tuple(
        Problem(
            f"Pendo did not make {obj} field '{field.name.lower()}' ({field.group}): {answers[field.key].words}",
            "field-not-created",
            field.at,
            "make it in Pendo (Settings > Data mappings), or map another field",
        )
        for field in missing
        if field.key not in present and not answers[field.key].done
    )
    if wrong:
        raise ConfigErrors(wrong)


def _create_request(settings: PendoSettings, kind: str, group: str, fields: Sequence[Field]) -> Request:
    wanted = [
        {"name": field.name.lower(), "displayname": field.name, "type": facts.CREATE_TYPES.value[field.type]}
        for field in fields
        if field.type is not None
    ]
    return Request(
        "POST",
        settings.api_url + facts.CREATE_FIELDS_PATH.value.format(kind=kind, group=group),
        INTEGRATION_KEY,
        CREATE_PURPOSE,
        json.dumps(wanted, ensure_ascii=False, separators=(",", ":")).encode(),
        {"content-type": "application/json"},
        settings.timeouts.read_seconds,
    )


def _answers(fields: Sequence[Field], reply: Reply) -> Iterator[tuple[tuple[str, str], _Answer]]:
    # 409: all of them exist already, though a schema that lags does not show them yet.
    settled = _Answer(reply.status in (CREATED_STATUS, CONFLICT_STATUS), f"{reply.status}: {said(reply)}")
    statuses = {} if settled.done else _statuses(parsed(reply))
    for field in fields:
        yield field.key, statuses.get(field.name.lower(), settled)


def _statuses(body: Any) -> dict[str, _Answer]:
    """What a reply says about each field, by name. Its list is found by its shape: what it is called is unknown."""
    lists = [body, *(body.values() if isinstance(body, dict) else ())]
    entries = [entry for inner in lists if isinstance(inner, list) for entry in inner if isinstance(entry, dict)]
    found: dict[str, _Answer] = {}
    for entry in entries:
        schema = entry.get("schema")
        name = schema.get("name") if isinstance(schema, dict) else entry.get("name")
        status = str(entry.get("status", "")).lower()
        if isinstance(name, str) and status:
            words = one_line(message(entry.get("error") or "")) or status
            found[name.lower()] = _Answer(status in facts.CREATED.value or "already exist" in words.lower(), words)
    return found
