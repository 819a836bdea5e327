"""A request body as a page shows it: row by row, each with what became of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.serve.pages.words import pretty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.state.calls import Call

MOST_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a body; with a row it is that row's, whose place in the request is `at`."""

    text: str
    at: int | None = None
    row: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A body in pieces. `left_out` rows are too many for a page; `bad` says whether a row did not succeed."""

    pieces: tuple[Piece, ...]
    left_out: int = 0

    @property
    def bad(self) -> int:
        """How many of the rows did not succeed."""
        return sum(1 for piece in self.pieces if piece.row is not None and piece.row["outcome"] != "succeeded")


def shown_body(text: str | None, call: Call, rows: Mapping[int, Mapping[str, Any]]) -> Body | None:
    """The body with its rows told apart; None when there is none, in one piece when its rows cannot be found."""
    if text is None:
        return None
    try:
        values = json.loads(text)
    except ValueError:
        return Body((Piece(text),))
    listed = values
    if isinstance(values, dict) and len(values) == 1:
        listed = next(iter(values.values()))
    if call.rows == 0:
        return Body((Piece(pretty(values)),))
    if call.rows == 1 and not isinstance(listed, list):
        return Body((Piece(pretty(values), 0, rows.get(0)),))
    if not isinstance(listed, list) or len(listed) != call.rows:
        return Body((Piece(pretty(values)),))
    # Those that did not succeed are why somebody looks: they come first.
    bad = [at for at, row in rows.items() if row["outcome"] != "succeeded"]
    good = sorted(set(range(len(listed))).difference(bad))
    shown = [*bad, *good][:MOST_ROWS]
    pieces = tuple(Piece(pretty(listed[at]), at, rows.get(at)) for at in shown)
    return Body(pieces, left_out=len(listed) - len(pieces))
