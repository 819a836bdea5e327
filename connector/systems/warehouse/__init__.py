"""Warehouses: one module a kind, each with `Settings` and `open(settings, root) -> ports.Source`."""
