"""The real clock, and a wait that a cancelled run ends."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.ports import Clock

SLICE_S = 0.05
"""The longest sleep in one go: a cancelled run notices within this time."""


class SystemClock:
    """The time of this machine, as `ports.Clock`."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Nothing, after that time."""
        time.sleep(seconds)


def utc(seconds: float, *, precision: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """The moment as ISO 8601 with Z: `2026-01-01T00:00:00Z`, or `2026-01-01T00:00:00.000Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def pause(clock: Clock, until: float, given_up: Callable[[], bool]) -> bool:
    """True when `clock.monotonic()` has come to `until`; False as soon as `given_up()` says so (within 50 ms)."""
    while not given_up():
        left_s = until - clock.monotonic()
        if left_s <= 0:
            return True
        clock.sleep(min(left_s, SLICE_S))
    return False
