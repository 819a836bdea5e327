"""A clock that only moves when somebody sleeps on it, and the requests that the tests note down."""

from __future__ import annotations

from dataclasses import dataclass

from connector.ports import Batch, Change, Members, Reply, Request, Route

NEW_YEAR = 1_767_225_600.0  # 2026-01-01T00:00:00Z

ROUTE = Route("custom", frozenset({Change.ADDED}), Members(()), max_rows=500, max_bytes=1_000_000)
OK = Reply(200, {"content-type": "application/json"}, b'{"missing": []}', 12.5)


class FakeClock:
    """`ports.Clock` without waiting."""

    def __init__(self, now: float = NEW_YEAR) -> None:
        self.time = now
        self.ticks = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        """Seconds since 1970."""
        return self.time

    def monotonic(self) -> float:
        """Seconds that never go back, whatever is done to `time`."""
        return self.ticks

    def sleep(self, seconds: float) -> None:
        """Nothing; that time is over at once."""
        self.slept.append(seconds)
        self.time += seconds
        self.ticks += seconds


@dataclass(frozen=True)
class NoFragments:
    """Rows whose JSON nobody asks for."""

    count: int

    def __len__(self) -> int:
        return self.count

    def joined(self, head: bytes = b"", tail: bytes = b"") -> bytes:
        """No JSON."""
        return head + tail

    def ids(self) -> list[str]:
        """No ids."""
        return []

    def part(self, start: int, stop: int) -> NoFragments:
        """Fewer rows of the same."""
        return NoFragments(stop - start)


def request(first: int | None = 0, stop: int = 1, body: bytes = b"[{}]", route: Route = ROUTE) -> Request:
    """A request that carries these plan rows, or none."""
    return Request(
        method="POST",
        url="http://127.0.0.1:8090/api/v1/metadata/account/custom/value",
        auth="integration_key",
        purpose="send" if first is not None else "key check",
        body=body,
        headers={"content-type": "application/json"},
        batch=None if first is None else Batch(route, first, stop, NoFragments(stop - first)),
    )
