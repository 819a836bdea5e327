"""The plan on its way: the destination prepared, the rows delivered, what was learned kept."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, cast

from connector.deliver import Delivered, Policy, converse, deliver
from connector.errors import ConnectorError
from connector.failpoints import reach
from connector.plan.work import PlanWork
from connector.project.settings import DestinationSettings, EventSync

if TYPE_CHECKING:
    from connector.plan import Plan
    from connector.project.definition import Sync
    from connector.run.ending import Ending
    from connector.run.fitting import Fitted
    from connector.run.timings import Timings
    from connector.state.snapshot import Snapshot


def send_plan(it: Fitted, snapshot: Snapshot, plan: Plan, ending: Ending, timings: Timings) -> Delivered | None:
    """What delivery came to; None when there was nothing to send, or when the destination could not be prepared.

    Notes in `ending` that requests may have gone out, what they came to, and why it stopped.
    """
    to_send = sum(span.stop - span.first for span in plan.spans if span.lane != "settled")
    if to_send == 0 or it.means.stop.is_set():
        return None
    means, name = it.means, it.sync.destination.name
    settings = cast("DestinationSettings", it.sync.destination.settings)
    limiter = means.history.rate(name, max_requests_per_second=settings.max_requests_per_second, stop=means.stop)
    journal = means.history.journal(
        plan.run_id, secrets=it.destination.secrets, hiding=it.hiding, payloads=it.sync.settings.store_payloads
    )
    seams = (it.destination, journal, limiter, means.clock, means.random, policy_of(it.sync), means.stop)
    ending.begun = True
    try:
        converse(it.destination.prepare(), *seams)
    except ConnectorError as error:
        journal.flush()
        ending.error = error
        return None
    reach("prepared")
    means.progress.step("sending", to_send)
    work = PlanWork(
        snapshot,
        plan,
        it.destination.routes,
        it.projection.fragments,
        limit=it.options.limit,
        monotonic=means.clock.monotonic,
        cover=it.projection.cover,
    )
    with snapshot.passing(), closing(work):
        work.set_send_time(means.now_ms)
        delivered = deliver(work, *seams, means.progress.rows)
    journal.flush()
    timings.add("render", work.rendered_s)
    timings.add("log", journal.waited_s)
    reach("all-sent")
    ending.requests |= {"retried": delivered.retried, "split": delivered.split}
    ending.error = delivered.fault and journal.cleaned(delivered.fault)
    for fact, value in delivered.learned.items():
        means.history.learned.put(name, fact, value, f"found by run {plan.run_id}")
    return delivered


def policy_of(sync: Sync) -> Policy:
    """How this sync is delivered."""
    settings = cast("DestinationSettings", sync.destination.settings)
    return Policy(
        concurrency=settings.concurrency,
        split_retries=sync.settings.split_retries,
        in_doubt=sync.settings.in_doubt if isinstance(sync.settings, EventSync) else "resend",
        attempts=settings.retries.attempts,
        max_retry_s=settings.retries.max_seconds,
        max_split_requests=sync.settings.max_split_requests,
    )
