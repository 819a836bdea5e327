"""When requests may go out, as arithmetic: a rate that halves and climbs, and the slots it allows. No I/O, no clock.

All times are seconds since 1970, because processes share them. A clock that is set back must not park anybody, so no
time is believed that lies further ahead than the rules here could have put it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

UNLIMITED = 100_000.0
"""The rate that stands for no limit, in requests a second."""

BLOCK_S = 0.05
"""How much time's slots are reserved at once, and how far ahead: the store is asked at most some 40 times a second."""

CLIMB_S = 60.0
"""How long a rate of nothing takes to climb to its ceiling while requests succeed."""

_LEAST_RATE = 0.1
_HALVE_EVERY_S = 1.0
_LONGEST_STEP_S = 1.0  # a success counts for this time at most: a pause is no success
_FORGET_S = 600.0  # after so long without a request, what slowed us down is over
_DOUBT_S = 1.0  # how far a time may lie beyond the rules before the clock must have been set back


@dataclass(frozen=True, slots=True)
class Slots:
    """`count` turns, the first one at `start`, one every `interval_s`; with a count of 0, ask again at `start`."""

    start: float
    interval_s: float
    count: int


@dataclass(frozen=True, slots=True)
class Pace:
    """The rate of one destination: `rate` requests a second, never above `ceiling`.

    `next_at` is the next free slot; nobody goes before `not_before`, which was set at `parked_at`.
    """

    ceiling: float
    rate: float
    next_at: float = 0.0
    not_before: float = 0.0
    parked_at: float = 0.0
    slowed_at: float = 0.0
    climbed_at: float = 0.0

    def at(self, now: float, ceiling: float) -> Pace:
        """The pace as it stands now, after a change of the setting, a long rest, or a clock that was set back."""
        pace = self
        if ceiling != pace.ceiling:
            was_full = pace.rate >= pace.ceiling
            pace = replace(pace, ceiling=ceiling, rate=ceiling if was_full else min(pace.rate, ceiling))
        if now - max(pace.next_at, pace.not_before, pace.slowed_at) > _FORGET_S:
            pace = replace(pace, rate=ceiling)
        if pace.next_at > now + 2 * BLOCK_S + 1 / pace.rate + _DOUBT_S:
            pace = replace(pace, next_at=now)
        if pace.parked_at > now + _DOUBT_S:
            pace = replace(pace, parked_at=now, not_before=now + pace.not_before - pace.parked_at)
        return replace(pace, slowed_at=min(pace.slowed_at, now), climbed_at=min(pace.climbed_at, now))

    def slowed(self, now: float, after_s: float | None) -> Pace:
        """The pace after a "too many requests": half the rate (at most once a second), parked for `after_s`."""
        pace = self
        if now - pace.slowed_at >= _HALVE_EVERY_S:
            least = min(_LEAST_RATE, pace.ceiling)
            pace = replace(pace, rate=max(least, pace.rate / 2), slowed_at=now, climbed_at=now)
        if after_s is not None and now + after_s > pace.not_before:
            pace = replace(pace, not_before=now + after_s, parked_at=now)
        return pace

    def climbed(self, now: float) -> Pace:
        """The pace after a success: a step up, as long as the time since the last step."""
        step_s = min(now - self.climbed_at, _LONGEST_STEP_S)
        return replace(self, rate=min(self.ceiling, self.rate + self.ceiling * step_s / CLIMB_S), climbed_at=now)

    def reserve(self, now: float) -> tuple[Pace, Slots]:
        """The next slots, when the first of them is due within 50 ms; else none, and when to ask again."""
        interval_s = 1 / self.rate
        earliest = max(self.next_at, self.not_before)
        if earliest > now + BLOCK_S:
            return self, Slots(earliest - BLOCK_S, interval_s, 0)
        # Whoever asks a little late still gets the slot that was due: else every delay would lower the rate.
        start = max(earliest, now - min(BLOCK_S, interval_s) / 2)
        count = max(1, int(BLOCK_S * self.rate))
        return replace(self, next_at=start + count * interval_s), Slots(start, interval_s, count)
