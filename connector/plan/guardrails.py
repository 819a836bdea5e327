"""Guardrails: limits that hold a run before it sends anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.project.settings import ObjectSync, OnRemoved

if TYPE_CHECKING:
    from connector.plan import Plan
    from connector.project.definition import Sync

HINT = "see `connector plan {sync}`; if it is right, run once with --force, or raise the limit under guardrails"


@dataclass(frozen=True, slots=True)
class Held:
    """Why a run is held: the guardrail's name, what was found, the limit, a sentence and what to do."""

    guardrail: str
    found: float
    limit: float
    message: str
    hint: str


def check_guardrails(sync: Sync, plan: Plan) -> Held | None:
    """The first guardrail that this plan breaks, or None.

    Limits on removed rows hold by default where a removal changes Pendo (clear, delete), and wherever they are
    written in the sync. An empty model under a snapshot that is not empty always holds. Events remove nothing.
    """
    settings = sync.settings
    # Rows that Pendo holds in part are removed as well, and stand in no snapshot: it may be empty with many of them.
    size = max(plan.snapshot_size, plan.counts.removed)
    if not isinstance(settings, ObjectSync) or size == 0:
        return None
    rails = settings.guardrails
    hint = HINT.format(sync=sync.name)
    if plan.whole and plan.counts.queried == 0 and not rails.allow_empty:
        kept = f"the snapshot holds {plan.snapshot_size:,}" if plan.snapshot_size else f"Pendo holds {size:,} in part"
        message = f"the model returned no row, and {kept}"
        return Held("empty_model", 0, 1, message, hint)
    acts = settings.on_removed is not OnRemoved.DO_NOTHING
    for name, word, found in (
        ("max_removed", "removed", plan.counts.removed),
        ("max_removed_percent", "removed", plan.counts.removed),
        ("max_changed", "changed", plan.counts.changed),
        ("max_changed_percent", "changed", plan.counts.changed),
    ):
        limit = getattr(rails, name)
        if limit is None or (word == "removed" and not acts and name not in rails.model_fields_set):
            continue
        measured: float = 100 * found / size if name.endswith("percent") else found
        if measured > limit:
            share = f" ({measured:.1f} % of {size:,})" if name.endswith("percent") else ""
            message = f"{found:,} row{'' if found == 1 else 's'} would be {word}{share}; {name} is {limit:g}"
            return Held(name, measured, limit, message, hint)
    return None
