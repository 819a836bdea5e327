"""What every warehouse must pass. A module of tests subclasses `SourceContract` and gives the SQL of its warehouse.

The subclass also gives a fixture `source`. Everything here is about results; what a warehouse's own errors look like
is tested beside it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import duckdb
import pytest

from connector.errors import SourceError
from connector.ports import Query

if TYPE_CHECKING:
    import pyarrow as pa

    from connector.ports import Source
    from tests.systems.warehouse.wire import Wire

# Reads a result batch by batch in a process of its own: {open} must leave a `source`. Not getrusage: on Linux its peak
# starts at that of the process that started this one.
MEASURE = """
from pathlib import Path
from connector.ports import Query
def peak_kb():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
{open}
with source.read(Query({few!r})) as reader:
    few = sum(batch.num_rows for batch in reader)
before = peak_kb()
with source.read(Query({many!r})) as reader:
    many = sum(batch.num_rows for batch in reader)
print(few, many, (peak_kb() - before) // 1024)
"""


class SourceContract:
    """The promises of `ports.Source`, as tests."""

    # {rows} rows with the columns n (0, 1, 2, ...) and text, which is about 160 characters long.
    series: ClassVar[str]
    # One row: columns named by the keys of `values`, and their values as Python sees them through Arrow.
    one_row: ClassVar[str]
    values: ClassVar[dict[str, object]]
    # Two columns of the same name.
    same_name: ClassVar[str]
    # Several hundred bytes a row, 500,000 rows, and an error in the last fifth: more than a driver fetches ahead.
    breaks_midway: ClassVar[str]
    # A query that would run for minutes before its first row.
    endless: ClassVar[str]
    # A table that is not there, and what is wrong with it in the message.
    missing_table: ClassVar[str]
    # So many rows are read in a process that may not grow by so many MB; each row of them has about 170 bytes.
    large: ClassVar[tuple[int, int]] = (2_000_000, 200)

    def opened_by(self, source: Source) -> str:
        """Python code that opens the same source in another process."""
        raise NotImplementedError

    def test_a_login_is_checked_and_nothing_comes_back(self, source: Source) -> None:
        """`check` asks for one row."""
        source.check()

    def test_values_arrive_as_they_are(self, source: Source) -> None:
        """Types, NULLs and text of any language."""
        with source.read(Query(self.one_row)) as reader:
            (row,) = reader.read_all().to_pylist()

        assert row == self.values

    def test_the_columns_are_known_without_reading_and_are_those_of_the_result(self, source: Source) -> None:
        """Names, order and types."""
        columns = source.columns(Query(self.one_row))
        with source.read(Query(self.one_row)) as reader:
            result = reader.schema

        assert columns.names == list(self.values)
        assert columns.equals(result)

    def test_columns_of_the_same_name_are_both_reported(self, source: Source) -> None:
        """So that the sync can be refused."""
        assert len(set(source.columns(Query(self.same_name)).names)) == 1
        assert len(source.columns(Query(self.same_name)).names) == 2

    def test_an_empty_result_still_has_its_columns(self, source: Source) -> None:
        """No rows, but a schema."""
        with source.read(Query(self.series.format(rows=0))) as reader:
            table = reader.read_all()

        assert table.num_rows == 0
        assert table.schema.names == ["n", "text"]

    @pytest.mark.parametrize("batch_rows", [1_000, 100_000])
    def test_every_row_arrives_once_in_batches(self, source: Source, batch_rows: int) -> None:
        """The size of a batch is a wish; nothing is lost or doubled whatever it is."""
        with source.read(Query(self.series.format(rows=250_001), batch_rows=batch_rows)) as reader:
            batches = [batch.column("n").to_pylist() for batch in reader]

        assert len(batches) > 1
        assert sorted(n for batch in batches for n in batch) == list(range(250_001))

    def test_another_engine_can_pull_the_result(self, source: Source) -> None:
        """That is how rows are staged: no Python object a row."""
        with source.read(Query(self.series.format(rows=300_000))) as reader, duckdb.connect() as stage:
            stage.register("result", reader)
            staged = stage.execute("select count(*), count(distinct n), max(n) from result").fetchone()

        assert staged == (300_000, 300_000, 299_999)

    def test_a_source_can_be_read_twice_and_two_results_at_once(self, source: Source) -> None:
        """Several syncs share a source."""
        query = Query(self.series.format(rows=5_000))
        with source.read(query) as first, source.read(query) as second:
            together = first.read_all().num_rows, second.read_all().num_rows
        with source.read(query) as reader:
            again = reader.read_all().num_rows

        assert (*together, again) == (5_000, 5_000, 5_000)

    def test_a_result_may_be_left_unread(self, source: Source) -> None:
        """Leaving the block early is no error, and the next query works."""
        with source.read(Query(self.series.format(rows=1_000_000))) as reader:
            reader.read_next_batch()

        source.check()

    def test_an_error_midway_ends_the_reading(self, source: Source) -> None:
        """After some batches; no short result passes for a whole one."""
        arrived: list[int] = []
        with pytest.raises(SourceError) as caught, source.read(Query(self.breaks_midway, batch_rows=10_000)) as reader:
            arrived.extend(batch.num_rows for batch in reader)

        assert 0 < sum(arrived) < 500_000
        assert caught.value.problem.slug == "source-read"

    def test_an_error_midway_survives_another_engine(self, source: Source) -> None:
        """The engine reports its own error; the source's is what comes out."""
        with (
            duckdb.connect() as stage,
            pytest.raises(SourceError) as caught,
            source.read(Query(self.breaks_midway, batch_rows=10_000)) as reader,
        ):
            stage.from_arrow(reader).create("staged")

        assert caught.value.problem.slug == "source-read"

    def test_an_error_of_the_reader_stays_its_own(self, source: Source) -> None:
        """Only the source's errors become SourceError."""
        with pytest.raises(ZeroDivisionError), source.read(Query(self.series.format(rows=10))):
            _ = 1 / 0

    def test_a_missing_table_is_named(self, source: Source) -> None:
        """In `columns` and in `read` alike."""
        query = Query(self.missing_table, file="models/m.sql")
        with pytest.raises(SourceError) as columns:
            source.columns(query)
        with pytest.raises(SourceError) as rows, source.read(query):
            pass

        assert columns.value.problem == rows.value.problem
        assert columns.value.problem.slug == "source-table-missing"

    def test_a_query_is_cancelled_from_another_thread(self, source: Source) -> None:
        """Before its first row."""
        timer = threading.Timer(0.3, source.cancel)
        timer.start()
        began = time.monotonic()
        with pytest.raises(SourceError) as caught, source.read(Query(self.endless)) as reader:
            reader.read_all()
        timer.join()

        assert caught.value.problem.slug == "source-cancelled"
        assert time.monotonic() - began < 10

    def test_a_result_is_cancelled_between_two_batches(self, source: Source) -> None:
        """While its reader is busy with something else."""
        query = Query(self.series.format(rows=2_000_000), batch_rows=10_000)
        with pytest.raises(SourceError) as caught, source.read(query) as reader:
            _cancelled_between(reader, source)

        assert caught.value.problem.slug == "source-cancelled"

    def test_a_source_works_after_a_cancel(self, source: Source) -> None:
        """A cancel is about what runs now."""
        source.cancel()
        with source.read(Query(self.series.format(rows=10))) as reader:
            assert reader.read_all().num_rows == 10

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc to measure")
    def test_a_large_result_needs_little_memory(self, source: Source) -> None:
        """Two million rows are over 350 MB as a whole."""
        rows, most_mb = self.large
        program = MEASURE.format(
            open=self.opened_by(source), few=self.series.format(rows=1_000), many=self.series.format(rows=rows)
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        few, many, grown_mb = map(int, done.stdout.split())

        assert (few, many) == (1_000, rows)
        assert grown_mb < most_mb


class RemoteContract(SourceContract):
    """What a warehouse promises that is reached over a network, besides.

    The subclass gives these fixtures, too: `wire`, a `Wire` to the server; `source_behind`, a source that goes through
    the wire and waits for nothing between attempts; `stranger`, a source with a wrong password; `hasty`, a source whose
    queries may take a second. `secret` is part of every password.
    """

    secret: ClassVar[str]

    def test_a_wrong_password_is_no_connection_trouble(self, stranger: Source) -> None:
        """It is not tried again, and the password is not shown."""
        for use in (stranger.check, lambda: stranger.columns(Query(self.one_row))):
            with pytest.raises(SourceError) as caught:
                use()

            assert caught.value.problem.slug == "source-login"
            assert self.secret not in everything_about(caught.value)

    def test_a_query_may_not_take_longer_than_allowed(self, hasty: Source) -> None:
        """The limit is a setting of the source."""
        began = time.monotonic()
        with pytest.raises(SourceError) as caught, hasty.read(Query(self.endless)) as reader:
            reader.read_all()

        assert caught.value.problem.slug == "source-timeout"
        assert "longer than 1 s" in str(caught.value)
        assert time.monotonic() - began < 10

    def test_a_connection_that_fails_before_the_first_row_is_tried_again(
        self, wire: Wire, source_behind: Source
    ) -> None:
        """Twice; then it is reported."""
        query = Query(self.series.format(rows=10))
        wire.refuse = 1
        names = source_behind.columns(query).names
        wire.refuse = 2
        with source_behind.read(query) as reader:
            rows = reader.read_all().num_rows

        assert (names, rows) == (["n", "text"], 10)

    def test_a_warehouse_that_is_away_is_reported_without_the_password(self, wire: Wire, source_behind: Source) -> None:
        """After the last attempt."""
        wire.close()
        for use in (source_behind.check, lambda: source_behind.columns(Query(self.one_row))):
            with pytest.raises(SourceError) as caught:
                use()

            assert caught.value.problem.slug == "source-unreachable"
            assert self.secret not in everything_about(caught.value)

    def test_a_connection_lost_after_the_first_row_is_the_end(self, wire: Wire, source_behind: Source) -> None:
        """Rows are never doubled by asking again."""
        arrived: list[int] = []
        query = Query(self.series.format(rows=1_000_000), batch_rows=10_000)
        with pytest.raises(SourceError) as caught, source_behind.read(query) as reader:
            arrived.extend(_cut_after(wire, batch) for batch in reader)

        assert 0 < sum(arrived) < 1_000_000
        assert caught.value.problem.slug == "source-lost"


def _cut_after(wire: Wire, batch: pa.RecordBatch) -> int:
    wire.close()
    return int(batch.num_rows)


def everything_about(error: BaseException) -> str:
    """All that a log or a traceback could show of an error."""
    return "".join(traceback.format_exception(error)) + repr(error)


def _cancelled_between(reader: pa.RecordBatchReader, source: Source) -> None:
    reader.read_next_batch()
    source.cancel()
    reader.read_all()


def read(source: Source, sql: str) -> pa.Table:
    """The whole result; for small ones."""
    with source.read(Query(sql)) as reader:
        return reader.read_all()
