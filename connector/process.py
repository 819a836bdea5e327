"""How this process uses memory: what is given back at once, and how many threads of DuckDB a limit is enough for."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# Of glibc's <malloc.h>. Rows and bodies come and go as blocks of megabytes, from a dozen threads: each block that is
# mapped by itself goes back to the system when it is freed, and a few arenas hold the rest.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_OPTIONS = ((_M_MMAP_THRESHOLD, 128 << 10), (_M_TRIM_THRESHOLD, 128 << 10), (_M_ARENA_MAX, 2))

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
        library = ctypes.CDLL(None)
        for option, value in _OPTIONS:
            library.mallopt(option, value)


def limit_threads(connection: duckdb.DuckDBPyConnection, memory: int) -> None:
    """Nothing, after taking no more threads than `memory` bytes are enough for; DuckDB takes one a core."""
    most = max(memory // _BYTES_A_THREAD, 1)
    (threads,) = connection.execute("SELECT current_setting('threads')").fetchone() or (1,)
    if threads > most:
        connection.execute(f"SET threads = {most}")
