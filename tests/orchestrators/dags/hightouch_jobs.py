"""Dagster's Hightouch library as its users write it; its one constant for the host says that the connector answers."""

from __future__ import annotations

import os

import dagster as dg  # type: ignore[import-not-found]
import dagster_hightouch.resources  # type: ignore[import-not-found]
from dagster_hightouch.component import HightouchSyncComponent  # type: ignore[import-not-found]
from dagster_hightouch.ops import hightouch_sync_op  # type: ignore[import-not-found]
from dagster_hightouch.resources import ConfigurableHightouchResource, ht_resource

dagster_hightouch.resources.HIGHTOUCH_API_BASE = os.environ["CONNECTOR_URL"] + "/api/v1/"

TOKEN = os.environ["CONNECTOR_TOKEN"]
old_style = ht_resource.configured({"api_key": TOKEN})
accounts = hightouch_sync_op.configured({"sync_id": os.environ["ACCOUNTS_ID"], "poll_interval": 0.2}, name="accounts")
events = hightouch_sync_op.configured({"sync_id": os.environ["EVENTS_ID"], "poll_interval": 0.2}, name="events")


@dg.job(resource_defs={"hightouch": old_style})  # type: ignore[untyped-decorator]
def by_ops() -> None:
    """Both syncs, one after the other."""
    events(start_after=accounts())


@dg.asset  # type: ignore[untyped-decorator]
def by_resource(hightouch: ConfigurableHightouchResource):  # type: ignore[no-untyped-def] # noqa: ANN201
    """The accounts, as an asset."""
    found = hightouch.sync_and_poll(os.environ["ACCOUNTS_ID"], poll_interval=0.2)
    return dg.MaterializeResult(metadata={"run": found.sync_run_details["id"], "to": found.destination_details["slug"]})


component = HightouchSyncComponent(sync_id="account_health", asset=dg.AssetSpec("by_component"))

defs = dg.Definitions.merge(
    dg.Definitions(
        assets=[by_resource],
        jobs=[
            by_ops,
            dg.define_asset_job("asset_of_resource", selection=["by_resource"]),
            dg.define_asset_job("asset_of_component", selection=["by_component"]),
        ],
        resources={"hightouch": ConfigurableHightouchResource(api_key=TOKEN, poll_interval=0.2)},
    ),
    # It makes nothing of its context; a project folder of `dg` would give one.
    component.build_defs(None),
)
