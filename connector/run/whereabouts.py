"""Where a sync's rows were sent. What counts as sent is there and nowhere else: a run says when it goes elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from connector.errors import Problem
from connector.project.settings import EventSync

if TYPE_CHECKING:
    from connector.plan import Plan
    from connector.project.definition import Sync
    from connector.project.settings import DestinationSettings
    from connector.state.snapshot import Snapshot

SENT_TO = "sent_to"


def cautioned(plan: Plan, sync: Sync, snapshot: Snapshot) -> Plan:
    """The plan, with a caution when what counts as sent was sent to another place, or with another key."""
    before, now = snapshot.info(SENT_TO), _whereabouts(sync)
    if before is None or before == now or not plan.snapshot_size or not plan.counts.unchanged:
        return plan
    other = (
        f"with another key than before to {now[0]}" if before[0] == now[0] else f"to {now[0]}, until now {before[0]}"
    )
    rows = plan.counts.unchanged
    caution = Problem(
        f"'{sync.name}' sends {other}: {rows:,} row{'' if rows == 1 else 's'} went there and count as sent",
        "other-destination",
        sync.destination.at,
        f"if that is another Pendo: `connector reset {sync.name}` has the next run send every row",
    )
    return replace(plan, cautions=(*plan.cautions, caution))


def remember(sync: Sync, snapshot: Snapshot) -> None:
    """Nothing, after noting that what counts as sent is where the sync sends to now."""
    now = _whereabouts(sync)
    if snapshot.info(SENT_TO) != now:
        snapshot.keep(SENT_TO, now)


def _whereabouts(sync: Sync) -> list[str]:
    settings = cast("DestinationSettings", sync.destination.settings)
    return list(settings.whereabouts(events=isinstance(sync.settings, EventSync)))
