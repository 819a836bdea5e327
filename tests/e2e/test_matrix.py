"""Every fault that a network and a vendor can think of, on every kind of request: nothing lost, nothing doubled."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, FastClock, Scene, outcomes, scene
from tests.e2e.proxy import TCP_FAULTS, Proxy, always, at, proxied

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # minutes, on a clock that a busy machine can make stumble

KINDS = ("events", "held events", "objects", "deletes")
FORMS = ("array", "single")
STORMS_OF_SINGLES = (("events", "single"), ("held events", "single"))
ROWS = {"array": 60, "single": 12}
BATCH = {"array": 10, "single": 1}
PATHS = {"events": "/data/track", "held events": "/data/track", "objects": "/custom/value", "deletes": "/bulkdelete/"}
READ_S = 0.75

HTTP_FAULTS: dict[str, dict[str, Any]] = {
    "429": {"status": 429},
    "429 with seconds": {"status": 429, "retry_after": 2},
    "429 with a date": {"status": 429, "retry_after": 2, "retry_after_as": "date"},
    "503": {"status": 503},
    "503 in HTML": {"status": 503, "body": "html"},
    "503 without a body": {"status": 503, "body": "empty"},
    "504 after applying": {"status": 504, "applied": True},
    "200 in HTML": {"status": 200, "body": "html"},
    "401": {"status": 401},
    "401 without a body": {"status": 401, "body": "empty"},
}
FAULTS = (*TCP_FAULTS, *HTTP_FAULTS)
HARMLESS = ("slow", "rate")
APPLIED = ("reset_after", "blackhole_after", "truncate", "504 after applying")
UNKNOWN = (*APPLIED, "reset_before", "blackhole_before", "200 in HTML")
"""What leaves it open whether the request was applied."""
KEY_FAULTS = ("401", "401 without a body")


class Arena:
    """A project behind a proxy, with one sync of the kind, and rows that are to be sent."""

    def __init__(self, place: Scene, proxy: Proxy, kind: str, form: str) -> None:
        self.place, self.proxy, self.kind = place, proxy, kind
        self.rows = ROWS[form]
        self.path = PATHS[kind]
        batch = {"rows": BATCH[form], "bytes": 1_000_000}
        timeouts = {"connect_seconds": 1, "read_seconds": READ_S, "metadata_seconds": READ_S}
        place.point_at(
            proxy.url,
            timeouts=timeouts,
            concurrency=2,
            batching="single" if form == "single" else "auto",
        )
        if kind in ("events", "held events"):
            place.events(self.rows)
            doubt = "hold" if kind == "held events" else "resend"
            self.sync = place.write(EVENTS, EVENT_SYNC, batch=batch, in_doubt=doubt)
        else:
            place.accounts(self.rows + (kind == "deletes"))
            # On a clock this fast, a moment's delay of this process would bring two deletes too close together.
            place.sandbox.switch(bulkdelete_fast_calls="allow")
            on_removed = "delete" if kind == "deletes" else "clear"
            self.sync = place.write(ACCOUNTS, OBJECT_SYNC, batch=batch, on_removed=on_removed)
            if kind == "deletes":
                place.run(ACCOUNTS)
                place.sql("DELETE FROM accounts WHERE account_id <> 'acct-0'")

    def add_fault(self, fault: str, *, storm: bool) -> None:
        """Nothing, after arming the fault: at the second and the fourth request, or from the second one on."""
        # Enough attempts to outlast a fault that goes by, and few where it stays: nobody learns from waiting.
        self.place.point_at(retries={"attempts": 3 if storm else 10})
        if fault in HTTP_FAULTS:
            rule = {"path": f"*{self.path}*", **HTTP_FAULTS[fault]}
            place = [{"first": 2}] if storm else [{"first": 2, "last": 2}, {"first": 3, "last": 3}]
            self.place.sandbox.add_faults(*({**rule, **where} for where in place))
        elif storm:
            self.proxy.stays = True
            self.proxy.script = always(fault, path=self.path, after=1)
        else:
            self.proxy.script = at(fault, 2, 4, path=self.path)

    def clear(self) -> None:
        """Nothing, after ending all faults."""
        self.proxy.script = None
        self.place.sandbox.clear_faults()

    def release(self) -> None:
        """Nothing, after releasing the events that are held, which are listed and never were sent twice."""
        held = {key for key, outcome in self.place.undelivered(self.sync).items() if outcome == "in_doubt"}
        assert not [number for number, times in self.place.delivered().items() if times > 1]
        if held:
            with self.place.project() as project:
                assert project.release(self.sync) == len(held)

    def assert_all_arrived(self) -> None:
        """Nothing lost: whatever the warehouse holds is in the sandbox, and the state knows it."""
        if self.kind in ("events", "held events"):
            assert set(self.place.delivered()) == set(range(self.rows))
            return
        if self.kind == "deletes":
            assert set(self.place.sandbox.do_not_process("account")) == {f"acct-{at}" for at in range(1, self.rows + 1)}
        for key, values in self.place.wanted().items():
            assert self.place.held()[key] == values

    def assert_log_is_complete(self) -> None:
        """The API call log holds what the sandbox received and what never reached it, no more and no less."""
        with self.place.project() as project:
            runs = [run.run_id for run in project.runs(limit=None)]
            calls = [call for run in runs for call in project.calls(run)]
        refused = [call for call in calls if (call.error or "").startswith("ConnectError")]
        unreached = self.place.logged("all") - self.place.received()
        for call in refused:
            unreached[call.method, urlsplit(call.url).path, call.request_body or ""] -= 1

        assert not self.place.received() - self.place.logged("all")
        assert +unreached == self.proxy.swallowed


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def arena(stack: ExitStack, folder: Path, kind: str, form: str) -> Arena:
    """The arena, torn down with the test."""
    place = stack.enter_context(scene(folder / "p", clock=FastClock()))
    proxy = stack.enter_context(proxied(int(place.url.rpartition(":")[2])))
    return Arena(place, proxy, kind, form)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_now_and_then_loses_nothing_and_doubles_only_what_is_unknown(
    stack: ExitStack, tmp_path: Path, kind: str, form: str, fault: str
) -> None:
    fight = arena(stack, tmp_path, kind, form)
    fight.add_fault(fault, storm=False)

    first = fight.place.run(fight.sync)
    met = fight.proxy.met[fault] + sum(entry.fault is not None for entry in fight.place.sandbox.requests)
    fight.clear()
    if kind == "held events":
        fight.release()
    fight.place.runs_until_quiet(fight.sync)

    assert met >= 1
    fight.assert_all_arrived()
    fight.assert_log_is_complete()
    if fault in KEY_FAULTS:
        assert (first.status, first.error and first.error.problem.slug) == ("failed", "pendo-key-refused")
    elif kind == "held events" and fault in UNKNOWN:
        assert (first.status, set(outcomes(first))) == ("warning", {"succeeded", "in_doubt"})
    else:
        assert (first.status, outcomes(first)) == ("success", {"succeeded": fight.rows})
    doubled = sum(times - 1 for times in fight.place.delivered().values())
    assert doubled <= (2 * BATCH[form] if fault in APPLIED else 0)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in HARMLESS])
@pytest.mark.parametrize(("kind", "form"), [*((kind, "array") for kind in KINDS), *STORMS_OF_SINGLES])
def test_a_fault_that_stays_ends_the_run_and_the_next_one_brings_the_rest(
    stack: ExitStack, tmp_path: Path, kind: str, form: str, fault: str
) -> None:
    fight = arena(stack, tmp_path, kind, form)
    fight.add_fault(fault, storm=True)

    first = fight.place.run(fight.sync)
    fight.clear()
    if kind == "held events":
        fight.release()
    fight.place.runs_until_quiet(fight.sync)

    fight.assert_all_arrived()
    fight.assert_log_is_complete()
    assert first.status == ("warning" if first.error is None else "failed")
    if first.error is not None:
        assert first.error.problem.slug in {"pendo-key-refused", "destination-unavailable"}
    doubled = sum(times - 1 for times in fight.place.delivered().values())
    assert doubled == 0 or fault in APPLIED
