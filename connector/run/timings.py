"""How long the steps of a run took."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

STEPS = {
    "read": "waiting for the warehouse's rows",
    "stage": "the mapping applied and fingerprinted",
    "compare": "compared with the snapshot, the plan written down",
    "send": "from the first request to the last answer",
    "render": "of sending: request bodies made, while others were in flight",
    "log": "of sending: waits for the API call log and journal to be on disk, added up over the threads that send",
    "settle": "the outcomes folded into the snapshot and written down",
}
"""Each step with what it is, in the order of a run. Those "of sending" overlap with it."""


class Timings:
    """Seconds by the name of the step, of wall time. One thread writes it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Nothing has been timed yet."""
        self._monotonic = monotonic
        self.seconds: dict[str, float] = {}

    def add(self, step: str, seconds: float) -> None:
        """Nothing, after adding so much to a step."""
        self.seconds[step] = round(self.seconds.get(step, 0.0) + seconds, 6)

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Nothing; what goes on inside it is added to the step."""
        began = self._monotonic()
        try:
            yield
        finally:
            self.add(step, self._monotonic() - began)

    @contextmanager
    def reading(self, batches: pa.RecordBatchReader) -> Iterator[pa.RecordBatchReader]:
        """The same batches; the wait for each counts as reading, and not as the step that asks for them."""
        pulled = self._pulled(batches)
        reader = pa.RecordBatchReader.from_batches(batches.schema, pulled)
        try:
            yield reader
        finally:
            reader.close()
            pulled.close()  # Arrow keeps the generator until the program ends

    def _pulled(self, batches: Iterable[pa.RecordBatch]) -> Generator[pa.RecordBatch, None, None]:
        rest = iter(batches)
        while True:
            began = self._monotonic()
            batch = next(rest, None)
            waited = self._monotonic() - began
            self.add("read", waited)
            self.add("stage", -waited)
            if batch is None:
                return
            yield batch
