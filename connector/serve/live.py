"""What goes on now, as server-sent events: read once a second from the history, however many browsers watch.

The runs go on in other processes, which know nothing of it: they write, this reads.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PAUSE_S = 1.0
# What takes long to look at and to draw is looked at less often, so that the run keeps the machine, which is often the
# browser's, too: all of it is to take this share of one core, and a page takes some three times as long to draw what is
# new as it takes to find it.
SHARE = 0.02
DRAWING = 3
LONGEST_S = 5.0
SILENCE_S = 15.0  # then a comment goes out, so that a connection that is gone is noticed

Event = tuple[str, Any]
"""The event's name, and what it says as JSON values."""


@dataclass(slots=True)
class _Watch:
    """Those who watch one thing, and the task that looks at it."""

    look: Callable[[], tuple[list[Event], bool]]
    queues: set[asyncio.Queue[list[Event] | None]] = field(default_factory=set)
    task: asyncio.Task[None] | None = None


class Live:
    """What browsers watch, by its name."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        """Look every `pause_s` seconds."""
        self._pause_s = pause_s
        self._watches: dict[str, _Watch] = {}

    async def events(
        self, name: str, make_look: Callable[[], Callable[[], tuple[list[Event], bool]]]
    ) -> AsyncIterator[str]:
        """The events of what is called `name` as they come, as text, up to the last one.

        `make_look()` makes what looks at it: each call gives the events since the last one, and whether it is over.
        """
        queue: asyncio.Queue[list[Event] | None] = asyncio.Queue()
        watch = self._watches.get(name)
        if watch is None:
            watch = self._watches[name] = _Watch(make_look())
            watch.task = asyncio.create_task(self._go_on(name, watch))
        watch.queues.add(queue)
        try:
            yield "retry: 2000\n\n"
            while True:
                try:
                    events = await asyncio.wait_for(queue.get(), SILENCE_S)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if events is None:
                    return
                for event in events:
                    yield _text(event)
        finally:
            watch.queues.discard(queue)
            if not watch.queues:
                self._end(name, watch)

    async def _go_on(self, name: str, watch: _Watch) -> None:
        """Nothing, after telling all who watch until it is over."""
        over = False
        try:
            while not over:
                events, over, cpu_s = await run_in_threadpool(_timed, watch.look)
                for queue in watch.queues:
                    if events:
                        queue.put_nowait(events)
                if not over:
                    cost_s = cpu_s * (1 + DRAWING * len(watch.queues))
                    await asyncio.sleep(max(self._pause_s, min(cost_s / SHARE, LONGEST_S)))
        finally:
            # Whatever ended it: who waits must not wait for ever. A browser asks again by itself.
            for queue in watch.queues:
                queue.put_nowait(None)
            if self._watches.get(name) is watch:
                del self._watches[name]

    def _end(self, name: str, watch: _Watch) -> None:
        if watch.task is not None:
            watch.task.cancel()
        if self._watches.get(name) is watch:
            del self._watches[name]


def _timed(look: Callable[[], tuple[list[Event], bool]]) -> tuple[list[Event], bool, float]:
    """What `look` gives, and the seconds of CPU that it took: on a busy machine the clock would tell of others."""
    began_s = time.thread_time()
    events, over = look()
    return events, over, time.thread_time() - began_s


def _text(event: Event) -> str:
    name, value = event
    return f"event: {name}\ndata: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"
