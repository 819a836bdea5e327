"""What the sandbox holds: objects, fields, events, deletion requests, all in memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connector.sandbox.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Callable

Metadata = dict[str, dict[str, Any]]
"""An object's values: by group (auto, agent, custom, pendo), then by field."""

KINDS = ("visitor", "account", "parentAccount")
DO_NOT_PROCESS = "donotprocess"

DAY_S = 86_400.0
SCHEMA_DELAY_S = 300.0
DELETION_STARTS_S = DAY_S
DELETION_ENDS_S = 21 * DAY_S  # "up to 21 days" (pendo-api.md 4)
EVENT_DELAY_S = {"at_once": 0.0, "after_1h": 3_600.0, "after_6h": 21_600.0}

_VISITOR_AUTO = {"accountid": "string", "accountids": "list", "firstvisit": "time", "id": "string", "idhash": "integer"}
_BROWSER = dict.fromkeys(
    ("lastbrowsername", "lastbrowserversion", "lastoperatingsystem", "lastservername", "lastuseragent"), "string"
)
_ACCOUNT_AUTO = {"firstvisit": "time", "id": "string", "idhash": "integer", "lastupdated": "time", "lastvisit": "time"}
_AUTO = {"visitor": {**_VISITOR_AUTO, **_BROWSER, **_ACCOUNT_AUTO}, "account": _ACCOUNT_AUTO}
_SETTINGS = dict.fromkeys((DO_NOT_PROCESS, "blacklistguides", "designerenabled"), "boolean")


@dataclass(slots=True)
class Field:
    """One field of a schema. `visible_at`: from when the schema shows it, in seconds since 1970."""

    type: str
    display_name: str
    deleted: bool = False
    visible_at: float = 0.0


@dataclass(slots=True)
class Event:
    """A Track event that was answered with 200. `dropped` says why Pendo would not keep it."""

    call: int
    received_at: float
    body: dict[str, Any]
    dropped: str | None = None
    processed: bool = False


@dataclass(slots=True)
class Deletion:
    """One bulk deletion request: the ids of all calls that were merged into it."""

    id: str
    kind: str
    ids: list[str]
    created_at: float
    completed_at: float | None = None

    def status(self, now: float) -> str:
        """Queued, running or completed."""
        if self.completed_at is not None:
            return "completed"
        return "running" if now >= self.created_at + DELETION_STARTS_S else "queued"


class Objects(Mapping[str, Metadata]):
    """The objects of one kind by id. Reading is safe from any thread and gives copies; `held` is the store itself."""

    def __init__(self, lock: threading.RLock) -> None:
        """Start empty. `lock` is held by whoever writes to `held`."""
        self.held: dict[str, Metadata] = {}
        self._lock = lock

    def __getitem__(self, key: str) -> Metadata:
        """The object's values by group; the groups agent and custom are always there."""
        with self._lock:
            return {"agent": {}, "custom": {}, **{group: dict(values) for group, values in self.held[key].items()}}

    def __iter__(self) -> Iterator[str]:
        """The ids, in the order in which they came to be."""
        with self._lock:
            return iter(list(self.held))

    def __len__(self) -> int:
        return len(self.held)

    def __contains__(self, key: object) -> bool:
        return key in self.held

    def __repr__(self) -> str:
        return f"Objects({len(self.held)})"


@dataclass(slots=True)
class State:
    """Everything that a reset forgets. It is changed while `lock` is held."""

    now: Callable[[], float]
    switches: Switches = field(default_factory=Switches)
    lock: threading.RLock = field(default_factory=threading.RLock)
    objects: dict[str, Objects] = field(init=False)
    schemas: dict[str, dict[str, dict[str, Field]]] = field(init=False)
    do_not_process: dict[str, dict[str, None]] = field(init=False)
    events: list[Event] = field(default_factory=list)
    waiting: deque[tuple[float, Event]] = field(default_factory=deque)
    track_types: dict[str, int] = field(default_factory=dict)
    seen_events: set[tuple[Any, ...]] | None = None
    deletions: dict[str, Deletion] = field(default_factory=dict)
    last_deletion_call: float | None = None
    failing_ids: dict[str, dict[str, str]] = field(
        default_factory=lambda: {kind: {} for kind in (*KINDS, "track_event")}
    )
    recent_calls: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Start with no objects and with the fields that every subscription has."""
        self.objects = {kind: Objects(self.lock) for kind in KINDS}
        self.do_not_process = {kind: {} for kind in KINDS}
        self.schemas = {kind: _first_schema(kind) for kind in KINDS}

    def make_object(self, kind: str, object_id: str, *, seen_ms: int | None = None) -> Metadata:
        """The object of that id, made when it is unknown. `seen_ms`: its activity, for one that an event makes."""
        held = self.objects[kind].held
        metadata = held.get(object_id)
        if metadata is None:
            metadata = held[object_id] = {"auto": {"id": object_id}}
            if seen_ms is not None:
                metadata["auto"]["firstvisit"] = seen_ms
        if seen_ms is not None:
            metadata["auto"]["lastvisit"] = max(seen_ms, metadata["auto"].get("lastvisit", seen_ms))
        return metadata

    def set_do_not_process(self, kind: str, object_id: str, *, on: bool) -> None:
        """Nothing, after marking the id, or taking the mark away."""
        if on:
            self.do_not_process[kind][object_id] = None
        else:
            self.do_not_process[kind].pop(object_id, None)
        metadata = self.objects[kind].held.get(object_id)
        if metadata is not None:
            metadata.setdefault("pendo", {})[DO_NOT_PROCESS] = on

    def canonical(self, kind: str, object_id: str) -> str:
        """The id under which an object is kept."""
        return object_id.lower() if kind == "visitor" and self.switches.lower_case_visitor_ids else object_id

    def bad_id(self, object_id: str) -> str | None:
        """Why the API refuses this id; None when it does not."""
        longest = self.switches.id_max_length
        if longest is not None and len(object_id) > longest:
            return f"id is longer than {longest} characters"
        if self.switches.id_rules == "agent" and (
            not object_id.strip() or object_id.strip() == "::" or object_id == "VISITOR-UNIQUE-ID"
        ):
            return "id is not allowed"
        return None

    def make_field(self, kind: str, group: str, key: str, new: Field) -> Field:
        """The new field, in the schema."""
        delay = SCHEMA_DELAY_S if self.switches.schema_read_back == "after_5_min" else 0.0
        new.visible_at = self.now() + delay
        self.schemas[kind].setdefault(group, {})[key] = new
        return new

    def field_type(self, kind: str, group: str, key: str) -> str | None:
        """The type of a field, empty when it is not set; None when there is no such field."""
        found = self.schemas[kind].get(group, {}).get(key)
        return None if found is None or found.deleted else found.type


def _first_schema(kind: str) -> dict[str, dict[str, Field]]:
    auto = _AUTO.get(kind, _ACCOUNT_AUTO)
    return {
        "auto": {key: Field(type_, key) for key, type_ in sorted(auto.items())},
        "agent": {},
        "custom": {},
        "pendo": {key: Field(type_, key) for key, type_ in _SETTINGS.items()},
    }
