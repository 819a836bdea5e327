"""Names: which ones are allowed, and which one was probably meant."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SYNC_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]*")
MODEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
ENTRY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")

LISTED = 20


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be; upper and lower case are the same for this."""
    folded = {candidate.casefold(): candidate for candidate in known}
    close = get_close_matches(name.casefold(), folded, n=1)
    return folded[close[0]] if close else None


def listed(names: Iterable[str]) -> str:
    """The names with commas, cut after the first 20."""
    every = list(names)
    return ", ".join(every[:LISTED]) + (", ..." if len(every) > LISTED else "")


def hint(name: str | None, known: Iterable[str], what: str) -> str | None:
    """What to write instead of `name`: the nearest known name, and all of them; None when there is nothing to choose.

    `name` is None when it may not be shown or guessed at.
    """
    every = list(known)
    if not every:
        return None
    meant = nearest(name, every) if name is not None else None
    choices = f"{what}: {listed(every)}"
    return f"did you mean '{meant}'? {choices}" if meant is not None else choices
