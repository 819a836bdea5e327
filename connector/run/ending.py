"""How a run ends: what is known of it so far, and what the history keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from connector.plan import Counts
from connector.ports import Change, Outcome
from connector.state.runs import Finish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.errors import ConnectorError, Problem
    from connector.plan import Plan
    from connector.state.runs import Run

EXIT_CODES = {"success": 0, "warning": 2, "failed": 3, "held": 4, "cancelled": 130, "interrupted": 3}
BAD = (Outcome.REJECTED, Outcome.IN_DOUBT, Outcome.QUARANTINED)


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run. `json()` is what `connector run --json` prints for it."""

    run: Run
    error: ConnectorError | None = None

    @property
    def status(self) -> str:
        """success, warning, failed, held or cancelled."""
        return self.run.status

    @property
    def exit_code(self) -> int:
        """What the command exits with."""
        return self.error.exit_code if self.error is not None else EXIT_CODES[self.run.status]

    def warned(self, run: Run) -> RunResult:
        """The same result of this run, which has got a warning since it ended."""
        return RunResult(run, self.error)

    def json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return self.run.json()


@dataclass(slots=True)
class Ending:
    """What is known of a run so far. `begun`: a request may have gone out. `settled`: the snapshot has its outcomes."""

    status: str = "failed"
    begun: bool = False
    settled: bool = False
    counts: Counts = field(default_factory=Counts)
    outcomes: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: _outcomes({}))
    requests: dict[str, int] = field(default_factory=lambda: {"sent": 0, "retried": 0, "split": 0})
    error: ConnectorError | None = None
    warnings: tuple[Problem, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)

    def planned(self, plan: Plan) -> None:
        """Nothing, after noting the plan: nothing of it was attempted so far."""
        self.counts = plan.counts
        self.outcomes = _outcomes(plan.counts.planned)
        self.warnings = plan.cautions

    def decide(self, *, cancelled: bool) -> None:
        """Nothing, after deciding the status of a run that came to its end, from its outcomes."""
        if self.error is not None:
            self.status = "failed"
        elif cancelled and any(self.outcomes[Outcome.NOT_ATTEMPTED].values()):
            self.status = "cancelled"
        else:
            self.status = "warning" if any(any(self.outcomes[outcome].values()) for outcome in BAD) else "success"

    def finish(self) -> Finish:
        """What the history keeps."""
        return Finish(
            status=self.status,
            error=None if self.error is None else self.error.problem,
            rows=asdict(self.counts),
            outcomes=self.outcomes,
            requests=self.requests,
            warnings=self.warnings,
            timings=self.timings,
        )


def _outcomes(not_attempted: Mapping[Change, int]) -> dict[str, dict[str, int]]:
    outcomes = {outcome.value: dict.fromkeys(map(str, Change), 0) for outcome in Outcome}
    outcomes[Outcome.NOT_ATTEMPTED.value] |= {change.value: count for change, count in not_attempted.items()}
    return outcomes
