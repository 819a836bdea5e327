"""What holds for one sync: its own rules, then those of its destination, of the project, and the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.project.alert_settings import AlertRules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.project.alert_settings import Limits, Runs
    from connector.project.definition import Definition, Sync

SECONDS = ("slow_after", "missed")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one sync. `to` are the channels that are told; `slow_after` and `missed` are in seconds."""

    to: tuple[str, ...]
    failed: Runs
    held: Runs
    rejected_percent: Limits
    row_count_percent: Limits
    slow_factor: Limits
    slow_after: Limits
    missed: Limits
    mean_of: int


def watches(definition: Definition) -> bool:
    """Whether the project has any channel that could be told something."""
    return definition.alerts is not None and bool(definition.alerts.channels)


def rules_of(definition: Definition, sync: Sync) -> Rules:
    """What holds for this sync."""
    alerts = definition.alerts
    project = alerts.rules if alerts is not None else AlertRules()
    levels = [sync.settings.alerts, getattr(sync.destination.settings, "alerts", None), project]
    written = [level for level in levels if level is not None]
    found: dict[str, Any] = {name: _nearest(written, name) for name in AlertRules.model_fields if name != "to"}
    found |= {name: found[name].seconds() for name in SECONDS}
    named = next((level.to for level in written if level.to is not None), None)
    every = tuple(alerts.channels) if alerts is not None else ()
    return Rules(to=every if named is None else tuple(dict.fromkeys(named)), **found)


def _nearest(levels: Iterable[AlertRules], name: str) -> Any:
    for level in levels:
        if name in level.model_fields_set:
            return getattr(level, name)
    return AlertRules.model_fields[name].get_default()
