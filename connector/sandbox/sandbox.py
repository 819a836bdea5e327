"""The sandbox: a local Pendo as one Python object."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connector.sandbox import deletion, track
from connector.sandbox.faults import Fault, Faults
from connector.sandbox.fieldtypes import type_of
from connector.sandbox.request_log import RequestLog
from connector.sandbox.routes import Keys, answered
from connector.sandbox.seed import Seed, SeedObject, checked, read_seed, seed_of, wire_kind
from connector.sandbox.state import Field, State
from connector.sandbox.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connector.sandbox.calls import Answer, Call
    from connector.sandbox.request_log import Received
    from connector.sandbox.state import Deletion, Event, Objects

INTEGRATION_KEY = "sandbox-integration-key"
TRACK_EVENT_SECRET = "sandbox-track-secret"  # noqa: S105 - it opens the sandbox and nothing else


class Sandbox:
    """A local Pendo: what it holds, what it was asked, and how it behaves. Safe to use from any thread.

    `switches` and `faults` as in switches.py and faults.py, also as plain dictionaries; `seed` is a file, a dictionary
    or a Seed. Without `keep_bodies` the request log has no bodies. `now` is the real time, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        integration_key: str = INTEGRATION_KEY,
        track_event_secret: str = TRACK_EVENT_SECRET,
        write_access: bool = True,
        switches: Switches | Mapping[str, Any] | None = None,
        faults: Iterable[Fault | Mapping[str, Any]] = (),
        seed: Seed | Mapping[str, Any] | Path | str | None = None,
        keep_bodies: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Start empty, then with the seed."""
        self._first_keys = Keys(integration_key, track_event_secret, write_access)
        self.keep_bodies = keep_bodies
        self.lock = threading.RLock()
        self._wall = now
        self._first_switches = switches if isinstance(switches, Switches) else Switches.of(switches or {})
        self._first_faults = [_fault(each) for each in faults]
        self._seeds: list[Seed] = []
        self._start()
        if seed is not None:
            self.seed(seed)

    # --- what it holds ---

    @property
    def visitors(self) -> Objects:
        """The visitors by id: a mapping to their values by group, then by field."""
        return self.state.objects["visitor"]

    @property
    def accounts(self) -> Objects:
        """The accounts by id."""
        return self.state.objects["account"]

    @property
    def parent_accounts(self) -> Objects:
        """The parent accounts by id."""
        return self.state.objects["parentAccount"]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The Track events as they were accepted, in order, without those that were silently dropped."""
        return [event.body for event in self.received_events() if event.dropped is None]

    @property
    def requests(self) -> list[Received]:
        """Every call of Pendo's API, in order."""
        with self.lock:
            return list(self.log.calls)

    @property
    def deletions(self) -> list[Deletion]:
        """The bulk deletion requests, in order."""
        with self.lock:
            return list(self.state.deletions.values())

    @property
    def switches(self) -> Switches:
        """How it behaves now."""
        return self.state.switches

    def received_events(self) -> list[Event]:
        """Every Track event that was answered with 200, in order, also those that were silently dropped."""
        with self.lock:
            return list(self.state.events)

    def fields(self, kind: str) -> dict[str, dict[str, str]]:
        """The type of each field of the kind, by group and key, without deleted fields."""
        with self.lock:
            return {
                group: {key: field.type for key, field in fields.items() if not field.deleted}
                for group, fields in self.state.schemas[wire_kind(kind)].items()
            }

    def do_not_process(self, kind: str) -> list[str]:
        """The ids of that kind that Pendo ignores."""
        with self.lock:
            return list(self.state.do_not_process[wire_kind(kind)])

    def counts(self) -> dict[str, int]:
        """How many of everything it holds."""
        with self.lock:
            events = Counter(event.dropped is None for event in self.state.events)
            return {
                "visitors": len(self.visitors),
                "accounts": len(self.accounts),
                "parent_accounts": len(self.parent_accounts),
                "events": events[True],
                "dropped_events": events[False],
                "do_not_process": sum(len(ids) for ids in self.state.do_not_process.values()),
                "deletions": len(self.state.deletions),
                "requests": len(self.log.calls),
            }

    # --- what can be changed ---

    def seed(self, seed: Seed | Mapping[str, Any] | Path | str) -> None:
        """Nothing, after adding what the file or dictionary says; a reset adds it again. Raises ConfigError."""
        read = _seed(seed)
        self._add(read)
        self._seeds.append(read)

    def add(self, seed: Seed | Mapping[str, Any]) -> None:
        """Nothing, after adding what the dictionary says; a reset forgets it. Raises ConfigError."""
        self._add(_seed(seed))

    def add_objects(self, kind: str, objects: Iterable[str | Mapping[str, Any]]) -> None:
        """Nothing, after adding objects by their ids, or as `{id, metadata, do_not_process}`."""
        listed = {"visitor": "visitors", "account": "accounts", "parentAccount": "parent_accounts"}[wire_kind(kind)]
        self.add({listed: list(objects)})

    def add_fields(self, kind: str, group: str, types: Mapping[str, str]) -> None:
        """Nothing, after adding fields to agent or custom, each with its type."""
        written = "parent_account" if wire_kind(kind) == "parentAccount" else wire_kind(kind)
        self.add({"fields": {written: {group: dict(types)}}})

    def switch(self, **changes: Any) -> None:
        """Nothing, after changing these switches. Raises ConfigError."""
        self.set_switches(self.switches.changed(changes))

    def set_switches(self, switches: Switches) -> None:
        """Nothing, after replacing all switches."""
        with self.lock:
            self.state.switches = switches
            self.state.seen_events = None

    def add_faults(self, *faults: Fault | Mapping[str, Any]) -> None:
        """Nothing, after putting these rules behind those that are there. Raises ConfigError."""
        rules = [_fault(each) for each in faults]
        with self.lock:
            self.faults.add(rules)

    def clear_faults(self) -> None:
        """Nothing, after forgetting every fault."""
        with self.lock:
            self.faults.clear()

    def now(self) -> float:
        """The sandbox's clock: the real time, and what it was put forward by. Seconds since 1970."""
        return self._wall() + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Nothing, after putting the clock forward: events are processed and deletions completed that are due."""
        with self.lock:
            self._ahead_s += seconds
            self._catch_up()

    def reset(self) -> None:
        """Nothing, after going back to how it started: its keys, switches, faults and seeds, and nothing else."""
        with self.lock:
            self._start()
            for seed in self._seeds:
                self._add(seed)

    # --- what it is asked ---

    def answer(self, call: Call) -> Answer:
        """The answer to one call of Pendo's API, after doing what it says."""
        with self.lock:
            self._catch_up()
            return answered(self.state, self.keys, call, self._wall())

    def _start(self) -> None:
        self._ahead_s = 0.0
        self.keys = self._first_keys
        self.state = State(self.now, self._first_switches, self.lock)
        self.log = RequestLog(self.keep_bodies)
        self.faults = Faults()
        self.faults.add(self._first_faults)

    def _catch_up(self) -> None:
        now = self.now()
        track.process_due(self.state, now)
        deletion.complete_due(self.state, now)

    def _add(self, seed: Seed) -> None:
        with self.lock:
            self.set_switches(self.switches.changed(seed.switches))
            self.faults.add(seed.faults)
            self.keys = Keys(
                seed.integration_key or self.keys.integration_key,
                seed.track_event_secret or self.keys.track_event_secret,
                self.keys.write_access if seed.write_access is None else seed.write_access,
            )
            for kind, groups in seed.fields.items():
                for group, fields in groups.items():
                    for name, type_ in fields.items():
                        self.state.schemas[wire_kind(kind)][group][name.lower()] = Field(type_, name)
            for wire, objects in seed.objects().items():
                for each in objects:
                    self._add_object(wire, each)
            for name, ids in seed.failing_ids.items():
                self.state.failing_ids["track_event" if name == "track_event" else wire_kind(name)].update(ids)

    def _add_object(self, kind: str, seed: SeedObject) -> None:
        object_id = self.state.canonical(kind, seed.id)
        metadata = self.state.make_object(kind, object_id)
        for group, values in seed.metadata.items():
            fields = self.state.schemas[kind].setdefault(group, {})
            for name, value in values.items():
                fields.setdefault(name.lower(), Field(type_of(value), name))
                metadata.setdefault(group, {})[name.lower()] = value
        if seed.do_not_process:
            self.state.set_do_not_process(kind, object_id, on=True)


def _seed(seed: Seed | Mapping[str, Any] | Path | str) -> Seed:
    if isinstance(seed, Seed):
        return seed
    return seed_of(dict(seed)) if isinstance(seed, Mapping) else read_seed(Path(seed))


def _fault(fault: Fault | Mapping[str, Any]) -> Fault:
    return fault if isinstance(fault, Fault) else checked(Fault, dict(fault), "fault")
