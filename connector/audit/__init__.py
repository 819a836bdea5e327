"""Warehouse logs: what each run did, written back to a warehouse, where dbt and BI can join it."""
