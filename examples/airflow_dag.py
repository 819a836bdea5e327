"""Airflow 3: every hour, bring Pendo up to date. Put this file into the folder of your DAGs.

The first task runs a sync on the worker, in a child process. The second one asks `connector serve` for a run and gives
its place back while it waits: that needs an Airflow connection "connector_default" with the server's host and port,
and its token as the password.
"""

# ruff: noqa: INP001 - a file by itself, to be copied

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import DAG

from connector.integrations.airflow import SyncOperator

PROJECT = os.environ.get("CONNECTOR_PROJECT", "/srv/pendo")

with DAG(
    "pendo",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
):
    accounts = SyncOperator(task_id="account_health", sync="account_health", project=PROJECT)
    events = SyncOperator(task_id="plan_upgrades", sync="plan_upgrades", deferrable=True)
    accounts >> events
