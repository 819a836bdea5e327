"""What a run tells whoever watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from connector.ports import Outcome


class Progress(Protocol):
    """Told of each step and of rows as they are settled; called from several threads."""

    def step(self, name: str, rows: int | None) -> None:
        """Nothing. `name` is querying, sending, reporting or logging; `rows`: how many are to be sent, where known."""
        ...

    def rows(self, outcome: Outcome, count: int) -> None:
        """Nothing. So many more rows have this outcome."""
        ...


class Silent:
    """Nobody watches."""

    def step(self, name: str, rows: int | None) -> None:
        """Nothing."""

    def rows(self, outcome: Outcome, count: int) -> None:
        """Nothing."""
