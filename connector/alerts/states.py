"""From one finding to the next: which level a sync's condition has now, and whether anybody is told.

    ok ──► warning ──► critical
     ▲        │           │
     └────────┴───────────┘  recovered

Each change of level is told once. While a sync is muted nothing is told; what it is in when the mute ends is told then,
and what came and went meanwhile never is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

from connector.alerts.conditions import CONDITIONS, Finding
from connector.state.alerts import AlertState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connector.alerts.conditions import Condition
    from connector.state.alerts import Level

Change = Literal["warning", "critical", "recovered"]


@dataclass(frozen=True, slots=True)
class Told:
    """What the channels are told: the state that a condition has come to, and what they heard of it last."""

    state: AlertState
    before: Level

    @property
    def change(self) -> Change:
        """What the state has become."""
        return "recovered" if self.state.level == "ok" else self.state.level

    @property
    def finding(self) -> Finding:
        """What was found."""
        return Finding(**self.state.finding)


def step(
    sync: str, before: AlertState | None, finding: Finding, *, muted: bool, now: float
) -> tuple[AlertState | None, Told | None]:
    """The state after this finding, and what is told. No state where nothing is wrong and never was."""
    quiet = finding.level == "ok"
    if before is None:
        if quiet and not (finding.condition in ("failed", "held") and finding.count):
            return None, None
        before = AlertState(sync, finding.condition, "ok", "ok", 0, now, now, {})
    changed = finding.level != before.level
    after = replace(
        before,
        level=finding.level,
        count=finding.count,
        since=now if changed and before.level == "ok" else before.since,
        changed_at=now if changed else before.changed_at,
        finding=asdict(finding),
    )
    return tell(after, muted=muted)


def tell(state: AlertState, *, muted: bool) -> tuple[AlertState, Told | None]:
    """The state with what is known to be told, and what is to be told now, if anything."""
    if muted or state.told == state.level:
        return state, None
    return replace(state, told=state.level), Told(state, state.told)


def unwatched(states: Mapping[str, AlertState], watched: Iterable[Condition]) -> Iterable[Finding]:
    """That all is well with each condition that is in trouble and that nobody wants to hear of any more."""
    still = set(watched)
    for condition in CONDITIONS:
        state = states.get(condition)
        if condition not in still and state is not None and state.level != "ok":
            yield Finding(condition, "ok", "is not watched any more", count=0)
