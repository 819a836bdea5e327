"""Rows of a sync that redacts, as they may be shown: their keys, and the JSON that is kept of undelivered events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.covering import shown_json
from connector.plan.rows_file import hidden_key
from connector.project.privacy import redaction_of
from connector.run.chosen import key_as_kept
from connector.run.fitting import routes_of
from connector.state.hiding import PREFIX, open_hiding

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.project.definition import Sync
    from connector.run.means import Means
    from connector.state.snapshot import Snapshot


def key_parts(sync: Sync) -> tuple[bool, ...]:
    """Which parts of the sync's keys are redacted; empty when none is."""
    redaction = redaction_of(sync.settings)
    parts = tuple(map(redaction.hides_column, sync.model.settings.primary_key))
    return parts if any(parts) else ()


def shown_columns(sync: Sync, means: Means, snapshot: Snapshot) -> tuple[str, str]:
    """SQL for key and `fragment` of an undelivered row as they may be shown."""
    redaction = redaction_of(sync.settings)
    if not redaction.columns:
        return "key", "fragment"
    open_hiding(means.state_dir, redaction.form).define(snapshot.connection)
    parts = key_parts(sync)
    template = next((route.template for route in routes_of(sync, means)), None)
    fragment = "NULL" if template is None else shown_json(template, redaction)
    return hidden_key(parts) if parts else "key", fragment


def shown_key(sync: Sync, means: Means) -> Callable[[str], str]:
    """What gives a key as it may be shown."""
    parts = key_parts(sync)
    if not parts:
        return str
    hiding = open_hiding(means.state_dir)
    return lambda key: hiding.key(key, parts)


def real_key(sync: Sync, snapshot: Snapshot, key: str | None) -> str | None:
    """The key of the undelivered or deleted row that is shown as `key`; the key itself where it is one.

    Raises ConfigError for what is no key of this sync.
    """
    if key is None:
        return None
    key = key_as_kept(sync, key)
    parts = key_parts(sync)
    if not parts or PREFIX not in key:
        return key
    open_hiding(snapshot.path.parent.parent).define(snapshot.connection)
    keys = "SELECT key FROM state.undelivered UNION ALL SELECT key FROM state.deleted"
    found = snapshot.connection.execute(f"SELECT key FROM ({keys}) WHERE {hidden_key(parts)} = ?", [key]).fetchone()
    return key if found is None else str(found[0])
