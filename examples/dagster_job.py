"""Dagster: every sync is an asset; once an hour all of them are brought up to date.

dagster dev -f examples/dagster_job.py
"""

# ruff: noqa: INP001 - a file by itself, to be copied

import os

import dagster as dg

from connector.integrations.dagster import syncs

PROJECT = os.environ.get("CONNECTOR_PROJECT", "/srv/pendo")

assets = syncs(PROJECT)
pendo = dg.define_asset_job("pendo", selection=dg.AssetSelection.assets(*assets))

defs = dg.Definitions(
    assets=assets,
    jobs=[pendo],
    schedules=[dg.ScheduleDefinition(job=pendo, cron_schedule="0 * * * *")],
)
