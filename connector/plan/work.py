"""The plan's rows as batches: rendered by DuckDB, streamed as Arrow, cut from its buffers without touching a row."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connector.errors import CountsError
from connector.ports import Batch, Change, Fragments
from connector.rendering import after_comma

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from connector.covering import Cover
    from connector.plan import Plan, Span
    from connector.ports import Route
    from connector.state.snapshot import Snapshot

CHUNK_ROWS = 20_000  # rendered at once: large enough to be vectorised, small enough to stay out of memory's way


@dataclass(frozen=True, slots=True)
class _Column:
    """One route's rendered rows: each is its JSON with a comma in front, one after another in `data`."""

    offsets: memoryview
    data: memoryview
    ids: pa.Array
    start: int


@dataclass(frozen=True, slots=True)
class Cut(Fragments):
    """Some rows of a rendered column. The comma in front of each makes any run of rows a slice of the buffer."""

    column: _Column
    first: int
    stop: int

    def __len__(self) -> int:
        """How many rows."""
        return self.stop - self.first

    def joined(self, head: bytes = b"", tail: bytes = b"") -> bytes:
        """Every row's JSON, separated by commas, between `head` and `tail`."""
        offsets = self.column.offsets
        return b"".join((head, self.column.data[offsets[self.first] + 1 : offsets[self.stop]], tail))

    def ids(self) -> list[str]:
        """Every row's id at the destination."""
        found: list[str] = self.column.ids.slice(self.first, len(self)).to_pylist()
        return found

    def part(self, start: int, stop: int) -> Cut:
        """The rows from offset `start` up to `stop`."""
        return Cut(self.column, self.first + start, self.first + stop)


@dataclass(frozen=True, slots=True)
class Covered:
    """Some rows as they may be written down; `hidden` holds the texts of every row of the column that may not be."""

    cut: Cut
    hidden: pa.Array

    def joined(self) -> bytes:
        """Every row's JSON without what is redacted, separated by commas."""
        return self.cut.joined()

    def texts(self) -> frozenset[str]:
        """What is redacted in these rows."""
        rows = self.hidden.slice(self.cut.first, len(self.cut)).to_pylist()
        return frozenset(text for texts in rows for text in texts or () if text)

    def part(self, start: int, stop: int) -> Covered:
        """The rows from offset `start` up to `stop`."""
        return Covered(self.cut.part(start, stop), self.hidden)


class PlanWork:
    """ports.Work over the plan in a sync's file. At most `limit` rows are given out."""

    def __init__(
        self,
        snapshot: Snapshot,
        plan: Plan,
        routes: Sequence[Route],
        fragments: Mapping[str, str],
        *,
        limit: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        first_number: int = 0,
        cover: Cover | None = None,
    ) -> None:
        # The connection itself, and nothing else may use it meanwhile: another cursor does not see temporary tables.
        self._cursor = snapshot.connection
        self._fragments = fragments
        self._cover = cover
        self._spans = plan.spans
        self._ready = plan.ready
        self._routes = routes
        self._left = limit
        self._monotonic = monotonic
        self.rendered_s = 0.0
        """How long the making of request bodies took."""
        self._lock = threading.Lock()
        self._stretches = self._lanes()
        self._stretch: _Stretch | None = None
        self.next_number = first_number

    def take(self, max_rows: Mapping[str, int]) -> tuple[Batch, ...] | None:
        """The next rows as one batch a route they need, or None at the end."""
        with self._lock:
            while self._left is None or self._left > 0:
                if self._stretch is None:
                    self._stretch = next(self._stretches, None)
                    if self._stretch is None:
                        return None
                began = self._monotonic()
                batches = self._stretch.take(max_rows, self._left)
                self.rendered_s += self._monotonic() - began
                if batches is not None:
                    if self._left is not None:
                        self._left -= len(batches[0])
                    return batches
                self._stretch = None
            return None

    def changes(self, first: int, stop: int) -> Mapping[Change, int]:
        """How many of the plan's rows `first` up to `stop` are added, changed and removed."""
        found = dict.fromkeys(Change, 0)
        for span in self._spans:
            overlap = min(stop, span.stop) - max(first, span.first)
            if overlap > 0:
                found[span.change] += overlap
        return found

    def set_send_time(self, now_ms: int) -> None:
        """Nothing; rows rendered from now on carry this time where the mapping has none."""
        self._cursor.execute(f"SET VARIABLE send_time_ms = {now_ms}")

    def close(self) -> None:
        """Nothing, after letting go of the rows that nobody took: an open result keeps the sync's file open, too."""
        self._stretches.close()
        if self._stretch is not None:
            self._stretch.reader.close()
            self._stretch = None

    def _lanes(self) -> Generator[_Stretch, None, None]:
        """A stretch is a run of spans that travel alike, so that a batch may hold added and changed rows."""
        for lane in ("send", "alone", "removed", "late"):
            for removals in (False, True):
                is_alike = (Change.REMOVED,) if removals else (Change.ADDED, Change.CHANGED)
                spans = [span for span in self._spans if span.lane == lane and span.change in is_alike]
                if spans:
                    yield self._open(lane, spans)

    def _open(self, lane: str, spans: list[Span]) -> _Stretch:
        routes = tuple(route for route in self._routes if spans[0].change in route.changes)
        columns = ", ".join(
            f"{_or_kept(self._fragments[route.name], lane)} AS f{at}" for at, route in enumerate(routes)
        )
        if self._cover is not None:
            columns += ", " + self._covered(self._cover, routes, lane)
        first, stop = spans[0].first, spans[-1].stop
        reader = self._cursor.sql(
            f"SELECT n, id, {columns} FROM {self._ready} AS ready WHERE n >= {first} AND n < {stop}"
        ).to_arrow_reader(CHUNK_ROWS)
        return _Stretch(reader, routes, first, stop, alone=lane == "alone", covered=self._cover is not None)

    def _covered(self, cover: Cover, routes: tuple[Route, ...], lane: str) -> str:
        """SQL for what may be written down of each route's JSON, and for the texts that may not be."""
        parts = []
        for at, route in enumerate(routes):
            shown = cover.fragments[route.name]
            if lane != "removed":
                shown = f"CASE WHEN fragment IS NULL THEN {shown} ELSE {cover.kept[route.name]} END"
            parts.append(f"',' || {shown} AS s{at}")
        texts = f"CASE WHEN fragment IS NULL THEN {cover.texts} ELSE {cover.kept_texts} END"
        return ", ".join([*parts, f"{texts} AS texts"])


class _Stretch:
    """A streamed run of rows on the same routes."""

    def __init__(
        self,
        reader: pa.RecordBatchReader,
        routes: tuple[Route, ...],
        first: int,
        stop: int,
        *,
        alone: bool,
        covered: bool = False,
    ) -> None:
        self.reader = reader
        self.covered = covered
        self.routes = routes
        self.at = first
        self.end = stop
        self.alone = alone
        self.rows: pa.RecordBatch | None = None
        self.rows_first = first
        self.columns: list[_Column] = []
        self.shown: list[_Column] = []

    def take(self, max_rows: Mapping[str, int], left: int | None) -> tuple[Batch, ...] | None:
        """The next batches, or None at the end of the stretch."""
        if self.at >= self.end:
            return None
        most = min(min(route.max_rows, max_rows.get(route.name, route.max_rows)) for route in self.routes)
        most = 1 if self.alone else most
        if left is not None:
            most = min(most, left)
        self._load(most)
        assert self.rows is not None  # noqa: S101 - _load raises otherwise
        start = self.at - self.rows_first
        stop = min(start + most, self.rows.num_rows)
        for route, column in zip(self.routes, self.columns, strict=True):
            stop = min(stop, _fitting(column.offsets, start, stop, route.max_bytes))
        batches = tuple(
            Batch(route, self.at, self.at + stop - start, Cut(column, start, stop))
            for route, column in zip(self.routes, self.columns, strict=True)
        )
        if self.covered:
            texts = self.rows.column("texts")
            batches = tuple(
                replace(batch, shown=Covered(Cut(column, start, stop), texts))
                for batch, column in zip(batches, self.shown, strict=True)
            )
        self.at += stop - start
        return batches

    def _load(self, wanted: int) -> None:
        """Reads on until `wanted` rows are there or the stretch ends; a rest is carried into the next chunk."""
        have = 0 if self.rows is None else self.rows.num_rows - (self.at - self.rows_first)
        while have < wanted and self.at + have < self.end:
            chunk = next(self.reader, None)
            if chunk is None or chunk.num_rows == 0 or chunk.column(0)[0].as_py() != self.at + have:
                raise CountsError(
                    f"the plan's rows are not in order at number {self.at + have}",
                    slug="counts",
                    hint="this is a defect of the connector: please report it with the run's log",
                )
            if self.rows is not None and have:
                rest = self.rows.slice(self.at - self.rows_first)
                chunk = pa.Table.from_batches([rest, chunk]).combine_chunks().to_batches()[0]
            self.rows, self.rows_first = chunk, self.at
            have = chunk.num_rows
            self.columns = [_column(chunk, f"f{at}") for at in range(len(self.routes))]
            if self.covered:
                self.shown = [_column(chunk, f"s{at}") for at in range(len(self.routes))]


def _column(rows: pa.RecordBatch, name: str) -> _Column:
    array = rows.column(name)
    _, offsets, data = array.buffers()
    raw = memoryview(offsets)
    view = (raw.cast("q") if pa.types.is_large_string(array.type) else raw.cast("i"))[
        array.offset : array.offset + len(array) + 1
    ]
    return _Column(view, memoryview(data) if data is not None else memoryview(b""), rows.column("id"), 0)


def _fitting(offsets: Any, start: int, stop: int, max_bytes: int) -> int:
    """The largest stop so that rows start..stop make a body of at most `max_bytes`; at least one row."""
    # One byte less a body: each row brings a comma, the brackets take two.
    limit = offsets[start] + max_bytes - 1
    return max(start + 1, bisect_right(offsets, limit, start, stop + 1) - 1)


def _or_kept(fragment: str, lane: str) -> str:
    """SQL for a row's JSON, a comma before it. A kept event has its own from the run that could not deliver it."""
    rendered = after_comma(fragment)
    return rendered if lane == "removed" else f"coalesce(',' || fragment, {rendered})"
