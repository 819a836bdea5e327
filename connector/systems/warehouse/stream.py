"""A result on its way out of a warehouse: another engine may pull it, and errors must survive that trip."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

import pyarrow as pa

from connector.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator


def stopped() -> SourceError:
    """The error of a query that somebody cancelled."""
    return SourceError("the query was cancelled before its last row", slug="source-cancelled")


def timed_out(limit_s: float | None) -> SourceError:
    """The error of a query that took too long; without a number, the limit is the warehouse's own."""
    limit = "the warehouse allows" if limit_s is None else f"{limit_s:g} s"
    return SourceError(
        f"the query took longer than {limit}",
        slug="source-timeout",
        hint="timeouts.query_seconds of the source says how long a query may take",
    )


class Reading:
    """One result being read, and whether somebody asked for its end."""

    def __init__(
        self,
        interrupt: Callable[[], object],
        errors: tuple[type[Exception], ...],
        translate: Callable[[Exception], SourceError],
    ) -> None:
        """Keep how this warehouse stops a query, what its driver raises while streaming, and what that means."""
        self._interrupt = interrupt
        self._errors = errors
        self._translate = translate
        self._cancelled = Event()
        self._end: Callable[[], SourceError] = stopped
        self._failure: SourceError | None = None

    @property
    def cancelled(self) -> bool:
        """True when somebody asked for the end."""
        return self._cancelled.is_set()

    def cancel(self, end: Callable[[], SourceError] = stopped) -> None:
        """Nothing, after asking for the end. Between two batches no query runs, so the wish is also remembered.

        `end` makes the error that the reader gets.
        """
        if not self._cancelled.is_set():
            self._end = end
            self._cancelled.set()
        self._interrupt()

    def stops_with(self, interrupt: Callable[[], object]) -> None:
        """Nothing, after noting how the query that starts now is stopped. Raises when the end was asked for before."""
        self._interrupt = interrupt
        self.go_on()

    def go_on(self) -> None:
        """Nothing; raises SourceError when the end was asked for."""
        if self._cancelled.is_set():
            raise self._failed(self._end())

    def wait(self, seconds: float) -> None:
        """Nothing, after that time; raises SourceError as soon as the end is asked for."""
        self._cancelled.wait(seconds)
        self.go_on()

    def explained(self, error: Exception) -> SourceError:
        """What an error means here: the end that was asked for, or what the driver says."""
        if self._cancelled.is_set():
            return self._end()
        return error if isinstance(error, SourceError) else self._translate(error)

    @contextmanager
    def reader(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatchReader]:
        """The batches as a reader, for Python or for an engine that pulls them through Arrow's C interface.

        An engine turns an error of the source into one of its own and keeps only the text. So the first error is
        remembered where it happens, and raised when the `with` block ends, whatever was made of it in between.
        """
        pulled = self._pull(batches)
        reader = pa.RecordBatchReader.from_batches(schema, pulled)
        try:
            yield reader
        except Exception as seen:
            if self._failure is None or seen is self._failure:
                raise
            raise self._failure from seen
        finally:
            reader.close()
            pulled.close()  # Arrow keeps the generator, and with it the query, alive until the program ends
        if self._failure is not None:
            raise self._failure

    def _pull(self, batches: Iterable[pa.RecordBatch]) -> Generator[pa.RecordBatch, None, None]:
        try:
            for batch in batches:
                self.go_on()
                yield batch
        except SourceError as error:
            if error is self._failure:
                raise
            raise self._failed(self.explained(error)) from error.__cause__
        except self._errors as error:
            raise self._failed(self.explained(error)) from error

    def _failed(self, failure: SourceError) -> SourceError:
        self._failure = failure
        return failure
