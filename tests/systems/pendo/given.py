"""What the tests of this folder start from: settings, syncs, batches, replies, and a loop that drives generators."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from connector.ports import Batch, Reply, Request, Route, ValueType
from connector.project.settings import EventSync, ObjectSync
from connector.systems.pendo.client import Client
from connector.systems.pendo.events import EventDestination
from connector.systems.pendo.objects import ObjectDestination
from connector.systems.pendo.settings import PendoSettings

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

R = TypeVar("R")
KEY = "11111111-aaaa-bbbb-cccc-222222222222"
SECRET = "33333333-dddd-eeee-ffff-444444444444"
NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@dataclass(frozen=True)
class Rows:
    """Rendered rows, held as text."""

    rows: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def joined(self, head: bytes = b"", tail: bytes = b"") -> bytes:
        return head + ",".join(fragment for _, fragment in self.rows).encode() + tail

    def ids(self) -> list[str]:
        return [identifier for identifier, _ in self.rows]

    def part(self, start: int, stop: int) -> Rows:
        return Rows(self.rows[start:stop])


def settings(**changed: Any) -> PendoSettings:
    """The settings of a destination with both secrets, in region us."""
    given = {"region": "us", "integration_key": KEY, "track_event_secret": SECRET, **changed}
    return PendoSettings.model_validate({name: value for name, value in given.items() if value is not ...})


def object_sync(**changed: Any) -> ObjectSync:
    """A sync of accounts with one custom field."""
    given: dict[str, Any] = {
        "model": "accounts",
        "destination": "pendo",
        "object": "account",
        "match": "account_id",
        "fields": {"custom": {"plan": "plan"}},
    }
    return ObjectSync.model_validate({**given, **changed})


def event_sync(**changed: Any) -> EventSync:
    """A sync of events with everything but a context."""
    given: dict[str, Any] = {
        "model": "upgrades",
        "destination": "pendo",
        "object": "track_event",
        "event": {"value": "Plan Upgraded"},
        "visitor_id": "user_id",
        "account_id": "account_id",
        "timestamp": "occurred_at",
        "properties": {"plan": "plan"},
    }
    given = {**given, **changed}
    return EventSync.model_validate({name: value for name, value in given.items() if value is not ...})


def at(*path: str | int) -> str:
    """A place that shows which key was asked for."""
    return "sync.yml:" + ".".join(str(part) for part in path)


def objects(
    sync: ObjectSync | None = None, types: Mapping[str, ValueType] | None = None, **changed: Any
) -> ObjectDestination:
    """An object sync's destination."""
    mine = settings(**changed)
    return ObjectDestination(mine, sync or object_sync(), Client(mine), at=at, types=types or {}, now=lambda: NOW)


def events(sync: EventSync | None = None, learned: Mapping[str, str] | None = None, **changed: Any) -> EventDestination:
    """An event sync's destination."""
    mine = settings(**changed)
    return EventDestination(mine, sync or event_sync(), Client(mine), at=at, learned=learned or {}, now=lambda: NOW)


def batch(route: Route, *identifiers: str, first: int = 0) -> Batch:
    """A batch of rows with these ids; each fragment is a JSON object that holds its id."""
    rows = Rows(tuple((identifier, json.dumps({"id": identifier})) for identifier in identifiers))
    return Batch(route, first, first + len(rows), rows)


def reply(status: int, body: Any = b"", **headers: str) -> Reply:
    """A reply; a body that is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw, 1.0)


def drive(steps: Generator[Request, Any, R], answers: Sequence[Any]) -> tuple[R, list[Request]]:
    """What the generator ends with, and the requests it made, each answered with the next of `answers`."""
    asked = []
    waiting = list(answers)
    try:
        request = next(steps)
        while True:
            asked.append(request)
            request = steps.send(waiting.pop(0))
    except StopIteration as end:
        assert not waiting, f"{len(waiting)} answers were not asked for"
        result: R = end.value
        return result, asked
