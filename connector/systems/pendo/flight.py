"""Requests in flight at once for one thread: a connection each, and one wait for whichever is answered first.

Requests leave and answers are read as in `transport`, by calls that block: a small request fits into the socket's
buffer, and of an answer whose first byte is there the rest is not far. What takes its time, to open a connection, is
done by a thread that lives as long.
"""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from connector.systems.pendo.transport import no_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connector.ports import NoReply, Reply, Request
    from connector.systems.pendo.client import Client
    from connector.systems.pendo.transport import Call, Sent, ThreadTransport

    Arrived = tuple[int, Reply | NoReply]


CAN_WAIT = hasattr(select, "poll")
"""Whether this machine lets one thread wait for many connections."""


@dataclass(slots=True)
class _Trip:
    """One request on its way. `failed` is why it did not leave; times are monotonic."""

    call_id: int
    request: Request
    call: Call
    timeouts: dict[str, float]
    transport: ThreadTransport
    started: float
    sent: Sent | None = None
    failed: BaseException | None = None
    due: float = math.inf


class Flight:
    """`ports.Flight` over the connections of a client. For one thread."""

    def __init__(
        self, client: Client, transports: Iterable[ThreadTransport], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is connected before the first request."""
        self._client = client
        self._monotonic = monotonic
        self._free = list(transports)  # the last one back is the first one out: its connection is the freshest
        self._trips: dict[int, _Trip] = {}  # by the number of the socket
        self._came: list[Arrived] = []
        self._left: deque[_Trip] = deque()  # from the threads that open connections
        self._poll = select.poll()
        self._ear, self._bell = socket.socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)
        self._poll.register(self._ear, select.POLLIN)
        self._next_due = math.inf

    def start(self, call_id: int, request: Request) -> None:
        """Nothing, after sending the request, or beginning to; whatever prevents it is an answer, too.

        Raises DestinationError when it cannot be made.
        """
        started = self._monotonic()
        try:
            call = self._client.call(request)
        except httpx.RequestError as error:
            self._came.append((call_id, no_reply(error, 0.0)))
            return
        trip = _Trip(call_id, request, call, self._client.timeouts(request), self._free.pop(), started)
        if trip.transport.is_ready(call):
            _send(trip)
            self._await(trip)
        else:
            threading.Thread(target=self._open, args=(trip,), name="connect", daemon=True).start()

    def arrived(self, wait_s: float) -> list[Arrived]:
        """The answers that have come by now, by call id; without one, waits for the first one so long at most."""
        wait_s = 0.0 if self._came else max(0.0, min(wait_s, self._next_due - self._monotonic()))
        for number, _ in self._poll.poll(math.ceil(wait_s * 1000)):
            if number == self._ear.fileno():
                self._ear.recv(4096)
            else:
                self._come(self._trips.pop(number), number)
        while self._left:
            self._await(self._left.popleft())
        if self._monotonic() >= self._next_due:
            self._give_up()
        came, self._came = self._came, []
        return came

    def close(self) -> None:
        """Nothing, after closing the connections."""
        for trip in self._trips.values():
            trip.transport.close()
        for transport in self._free:
            transport.close()
        self._ear.close()
        self._bell.close()

    def _open(self, trip: _Trip) -> None:
        """Nothing, after connecting and sending; in a thread of its own."""
        _send(trip)
        self._left.append(trip)
        with suppress(OSError):  # full: it rings already; closed: nobody listens any more
            self._bell.send(b"!")

    def _await(self, trip: _Trip) -> None:
        """Nothing, after listening for the answer to what was sent."""
        if trip.sent is None:
            self._end(trip, trip.failed)
            return
        number = trip.sent.socket.fileno()
        if number < 0:  # closed with the client
            self._end(trip, httpx.ReadError("the connection was closed"))
            return
        trip.due = self._monotonic() + trip.timeouts["read"]
        self._next_due = min(self._next_due, trip.due)
        self._trips[number] = trip
        self._poll.register(number, select.POLLIN)

    def _come(self, trip: _Trip, number: int) -> None:
        """Nothing, after reading an answer of which something is there."""
        self._poll.unregister(number)
        assert trip.sent is not None  # noqa: S101 - it was awaited
        try:
            answer = trip.transport.finish(trip.sent, trip.timeouts)
            reply = self._client.reply(answer, self._ms(trip))
        except httpx.RequestError as error:
            self._end(trip, error)
        else:
            self._free.append(trip.transport)
            self._came.append((trip.call_id, reply))

    def _give_up(self) -> None:
        """Nothing, after ending the requests that waited too long for the first byte of their answer."""
        now = self._monotonic()
        for number, trip in [*self._trips.items()]:
            if trip.due <= now and trip.sent is not None:
                del self._trips[number]
                self._poll.unregister(number)
                trip.transport.abandon(trip.sent)
                self._end(trip, trip.sent.failed or httpx.ReadTimeout("timed out"))
        self._next_due = min((trip.due for trip in self._trips.values()), default=math.inf)

    def _end(self, trip: _Trip, error: BaseException | None) -> None:
        """Nothing, after noting that no answer will come. Raises what is no error of the network."""
        self._free.append(trip.transport)
        if not isinstance(error, httpx.RequestError):
            raise error or AssertionError
        self._came.append((trip.call_id, no_reply(error, self._ms(trip))))

    def _ms(self, trip: _Trip) -> float:
        return (self._monotonic() - trip.started) * 1000


def _send(trip: _Trip) -> None:
    try:
        trip.sent = trip.transport.start(trip.call, trip.request.body, trip.timeouts)
    except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for the answer
        trip.failed = error
