"""The one row that a run is asked for by its key."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from connector.errors import ConfigError, Problem
from connector.values import joined_key, split_key

if TYPE_CHECKING:
    from connector.plan import Plan
    from connector.project.definition import Sync


def key_as_kept(sync: Sync, key: str) -> str:
    """The key as the snapshot has it: of a composite one, a JSON array without spaces. Raises ConfigError."""
    columns = sync.model.settings.primary_key
    if len(columns) == 1:
        return key
    parts = split_key(key)
    if parts is None or len(parts) != len(columns):
        shape = ", ".join(f'"{column}"' for column in columns)
        raise ConfigError(
            f"the key of a row of '{sync.name}' is a JSON array of {len(columns)} texts",
            slug="wrong-option",
            hint=f"such as [{shape}], with the row's values",
        )
    return joined_key(parts)


def said_when_missing(plan: Plan, sync: Sync, key: str | None) -> Plan:
    """The plan, with a caution when there is no row with the key that was asked for, now or before.

    The key itself is not in it: the sync may redact it, and the history keeps the caution.
    """
    if key is None or plan.counts.queried or plan.counts.removed:
        return plan
    caution = Problem(
        f"model '{sync.model.name}' has no row with the key that was asked for",
        "unknown-row",
        hint="a key is text, a composite one a JSON array of texts; `connector preview` shows the model's rows",
    )
    return replace(plan, cautions=(*plan.cautions, caution))
