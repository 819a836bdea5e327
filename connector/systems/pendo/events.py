"""Track events: the route, arrays or single objects, and the probe that finds out which of them Pendo takes."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from connector.ports import (
    Cell,
    Change,
    Constant,
    Judged,
    Members,
    NoReply,
    ProbeAnswer,
    Refused,
    Reply,
    Request,
    Route,
    SendTime,
    Unknown,
    ValueType,
)
from connector.systems.pendo import facts
from connector.systems.pendo.cells import is_left_out, template
from connector.systems.pendo.replies import GATEWAY_TIMEOUT, NOT_PENDO, common_verdict, is_page, is_success, said
from connector.systems.pendo.settings import TRACK_EVENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from connector.ports import Batch, Connection, Flight, Template, Verdict
    from connector.project.settings import EventSync
    from connector.systems.pendo.settings import PendoSettings

TRACK = "track"
SECONDS_A_DAY = 86_400
ARRAYS = "track.arrays"  # the fact a probe leaves: "yes" or "no"


class EventDestination:
    """One event sync's view of Pendo.

    With `batching: auto`, several events travel as an array until a probe has found that Pendo takes none; one event
    alone travels as an object, the form that the reference shows.
    """

    def __init__(
        self,
        settings: PendoSettings,
        sync: EventSync,
        client: Connection,
        *,
        at: Callable[..., str],
        learned: Mapping[str, str],
        now: Callable[[], float] = time.time,
    ) -> None:
        """Draw up the route; `learned` is what earlier probes found out."""
        self._settings = settings
        self._sync = sync
        self._client = client
        self._at = at
        self._now = now
        self._lock = threading.Lock()
        self._arrays = learned.get(ARRAYS) if settings.batching == "auto" else None
        rows = 1 if self._is_single() else sync.batch.rows
        self._route = Route(
            TRACK, frozenset({Change.ADDED}), self._event(), rows, sync.batch.bytes - len("[]"), repeatable=False
        )

    @property
    def routes(self) -> tuple[Route, ...]:
        """The one route of events."""
        return (self._route,)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The integration key and the Track Event Shared Secret."""
        return self._client.secrets

    def limits(self) -> Mapping[str, int]:
        """Events a request at this moment: 1 as soon as a probe has found that Pendo takes no arrays."""
        return {TRACK: 1 if self._is_single() else self._route.max_rows}

    def prepare(self) -> Generator[Request, Reply, None]:
        """No call: Pendo has none that checks a Track Event Shared Secret. Raises DestinationError.

        What keeps this machine from making any comes up here, where no event is on its way yet and none in doubt.
        """
        self._client.ready()
        yield from ()

    def build(self, batch: Batch) -> Request:
        """The call that carries this batch, as an array or as an object."""
        as_array = self._settings.batching == "array" or len(batch) > 1
        return self._request(batch, as_array=as_array, purpose="send")

    def judge(self, request: Request, reply: Reply) -> Verdict:
        """What the status means for the request's rows; the body of a 200 is undocumented and says nothing.

        An array stands and falls as a whole. Nobody knows what became of events when the answer is a web page, which
        some other server made, or when a gateway did not wait for Pendo's.

        Source: pendo-api.md 2.2, 2.3.
        """
        if is_success(reply) and is_page(reply):
            return Unknown(NOT_PENDO)
        if reply.status == GATEWAY_TIMEOUT:
            return Unknown(f"{reply.status}: {said(reply)}")
        return common_verdict(request, reply, self._settings, self._now) or Judged()

    def probe(self, batch: Batch) -> Generator[Request, Verdict, ProbeAnswer] | None:
        """The calls that tell a bad row from an endpoint without arrays; None when that is known or was not asked.

        For a refused array only: its first event goes out as an array of one and, refused again, as an object.
        """
        if self._settings.batching != "auto" or len(batch) == 1:
            return None
        with self._lock:
            return self._steps(batch.part(0, 1)) if self._arrays is None else None

    def send(self, request: Request) -> Reply | NoReply:
        """The answer, or why there is none."""
        return self._client.send(request)

    def flight(self, most: int) -> Flight | None:
        """What carries so many requests of one thread at once."""
        return self._client.flight(most)

    def close(self) -> None:
        """Nothing, after closing the connections."""
        self._client.close()

    def _steps(self, first: Batch) -> Generator[Request, Verdict, ProbeAnswer]:
        verdict = yield self._request(first, as_array=True, purpose="probe")
        match verdict:
            case Judged():
                return self._learn("yes", verdict)
            case Refused(too_large=False):
                verdict = yield self._request(first, as_array=False, purpose="probe")
                return self._learn("no", verdict) if isinstance(verdict, Judged) else ProbeAnswer(verdict)
            case _:
                return ProbeAnswer(verdict)

    def _learn(self, arrays: str, first_row: Verdict) -> ProbeAnswer:
        with self._lock:
            self._arrays = arrays
        return ProbeAnswer(first_row, {ARRAYS: arrays})

    def _is_single(self) -> bool:
        with self._lock:
            return self._settings.batching == "single" or self._arrays == "no"

    def _request(self, batch: Batch, *, as_array: bool, purpose: str) -> Request:
        head, tail = (b"[", b"]") if as_array else (b"", b"")
        return Request(
            "POST",
            self._settings.data_url + facts.TRACK_PATH.value,
            TRACK_EVENT_SECRET,
            purpose,
            batch.fragments.joined(head, tail),
            {"content-type": "application/json"},
            self._settings.timeouts.read_seconds,
            batch,
        )

    # --- the event ---------------------------------------------------------------------------------------------------

    def _event(self) -> Members:
        return Members(tuple(self._members()))

    def _members(self) -> Iterator[tuple[str, Template]]:
        sync = self._sync
        never = facts.REFUSED_IDS.value
        yield "type", Constant(facts.EVENT_TYPE.value)
        # An event's name is checked as an id is: a text, and never blank.
        yield "event", template(sync.event, ("event",), self._at, becomes=ValueType.ID, required=True)
        visitor = template(sync.visitor_id, ("visitor_id",), self._at, becomes=ValueType.ID, required=True, never=never)
        yield "visitorId", visitor
        if sync.account_id is not None:
            yield "accountId", template(sync.account_id, ("account_id",), self._at, becomes=ValueType.ID)
        yield "timestamp", self._timestamp()
        size = facts.PROPERTIES_BYTES.value
        yield "properties", Members(tuple(self._properties()), drop_empty=True, caution_bytes=size)
        yield "context", Members(tuple(self._context()), drop_empty=True)

    def _timestamp(self) -> Template:
        if self._sync.timestamp is None:
            return SendTime()
        found = template(self._sync.timestamp, ("timestamp",), self._at, becomes=ValueType.EPOCH_MS, required=True)
        if not isinstance(found, Cell):
            return found
        return replace(found, ahead_s=facts.EVENT_AHEAD_S.value, age_s=facts.EVENT_AGE_DAYS.value * SECONDS_A_DAY)

    def _properties(self) -> Iterator[tuple[str, Template]]:
        for name, spec in self._sync.properties.items():
            if not is_left_out(spec):
                yield name, template(spec, ("properties", name), self._at)

    def _context(self) -> Iterator[tuple[str, Template]]:
        for name, member in facts.CONTEXT_MEMBERS.value.items():
            spec = getattr(self._sync.context, name, None)
            if spec is not None and not is_left_out(spec):
                yield member, template(spec, ("context", name), self._at, becomes=ValueType.STRING)
