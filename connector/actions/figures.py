"""Numbers, times and sizes as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE_S = 60.0
_HOUR_S = 3600.0
_FEW_S = 10.0
_KB = 1000
_MB = 1_000_000
_SECOND_MS = 1000.0
_FEW_MS = 10.0


def number(value: float) -> str:
    """The number with thousands separators."""
    return f"{value:,}"


def counted(value: int, noun: str, plural: str | None = None) -> str:
    """The number and its noun: `1 row`, `1,234 rows`."""
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


def duration(seconds: float, *, whole: bool = False) -> str:
    """A stretch of time, with as much detail as it deserves: `0.42 s`, `12.3 s`, `2 min 05 s`, `1 h 02 min`.

    `whole`: no part of a second is shown.
    """
    if seconds < _MINUTE_S:
        digits = 0 if whole else 2 if seconds < _FEW_S else 1
        return f"{seconds:.{digits}f} s"
    if seconds < _HOUR_S:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600):,} h {int(seconds % 3600 // 60):02d} min"


def estimate(seconds: float) -> str:
    """A stretch of time that nobody knows to the hundredth."""
    return "less than a second" if seconds < 1 else f"about {duration(round(seconds), whole=True)}"


def milliseconds(value: float | None) -> str:
    """A call's time: `3.2 ms`, `120 ms`, `1.8 s`; empty when it is not known."""
    if value is None:
        return ""
    if value >= _SECOND_MS:
        return duration(value / _SECOND_MS)
    return f"{value:.1f} ms" if value < _FEW_MS else f"{value:.0f} ms"


def size(value: int) -> str:
    """Bytes: `312 bytes`, `27.4 KB`, `1.2 MB`."""
    if value < _KB:
        return counted(value, "byte")
    return f"{value / _KB:.1f} KB" if value < _MB else f"{value / _MB:.1f} MB"


def moment(seconds: float) -> str:
    """A time in UTC: `2026-01-01 06:00:00Z`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


def clock_time(seconds: float) -> str:
    """The time of day in UTC with milliseconds: `06:00:00.123`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S.%f}"[:-3]
