"""Our operator in each of its ways."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import DAG  # type: ignore[import-not-found]

from connector.integrations.airflow import SyncOperator

PROJECT = os.environ["CONNECTOR_PROJECT"]
START = datetime(2026, 1, 1, tzinfo=UTC)

with DAG("here", schedule=None, start_date=START):
    SyncOperator(task_id="health", sync="account_health", project=PROJECT)

with DAG("strict", schedule=None, start_date=START):
    SyncOperator(task_id="health", sync="account_health", project=PROJECT, fail_on_warning=True)

with DAG("there", schedule=None, start_date=START):
    SyncOperator(task_id="health", sync="account_health", poll_s=0.2, full_resync=True)

with DAG("deferred", schedule=None, start_date=START):
    SyncOperator(task_id="health", sync="account_health", poll_s=0.2, deferrable=True)
