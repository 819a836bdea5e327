"""How this process uses memory: what is given back at once, and how many threads of DuckDB a limit is enough for."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# Of glibc's <malloc.h>: a dozen threads with an arena each keep what none of the others can use, 15 MB of a million
# rows. Thresholds for giving back every block at once would save as much again, and cost a tenth of the time.
_M_ARENA_MAX, _ARENAS = -8, 2

# Settings, parsed SQL and imported classes are many small objects that stay; looking for cycles among them at every
# 700th new one takes a tenth of a `check`.
_OBJECTS_BETWEEN_LOOKS = 50_000

# Each thread of DuckDB has blocks of its own in every sort, join and aggregate. With less than this for each, ten
# million rows end in "out of memory" however much could be spilled: 8 threads with 160 or 256 MB, 32 with 512 MB, and
# 64 with 160 MB even in `select *`.
_BYTES_A_THREAD = 64_000_000


def spare_memory() -> None:
    """Nothing, after telling the allocators and the garbage collector; before pyarrow is imported.

    For a program of our own, and not for one that uses the connector as a library: this is about the whole process.
    """
    # Arrow's own allocator keeps what threads give back: with it a run of a million rows needs 90 MB more.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS, *gc.get_threshold()[1:])
    with suppress(OSError, TypeError, AttributeError):  # another C library than glibc's
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def limit_threads(connection: duckdb.DuckDBPyConnection, memory: int) -> None:
    """Nothing, after taking no more threads than `memory` bytes are enough for; DuckDB takes one a core."""
    most = max(memory // _BYTES_A_THREAD, 1)
    (threads,) = connection.execute("SELECT current_setting('threads')").fetchone() or (1,)
    if threads > most:
        connection.execute(f"SET threads = {most}")
