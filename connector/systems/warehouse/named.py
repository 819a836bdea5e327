"""What was probably meant by the name of a table, and texts without secrets: for the errors of every warehouse."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

SHOWN = 8
HIDDEN = "***"
# A user and a password in an address, and what signs an address for whoever has it.
_IN_ADDRESS = re.compile(r"(?<=://)[^\s/@]*:[^\s@]*(?=@)")
_SIGNATURE = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")


def tables_hint(name: str, tables: Iterable[str], of: str = "tables") -> str:
    """The table that was probably meant, and those that can be read; names are `schema.table` or `table`."""
    known = sorted(tables)
    if not known:
        return f"there are no {of} that this login can read"
    spellings = {spelling.lower(): table for table in known for spelling in (table, table.rpartition(".")[2])}
    last = name.replace('"', "").lower()
    close = get_close_matches(last, spellings, n=1) or get_close_matches(last.rpartition(".")[2], spellings, n=1)
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    meant = f"did you mean '{spellings[close[0]]}'? " if close else ""
    return f"{meant}{of}: {', '.join(known[:SHOWN])}{more}"


def without_secrets(text: str, secrets: Collection[str] = ()) -> str:
    """The text without these secrets in any spelling, without passwords in addresses and without signatures."""
    spellings = {form for secret in secrets if secret for form in (secret, quote(secret, ""), quote_plus(secret))}
    for spelling in sorted(spellings, key=len, reverse=True):
        text = text.replace(spelling, HIDDEN)
    return _SIGNATURE.sub(r"\1", _IN_ADDRESS.sub(HIDDEN, text))


def first_line(text: str) -> str:
    """The first line that says something, without what drivers put around it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else "no reason was given"
