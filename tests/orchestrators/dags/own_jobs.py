"""Our assets, one job each, so that one that fails takes no other with it."""

from __future__ import annotations

import os

import dagster as dg  # type: ignore[import-not-found]

from connector.integrations.dagster import syncs

assets = syncs(os.environ["CONNECTOR_PROJECT"])
strict = dg.define_asset_job("accounts", selection="pendo/account_health")
defs = dg.Definitions(assets=assets, jobs=[strict])
