"""Writing to a warehouse: whole sets of rows at a time, each set whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa


class Stored(StrEnum):
    """What a column of a written table holds; each warehouse has its own type for it."""

    TEXT = "text"
    NUMBER = "number"  # a whole number of 64 bits
    TIME = "time"  # a moment; arrives as an Arrow timestamp in UTC
    JSON = "json"  # arrives as JSON text


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """A column of a table that the connector writes."""

    name: str
    holds: Stored


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table that the connector writes; it is made where it is missing, with `version` noted beside it."""

    name: str
    version: int
    columns: tuple[StoredColumn, ...]


@dataclass(frozen=True, slots=True)
class Into:
    """A table that rows go to. Rows that are there with the same values in the columns `replaces` are taken out."""

    table: StoredTable
    replaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """Rows on their way into one table or several of the same columns, in the order of those columns."""

    rows: pa.RecordBatchReader
    into: tuple[Into, ...]


class Loader(Protocol):
    """One schema of a warehouse that may be written to. Every method may raise SourceError, and nothing else."""

    def load(self, loads: Sequence[Load]) -> None:
        """Nothing, after writing all of it in one transaction; schema and tables are made where they are missing.

        Loading the same again changes nothing. Memory is bounded by a few batches.
        """
        ...
