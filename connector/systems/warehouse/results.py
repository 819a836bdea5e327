"""How results are opened and stopped: tried again when the connection fails before the first row, never after it.

The warehouses that are reached over a network share this. Each gives a `begin` that connects, starts the query and
returns its columns and batches; all else (retries, the time limit, a cancel from another thread) happens here.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from itertools import chain
from threading import Lock, Timer
from typing import TYPE_CHECKING, TypeVar

from connector.errors import SourceError
from connector.systems.warehouse.stream import Reading, stopped, timed_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    import pyarrow as pa

    Begin = Callable[[Reading], AbstractContextManager[tuple[pa.Schema, Iterable[pa.RecordBatch]]]]

T = TypeVar("T")

# Seconds before the second and the third attempt: time for a proxy or a replica to take over.
PAUSES = (1.0, 4.0)
ASK_AGAIN_S = 0.5
# What may be different a moment later; everything else is an answer.
PASSING = frozenset({"source-unreachable", "source-lost"})


def nothing() -> None:
    """Nothing: what stops a query that has not started."""


class Results:
    """The results that are being read from one source. Thread-safe."""

    def __init__(self, errors: Callable[[], tuple[type[Exception], ...]], pauses: tuple[float, ...] = PAUSES) -> None:
        """Keep what the driver raises (asked for when it is imported anyway) and how long to wait between attempts."""
        self._errors = errors
        self._pauses = pauses
        self._readings: set[Reading] = set()
        self._lock = Lock()

    @contextmanager
    def read(
        self, begin: Begin, translate: Callable[[Exception], SourceError], limit_s: float | None = None
    ) -> Iterator[pa.RecordBatchReader]:
        """The result that `begin` starts, streamed, its first batch fetched. With `limit_s`, it is stopped after that.

        Raises SourceError: at once for what `begin` or the first batch says, at the end for what broke in between.
        """
        with self._registered(translate) as reading, ExitStack() as open_result, self._limited(reading, limit_s):
            schema, batches = self._retried(reading, lambda: _first(begin, reading, open_result))
            with reading.reader(schema, batches) as guarded:
                yield guarded

    def ask(self, question: Callable[[Reading], T], translate: Callable[[Exception], SourceError]) -> T:
        """What `question` returns, which is asked again when the connection fails. Raises SourceError."""
        with self._registered(translate) as reading:
            return self._retried(reading, lambda: question(reading))

    @contextmanager
    def session(self, translate: Callable[[Exception], SourceError]) -> Iterator[Reading]:
        """What a connection for several statements is: each may raise what the driver raises, and is explained here.

        Nothing is tried again: what a session has done so far is lost with it.
        """
        with self._registered(translate) as reading:
            try:
                yield reading
            except SourceError as error:
                if reading.cancelled:
                    raise reading.explained(error) from error
                raise
            except self._errors() as error:
                raise reading.explained(error) from error

    def cancel(self) -> None:
        """Nothing, after asking for the end of every result. Safe from another thread."""
        with self._lock:
            readings = tuple(self._readings)
        for reading in readings:
            self._end(reading, stopped)

    def _end(self, reading: Reading, end: Callable[[], SourceError]) -> None:
        """Nothing, after asking for the end, and again until it came.

        Whoever asks a session that is just about to start its query stops nothing.
        """
        reading.cancel(end)
        if reading in self._readings:
            again = Timer(ASK_AGAIN_S, self._end, (reading, end))
            again.daemon = True
            again.start()

    @contextmanager
    def _registered(self, translate: Callable[[Exception], SourceError]) -> Iterator[Reading]:
        reading = Reading(nothing, self._errors(), translate)
        with self._lock:
            self._readings.add(reading)
        try:
            yield reading
        finally:
            with self._lock:
                self._readings.discard(reading)

    @contextmanager
    def _limited(self, reading: Reading, limit_s: float | None) -> Iterator[None]:
        if limit_s is None:
            yield
            return
        timer = Timer(limit_s, self._end, (reading, lambda: timed_out(limit_s)))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _retried(self, reading: Reading, attempt: Callable[[], T]) -> T:
        for pause in self._pauses:
            try:
                return self._explained(reading, attempt)
            except SourceError as failure:
                if failure.problem.slug not in PASSING:
                    raise
            reading.wait(pause)
        return self._explained(reading, attempt)

    def _explained(self, reading: Reading, attempt: Callable[[], T]) -> T:
        try:
            return attempt()
        except SourceError as error:
            if reading.cancelled:
                raise reading.explained(error) from error
            raise
        except self._errors() as error:
            raise reading.explained(error) from error


def _first(begin: Begin, reading: Reading, open_result: ExitStack) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    """The columns, and the batches of which the first has arrived; an attempt that fails leaves nothing open."""
    with ExitStack() as attempt:
        schema, batches = attempt.enter_context(begin(reading))
        rest = iter(batches)
        first = next(rest, None)
        reading.go_on()
        open_result.push(attempt.pop_all())
    return schema, chain(() if first is None else (first,), rest)
