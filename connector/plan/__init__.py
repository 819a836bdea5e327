"""The plan: made by comparing, cut into batches, held by guardrails, settled at the end."""

from __future__ import annotations

from connector.plan.comparison import Ask, Counts, Plan, PlanInfo, compare, stage
from connector.plan.numbering import Span

__all__ = ["Ask", "Counts", "Plan", "PlanInfo", "Span", "compare", "stage"]
