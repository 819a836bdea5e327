"""The two identities of a run, from counts that were made independently of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.errors import CountsError
from connector.ports import Change, Outcome

if TYPE_CHECKING:
    from connector.deliver import Delivered
    from connector.plan import Plan
    from connector.plan.settle import Settlement


def check_identities(plan: Plan, settlement: Settlement, delivered: Delivered | None) -> None:
    """Nothing, when the counts of a run add up. Raises CountsError.

    1. queried = null_key + duplicate_key + unchanged + added + changed: from five queries over the staged rows.
    2. added + changed + removed = all outcomes, for each change: the comparison's counts against the journal's.
    3. Each outcome of each change: what the journal says against what the comparison settled beforehand and the
       workers counted while sending; rows that no worker took were not attempted.
    """
    counts = plan.counts
    parts = counts.null_key + counts.duplicate_key + counts.unchanged + counts.added + counts.changed
    _equal("the rows queried", counts.queried, parts)
    for change in Change:
        total = sum(by_change[change] for by_change in settlement.outcomes.values())
        _equal(f"the outcomes of {change} rows", counts.planned[change], total)
        known = {outcome: plan.settled[outcome][change] for outcome in Outcome}
        for outcome in Outcome:
            known[outcome] += delivered.tally[outcome][change] if delivered is not None else 0
        known[Outcome.NOT_ATTEMPTED] += counts.planned[change] - sum(known.values())
        for outcome in Outcome:
            _equal(f"the {change} rows that {outcome}", settlement.outcomes[outcome][change], known[outcome])


def _equal(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise CountsError(
            f"the counts of this run do not add up: {what}: {found} against {expected}",
            slug="counts",
            hint="this is a defect of the connector: please report it with the run's log",
        )
