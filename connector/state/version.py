"""The version of what the state directory holds, and the refusal of a newer one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

STATE_VERSION = 1
"""Raised by one with every change that an older connector would misread, in history.db or in syncs/*.duckdb."""


def check_version(found: int, file: Path) -> None:
    """Nothing, when this connector can read a file of that version.

    Raises StateError `state-newer` for a newer one: an older connector would misread it, so it is left as it is.
    """
    if found > STATE_VERSION:
        raise StateError(
            f"{file} was written by a newer connector (state version {found}, this one knows {STATE_VERSION})",
            slug="state-newer",
            hint="use the newer connector, or another --state-dir; nothing was changed",
        )
