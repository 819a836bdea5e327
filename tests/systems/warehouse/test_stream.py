"""What holds for every warehouse, also for one whose driver stops nothing and notices nothing."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from connector.errors import SourceError
from connector.systems.warehouse.stream import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = pa.schema([("n", pa.int64())])


def batches(until: int) -> Iterator[pa.RecordBatch]:
    for n in range(until):
        yield pa.record_batch([[n]], schema=SCHEMA)
    raise TimeoutError("the network went away")


def cancelling(reading: Reading, batch: pa.RecordBatch) -> int:
    reading.cancel()
    return int(batch.num_rows)


@pytest.fixture
def reading() -> Reading:
    return Reading(lambda: None, (TimeoutError,), lambda error: SourceError(str(error), slug="source-read"))


def test_an_error_that_the_reader_swallows_is_raised_all_the_same(reading: Reading) -> None:
    swallowing = suppress(SourceError)
    with (
        pytest.raises(SourceError, match="the network went away"),
        reading.reader(SCHEMA, batches(3)) as reader,
        swallowing,
    ):
        reader.read_all()


def test_a_cancel_stops_before_the_next_batch(reading: Reading) -> None:
    arrived: list[int] = []
    with pytest.raises(SourceError) as caught, reading.reader(SCHEMA, batches(3)) as reader:
        arrived.extend(cancelling(reading, batch) for batch in reader)

    assert arrived == [1]
    assert caught.value.problem.slug == "source-cancelled"


def test_what_breaks_after_a_cancel_is_the_cancel(reading: Reading) -> None:
    reading.cancel()
    with pytest.raises(SourceError) as caught, reading.reader(SCHEMA, batches(0)) as reader:
        reader.read_all()

    assert caught.value.problem.slug == "source-cancelled"
    assert isinstance(caught.value.__cause__, TimeoutError)
