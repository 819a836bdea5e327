"""What an error of SQLite means for a user: the one place that knows its result codes."""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING

from connector.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

_NAMES = {
    "SQLITE_BUSY": "state-locked",
    "SQLITE_LOCKED": "state-locked",
    "SQLITE_FULL": "state-disk-full",
    # A write that a quota or a file size limit cuts short is reported as a failed write, not as a full disk.
    "SQLITE_IOERR_WRITE": "state-disk-full",
    "SQLITE_IOERR_SHMSIZE": "state-disk-full",
    "SQLITE_CORRUPT": "state-corrupt",
    "SQLITE_NOTADB": "state-corrupt",
    "SQLITE_SCHEMA": "state-corrupt",
    "SQLITE_READONLY": "state-not-writable",
    "SQLITE_CANTOPEN": "state-not-writable",
    "SQLITE_PERM": "state-not-writable",
    "SQLITE_AUTH": "state-not-writable",
}

_OF_SYSTEM = {
    errno.ENOSPC: "state-disk-full",
    errno.EDQUOT: "state-disk-full",
    errno.EFBIG: "state-disk-full",
    errno.EIO: "state-failed",
}

_WORDS = {
    "state-locked": (
        "{file} is locked by another program",
        "another process has kept it open for writing too long: end it, then run again; nothing was lost",
    ),
    "state-disk-full": (
        "{file} could not be written: the disk is full or a size limit was reached",
        "free some space (or raise the limit) and run again: what was acknowledged before is safe",
    ),
    "state-corrupt": (
        "{file} is damaged or is not the connector's",
        "restore it from a backup, or move it away to begin a new history; it was left as it is",
    ),
    "state-not-writable": (
        "{file} cannot be opened for writing",
        "give this user the right to write there, or choose another place with --state-dir",
    ),
    "state-failed": (
        "{file} could not be used",
        "the database's own words are above; what was acknowledged before is safe",
    ),
}


def state_error(error: BaseException, file: Path) -> StateError:
    """The StateError that says what the database's error means for `file`. No statement or parameter gets into it."""
    slug = "state-failed"
    if isinstance(error, OSError):
        slug = _OF_SYSTEM.get(error.errno or 0, "state-not-writable")
    elif isinstance(error, sqlite3.Error):
        slug = _slug(error)
    message, hint = _WORDS[slug]
    return StateError(f"{message.format(file=file)}: {error}", slug=slug, hint=hint)


def _slug(error: sqlite3.Error) -> str:
    # An extended code's name begins with the name of its primary code: SQLITE_BUSY_SNAPSHOT, SQLITE_IOERR_WRITE.
    name = getattr(error, "sqlite_errorname", None) or ""
    for known, slug in _NAMES.items():
        if name == known or name.startswith(f"{known}_"):
            return slug
    # A database of someone else has our name: its tables lack our columns, or ours are not there.
    if str(error).startswith(("no such table", "no such column", "table ")):
        return "state-corrupt"
    return "state-failed"
