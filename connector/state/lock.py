"""A lock that all processes of a state directory share, and that a process gives up when it dies: SQLite's own."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from connector.state.sqlite_errors import state_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locked(file: Path, *, wait_s: float) -> Iterator[None]:
    """Nothing; inside it nobody else holds this lock. Raises StateError when somebody still does after `wait_s`."""
    try:
        connection = sqlite3.connect(file, timeout=wait_s, isolation_level=None)
    except sqlite3.Error as error:
        raise state_error(error, file) from error
    with closing(connection):
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise state_error(error, file) from error
        yield
