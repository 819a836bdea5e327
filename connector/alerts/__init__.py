"""Alerts: what is wrong with a sync, who is told of it, and that nobody is told twice.

rules (who wants to know what) -> conditions (what is wrong) -> states (what changed) -> messages (in words) -> channels

Everything but the channels is decided from the run history, and kept in it: see `watch` for what calls this.
"""

from __future__ import annotations

from connector.alerts.watch import after_run, look, not_started, run_started

__all__ = ["after_run", "look", "not_started", "run_started"]
