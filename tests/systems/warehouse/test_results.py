"""Opening a result: again where the connection failed, at once where somebody asked for the end."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from connector.errors import SourceError
from connector.systems.warehouse.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from connector.systems.warehouse.stream import Reading

SCHEMA = pa.schema([("n", pa.int64())])


def lost(error: Exception) -> SourceError:
    return SourceError(str(error), slug="source-lost")


def refused(error: Exception) -> SourceError:
    return SourceError(str(error), slug="source-login")


def results(*pauses: float) -> Results:
    return Results(lambda: (ConnectionError,), pauses)


class Warehouse:
    """A warehouse that fails so often, and notes what was opened and closed."""

    def __init__(self, failures: int = 0, *, late: bool = False) -> None:
        self.failures = failures
        self.late = late
        self.opened = self.closed = self.interrupted = 0

    @contextmanager
    def begin(self, reading: Reading) -> Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]:
        self.opened += 1
        reading.stops_with(self.interrupt)
        try:
            if self.opened <= self.failures and not self.late:
                raise ConnectionError("gone")
            yield SCHEMA, self.batches()
        finally:
            self.closed += 1

    def batches(self) -> Iterator[pa.RecordBatch]:
        if self.opened <= self.failures:
            raise ConnectionError("gone before the first row")
        for n in range(3):
            yield pa.record_batch([[n]], schema=SCHEMA)

    def interrupt(self) -> None:
        self.interrupted += 1


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("failures", [0, 1, 2])
def test_what_fails_before_the_first_row_is_tried_again(failures: int, late: bool) -> None:
    warehouse = Warehouse(failures, late=late)
    with results(0, 0).read(warehouse.begin, lost) as reader:
        rows = reader.read_all().to_pydict()

    assert rows == {"n": [0, 1, 2]}
    assert (warehouse.opened, warehouse.closed) == (failures + 1, failures + 1)


def test_after_the_last_attempt_the_failure_is_told() -> None:
    warehouse = Warehouse(3)
    with pytest.raises(SourceError, match="gone") as caught, results(0, 0).read(warehouse.begin, lost):
        pass

    assert isinstance(caught.value.__cause__, ConnectionError)
    assert (warehouse.opened, warehouse.closed) == (3, 3)


def test_an_answer_is_not_asked_for_again() -> None:
    warehouse = Warehouse(3)
    with pytest.raises(SourceError, match="gone"), results(0, 0).read(warehouse.begin, refused):
        pass

    assert warehouse.opened == 1


def test_a_question_is_asked_again_too() -> None:
    answers: list[Exception | int] = [ConnectionError("gone"), SourceError("away", slug="source-unreachable"), 7]

    def question(_: Reading) -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert results(0, 0).ask(question, lost) == 7


def test_a_cancel_ends_the_waiting_between_two_attempts() -> None:
    warehouse, several = Warehouse(9), results(60, 60)
    timer = threading.Timer(0.1, several.cancel)
    timer.start()
    began = time.monotonic()
    with pytest.raises(SourceError) as caught, several.read(warehouse.begin, lost):
        pass
    timer.join()

    assert caught.value.problem.slug == "source-cancelled"
    assert time.monotonic() - began < 10
    assert (warehouse.opened, warehouse.interrupted) == (1, 1)


class Deaf(Warehouse):
    """A warehouse that does not hear the first time, and works until it does."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.Event()

    def batches(self) -> Iterator[pa.RecordBatch]:
        self.heard.wait(20)
        raise ConnectionError("stopped")
        yield

    def interrupt(self) -> None:
        super().interrupt()
        if self.interrupted > 1:
            self.heard.set()


def test_a_warehouse_that_did_not_hear_is_asked_again() -> None:
    warehouse, several = Deaf(), results()
    timer = threading.Timer(0.05, several.cancel)
    timer.start()
    with pytest.raises(SourceError) as caught, several.read(warehouse.begin, lost):
        pass
    timer.join()

    assert caught.value.problem.slug == "source-cancelled"
    assert warehouse.interrupted == 2


def cancelled_inside(several: Results) -> Callable[[Reading], int]:
    def question(reading: Reading) -> int:
        several.cancel()
        reading.stops_with(lambda: None)
        return 7

    return question


def test_a_cancel_before_the_query_keeps_it_from_starting() -> None:
    several = results()
    with pytest.raises(SourceError) as caught:
        several.ask(cancelled_inside(several), lost)

    assert caught.value.problem.slug == "source-cancelled"


def test_what_fails_after_a_cancel_is_the_cancel() -> None:
    several = results(0, 0)

    def question(_: Reading) -> int:
        several.cancel()
        raise SourceError("gone", slug="source-lost")

    with pytest.raises(SourceError) as caught:
        several.ask(question, lost)

    assert caught.value.problem.slug == "source-cancelled"


def endless() -> Iterator[pa.RecordBatch]:
    while True:
        time.sleep(0.01)
        yield pa.record_batch([[1]], schema=SCHEMA)


@contextmanager
def begin_endless(_: Reading) -> Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]:
    yield SCHEMA, endless()


def slow() -> Iterator[pa.RecordBatch]:
    for n in range(9):
        time.sleep(0.5)
        yield pa.record_batch([[n]], schema=SCHEMA)


@contextmanager
def begin_slow(_: Reading) -> Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]:
    yield SCHEMA, slow()


def test_a_limit_ends_what_takes_longer() -> None:
    with pytest.raises(SourceError) as caught, results().read(begin_endless, lost, 0.2) as reader:
        reader.read_all()

    assert caught.value.problem.slug == "source-timeout"
    assert caught.value.problem.message == "the query took longer than 0.2 s"


def test_a_cancel_after_the_limit_changes_nothing() -> None:
    several = results()
    timer = threading.Timer(0.3, several.cancel)
    timer.start()
    with pytest.raises(SourceError) as caught, several.read(begin_slow, lost, 0.1) as reader:
        reader.read_all()
    timer.join()

    assert caught.value.problem.slug == "source-timeout"
