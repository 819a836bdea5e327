"""One rate for every sync and every process that uses a destination, kept in the history database."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from connector.state.clock import pause
from connector.state.pace import BLOCK_S, UNLIMITED, Pace, Slots
from connector.state.tables import rates

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from connector.ports import Clock, Route
    from connector.state.database import Database

_WHOLE = ""  # the row of the destination itself; the others are named after their route
_LEAST_WAIT_S = 0.001
_DOUBT_S = 1.0  # a route's turn lies at most one interval ahead; further, and the clock was set back


class SharedRate:
    """A destination's `ports.Limiter`. Thread-safe; when `stop` is set, who waits for a turn gives up within 0.1 s.

    A few slots are reserved at once and given out here, so that the database is asked at most some 40 times a second;
    slots that nobody took in time are given up. Waiting is done on the monotonic clock.
    """

    def __init__(
        self,
        database: Database,
        destination: str,
        max_requests_per_second: float | None,
        *,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._database = database
        self._destination = destination
        self._ceiling = min(max_requests_per_second or UNLIMITED, UNLIMITED)
        self._clock = clock
        self._stop = stop
        self._lock = threading.Lock()
        self._slots = Slots(0.0, 1.0, 0)  # monotonic, as all times below
        self._ask_at = 0.0
        self._slowed = 0  # how often this process was told to slow down: slots from before are void
        self._succeeded = False

    def acquire(self, route: Route | None = None) -> bool:
        """True when a request may go out now; False when the run was cancelled meanwhile. Raises StateError.

        A route with a `min_interval_s` waits for its own turn last, so that two of its requests are that far apart.
        """
        while not self._stop.is_set():
            slowed = self._slowed
            turn, mine = self._take()
            if not self._wait(turn, slowed) or not mine:
                continue
            if route is None or not route.min_interval_s or self._route_turn(route, slowed):
                return True
        return False

    def claim(self) -> float:
        """0.0 when a request may go out now, else the seconds after which to ask again. Raises StateError.

        For routes without a `min_interval_s`; nothing is waited for.
        """
        with self._lock:
            now = self._clock.monotonic()
            at_hand = self._slots
            turn = self._next_slot(now)
            if turn is None and now >= self._ask_at:
                self._reserve()
                at_hand, now = self._slots, self._clock.monotonic()
                turn = self._next_slot(now)
            if turn is None:
                return max(self._ask_at - now, _LEAST_WAIT_S)
            if turn > now:
                self._slots = at_hand  # not taken: whoever asks when it is due gets it
                return turn - now
            return 0.0

    def slow_down(self, after_s: float | None = None) -> None:
        """Nothing, after halving the rate; with `after_s`, nobody's turn comes before that time is over."""
        with self._lock:
            self._slowed += 1
            self._succeeded = False
            self._slots, self._ask_at = Slots(0.0, 1.0, 0), 0.0
        with self._database.write() as connection:
            now = self._clock.now()
            self._keep(connection, self._pace(connection, now).slowed(now, after_s))

    def went_well(self) -> None:
        """Nothing; the rate climbs a little when slots are reserved next."""
        self._succeeded = True

    def present(self) -> float:
        """The requests a second that are allowed now."""
        with self._database.read() as connection:
            return self._pace(connection, self._clock.now()).rate

    def _take(self) -> tuple[float, bool]:
        """A moment (monotonic), and whether it is a turn; if not, it is when to ask for one."""
        with self._lock:
            now = self._clock.monotonic()
            turn = self._next_slot(now)
            if turn is None and now >= self._ask_at:
                self._reserve()
                turn = self._next_slot(self._clock.monotonic())
            return (self._ask_at, False) if turn is None else (turn, True)

    def _next_slot(self, now: float) -> float | None:
        """The next of the slots at hand, leaving out those whose time is over for long."""
        start, interval_s, count = self._slots.start, self._slots.interval_s, self._slots.count
        over = max(0, int((now - BLOCK_S - start) / interval_s)) if count else 0
        if count <= over:
            return None
        self._slots = Slots(start + (over + 1) * interval_s, interval_s, count - over - 1)
        return start + over * interval_s

    def _reserve(self) -> None:
        """Nothing, after asking the database for slots: they are at hand now, or `_ask_at` says when to ask again."""
        with self._database.write() as connection:
            now = self._clock.now()
            pace = self._pace(connection, now)
            if self._succeeded and pace.rate < pace.ceiling:
                pace = pace.climbed(now)
            pace, slots = pace.reserve(now)
            self._keep(connection, pace)
        self._succeeded = False
        ahead_s = self._clock.monotonic() - self._clock.now()
        self._slots = Slots(slots.start + ahead_s, slots.interval_s, slots.count)
        self._ask_at = ahead_s + (pace.next_at - BLOCK_S if slots.count else slots.start)

    def _route_turn(self, route: Route, slowed: int) -> bool:
        """True when the route's turn came; False when everybody was parked meanwhile, or the run cancelled."""
        while True:
            with self._database.write() as connection:
                now = self._clock.now()
                parked = self._pace(connection, now).not_before > now
                found = connection.execute(select(rates.c.next_at).where(*self._is(route.name))).scalar_one_or_none()
                turn = found or 0.0
                if turn > now + route.min_interval_s + _DOUBT_S:
                    turn = now
                if not parked and turn <= now:
                    self._keep(connection, Pace(0.0, 0.0, next_at=now + route.min_interval_s), route.name)
                    return True
            if parked or not self._wait(self._clock.monotonic() + turn - now, slowed):
                return False

    def _wait(self, until: float, slowed: int) -> bool:
        """True at that time; False when it is void: the run was cancelled, or the rate was halved meanwhile."""
        return pause(self._clock, until, lambda: self._stop.is_set() or self._slowed != slowed)

    def _pace(self, connection: Connection, now: float) -> Pace:
        columns = [column for column in rates.c if column.name not in {"destination", "route"}]
        found = connection.execute(select(*columns).where(*self._is(_WHOLE))).mappings().one_or_none()
        pace = Pace(self._ceiling, self._ceiling) if found is None else Pace(**found)
        return pace.at(now, self._ceiling)

    def _keep(self, connection: Connection, pace: Pace, route: str = _WHOLE) -> None:
        connection.execute(delete(rates).where(*self._is(route)))
        connection.execute(insert(rates).values(destination=self._destination, route=route, **asdict(pace)))

    def _is(self, route: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return rates.c.destination == self._destination, rates.c.route == route
