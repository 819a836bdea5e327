"""`connector plan`: what a run would do now, on a private copy of the sync's state. Sends and changes nothing."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from connector.actions.hidden import shown_key
from connector.plan.guardrails import Held, check_guardrails
from connector.plan.settle import settle
from connector.plan.work import PlanWork
from connector.run.fitting import fitted, refuse_wrong_options
from connector.run.keeping import plans_in_warehouse, refuse_misplaced
from connector.run.recover import journal_of, refuse_lost_ledger
from connector.state.snapshot import view_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from connector.errors import Problem
    from connector.plan import Counts, Plan
    from connector.ports import Batch, Change, Outcome, Request
    from connector.project.definition import Sync
    from connector.project.settings import DestinationSettings
    from connector.run.fitting import Fitted
    from connector.run.means import Means, Options
    from connector.state.snapshot import Snapshot

    LastAccepted = Callable[[Iterable[str]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One row and one of the requests that would carry it. `body` is the literal text of the whole request.

    What the sync redacts is not in it. `row` is the row's own part of it; `before` is what Pendo last accepted for the
    row, where the history has it.
    """

    key: str
    change: str
    method: str
    url: str
    body: str
    before: Any
    row: str


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What a run would do. `seconds` is the time the requests take at the destination's present rate.

    `settled` counts the rows whose outcome is known before anything is sent, by outcome and change.
    """

    sync: str
    counts: Counts
    requests: int
    seconds: float
    guardrail: Held | None
    sample: tuple[Sample, ...]
    warnings: tuple[Problem, ...] = ()
    settled: Mapping[Outcome, Mapping[Change, int]] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """What `connector plan --json` prints."""
        return {
            "sync": self.sync,
            "rows": asdict(self.counts),
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "guardrail": None if self.guardrail is None else asdict(self.guardrail),
            "sample": [asdict(sample) for sample in self.sample],
            "settled": {str(outcome): dict(counts) for outcome, counts in self.settled.items() if any(counts.values())},
            "warnings": [asdict(warning) for warning in self.warnings],
        }


def plan_sync(sync: Sync, options: Options, means: Means, *, show: int, before: LastAccepted) -> PlanResult:
    """What `run_sync` with these options would do. `before(keys)` looks up what was last accepted for rows.

    Raises what `run_sync` raises before it sends anything.
    """
    with view_snapshot(means.state_dir, sync.name) as snapshot:
        refuse_wrong_options(sync, options, snapshot)
        if snapshot.has_plan():
            _settle_the_copy(snapshot, means)
        refuse_misplaced(sync, snapshot)
        if not plans_in_warehouse(sync):
            refuse_lost_ledger(sync, snapshot, means.history)
        with fitted(sync, options, means) as it:
            it.look(snapshot)
            plan = it.compare(snapshot, "plan", it.stage(snapshot, "plan"))
            requests, sample = _walk(it, snapshot, plan, show, before)
    settings = cast("DestinationSettings", sync.destination.settings)
    ceiling = settings.max_requests_per_second
    rate = means.history.rate(sync.destination.name, max_requests_per_second=ceiling, stop=means.stop).present()
    return PlanResult(
        sync=sync.name,
        counts=plan.counts,
        requests=requests,
        seconds=requests / rate,
        guardrail=check_guardrails(sync, plan),
        sample=sample,
        warnings=plan.cautions,
        settled=plan.settled,
    )


def _settle_the_copy(snapshot: Snapshot, means: Means) -> None:
    """A dead run is settled in the copy only; the next run does it for good."""
    journal = journal_of(snapshot, means.history)
    with tempfile.TemporaryDirectory(prefix="connector-") as folder:
        settle(snapshot, journal, Path(folder) / "rows.parquet", means.now_ms, stopped=True)


def _walk(
    it: Fitted, snapshot: Snapshot, plan: Plan, show: int, before: LastAccepted
) -> tuple[int, tuple[Sample, ...]]:
    """How many requests the rows take, and the first rows with theirs: the work is taken as a run would take it."""
    destination, projection = it.destination, it.projection
    shown = shown_key(it.sync, it.means)
    work = PlanWork(
        snapshot, plan, destination.routes, projection.fragments, limit=it.options.limit, cover=projection.cover
    )
    requests = 0
    sample: list[tuple[str, Sample]] = []
    with closing(work):
        work.set_send_time(it.means.now_ms)
        while (batches := work.take(destination.limits())) is not None:
            requests += len(batches)
            if len(sample) < show:
                keys = _keys(snapshot, batches[0])
                for offset, (key, change) in enumerate(keys[: show - len(sample)]):
                    for batch in batches:
                        request = destination.build(batch)
                        row = _shown(destination.build(batch.part(offset, offset + 1)))
                        body = _shown(request)
                        sample.append((key, Sample(shown(key), change, request.method, request.url, body, None, row)))
    accepted = before({key for key, _ in sample}) if sample else {}
    return requests, tuple(replace(each, before=accepted.get(key)) for key, each in sample)


def _shown(request: Request) -> str:
    """The body, without what the sync redacts."""
    return (request.shown_body or b"").decode()


def _keys(snapshot: Snapshot, batch: Batch) -> list[tuple[str, str]]:
    sql = "SELECT key, change FROM state.plan WHERE n >= ? AND n < ? ORDER BY n"
    # A cursor of its own: the connection is in the middle of the rows.
    return snapshot.connection.cursor().execute(sql, [batch.first, batch.stop]).fetchall()
