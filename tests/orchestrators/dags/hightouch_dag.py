"""Airflow's provider for Hightouch as its users write it; only the connection knows that the connector answers."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import DAG  # type: ignore[import-not-found]
from airflow_provider_hightouch.operators.hightouch import HightouchTriggerSyncOperator  # type: ignore[import-not-found]
from airflow_provider_hightouch.sensors.hightouch import HightouchSyncRunSensor  # type: ignore[import-not-found]

with DAG("hightouch", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    by_slug = HightouchTriggerSyncOperator(task_id="by_slug", sync_slug="account_health", wait_seconds=0.2)
    by_id = HightouchTriggerSyncOperator(
        task_id="by_id", sync_id=os.environ["EVENTS_ID"], wait_seconds=0.2, error_on_warning=True
    )
    not_waiting = HightouchTriggerSyncOperator(task_id="not_waiting", sync_slug="account_health", synchronous=False)
    sensor = HightouchSyncRunSensor(
        task_id="sensor", sync_run_id="{{ ti.xcom_pull(task_ids='not_waiting') }}", sync_id=os.environ["ACCOUNTS_ID"]
    )
    sensor.template_fields = ("sync_run_id",)
    sensor.poke_interval = 0.2
    by_slug >> by_id >> not_waiting >> sensor
