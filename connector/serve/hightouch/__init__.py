"""The REST API in the shapes of Hightouch's v1: its clients drive the connector by changing the host.

Source of the shapes: Hightouch's own OpenAPI document (api.hightouch.io/api/swagger.json, 1.0.0), and what
airflow-provider-hightouch 5.0.0 and dagster-hightouch 0.29.27 send and read.
"""
