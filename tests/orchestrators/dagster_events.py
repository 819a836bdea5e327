"""What a Dagster instance remembers of its last run, as JSON; started by the tests, in Dagster's own environment."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import dagster as dg  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Mapping


def main() -> None:
    """Nothing, after writing status, materializations and checks of the newest run to stdout."""
    instance = dg.DagsterInstance.get()
    (record,) = instance.get_run_records(limit=1)
    events = [entry.dagster_event for entry in instance.all_logs(record.dagster_run.run_id) if entry.dagster_event]
    made = [event for event in events if event.event_type_value == "ASSET_MATERIALIZATION"]
    data = [event.asset_check_evaluation_data for event in events if event.event_type_value == "ASSET_CHECK_EVALUATION"]
    found = {
        "status": record.dagster_run.status.value,
        "materializations": {event.asset_key.to_user_string(): plain(event.materialization.metadata) for event in made},
        "checks": {
            f"{each.asset_key.to_user_string()}: {each.check_name}": [
                each.passed,
                each.severity.value,
                plain(each.metadata),
            ]
            for each in data
        },
    }
    sys.stdout.write(json.dumps(found))


def plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The values of metadata, without what Dagster wraps around them."""
    return {name: value.value for name, value in metadata.items()}


if __name__ == "__main__":
    main()
