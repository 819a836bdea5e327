"""How a run ended, as an orchestrator wants to know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.run.ending import BAD, EXIT_CODES

if TYPE_CHECKING:
    from collections.abc import Mapping

DELIVERED = ("success", "warning")
"""The run came to its end; with a warning some rows were not delivered, and the next run offers them again."""

FOR_GOOD = ("held", "cancelled")
"""To try again at once would end the same way, or is not wanted: somebody has to look."""


@dataclass(frozen=True, slots=True)
class End:
    """The result of a run, with the keys of `connector run --json`, and what the command exited with, if it ran."""

    result: Mapping[str, Any]
    exited: int | None = None

    @property
    def status(self) -> str:
        """success, warning, failed, held, cancelled or interrupted."""
        return str(self.result["status"])

    @property
    def exit_code(self) -> int:
        """What `connector run` exits with for such a run."""
        return EXIT_CODES[self.status] if self.exited is None else self.exited

    def is_good(self, *, fail_on_warning: bool) -> bool:
        """Whether the orchestrator's own task has succeeded."""
        return self.status == "success" or (self.status == "warning" and not fail_on_warning)

    @property
    def counts(self) -> dict[str, int]:
        """Rows by what became of them, requests by kind: flat, for metadata. Rows that nobody counted are left out."""
        found = dict(self.result["rows"] or {})
        for outcome, changes in (self.result["outcomes"] or {}).items():
            found[outcome] = sum(changes.values())
        return found | {f"requests_{name}": count for name, count in (self.result["requests"] or {}).items()}

    @property
    def undelivered(self) -> int:
        """Rows that were rejected, are in doubt, or are quarantined."""
        outcomes = self.result["outcomes"] or {}
        return sum(sum(outcomes.get(outcome, {}).values()) for outcome in BAD)

    @property
    def sentence(self) -> str:
        """The end in one line, for a log and for an exception."""
        error = self.result["error"]
        of = f"run {self.result['run_id']} of '{self.result['sync']}'"
        if error is None:
            done = f"{of}: {self.status}"
            return done if not self.undelivered else f"{done}, {self.undelivered:,} rows not delivered"
        hint = f" ({error['hint']})" if error.get("hint") else ""
        return f"{of}: {self.status}: {error['message']}{hint}"
