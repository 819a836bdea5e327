"""One rate for all that use a destination, seen from where the requests arrive."""

from __future__ import annotations

import json
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, Scene, outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

RATE = 40.0
ROWS = 60


def busiest_second(moments: Sequence[float]) -> int:
    """The most requests that fell into any second."""
    return max(sum(start <= moment < start + 1 for moment in moments) for start in moments)


@pytest.mark.slow
def test_two_processes_share_the_rate_of_a_destination(real: Scene) -> None:
    real.accounts(ROWS)
    real.events(ROWS)
    real.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": 1})
    real.write(EVENTS, EVENT_SYNC, batch={"rows": 1})
    real.point_at(max_requests_per_second=RATE)

    children = [real.start("run", sync, "--json") for sync in (ACCOUNTS, EVENTS)]
    ended = [json.loads(child.communicate(timeout=60)[0])[0]["status"] for child in children]
    moments = [entry.at for entry in real.sandbox.requests]

    assert ended == ["success", "success"]
    assert len(moments) >= 2 * ROWS
    assert busiest_second(moments) <= RATE * 1.15 + 2
    assert max(moments) - min(moments) >= (len(moments) - 1) / RATE * 0.85


def test_two_runs_in_one_process_share_the_rate_as_well(real: Scene) -> None:
    real.accounts(ROWS)
    real.events(ROWS)
    real.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": 1})
    real.write(EVENTS, EVENT_SYNC, batch={"rows": 1})
    real.point_at(max_requests_per_second=RATE)
    threads = [threading.Thread(target=real.run, args=(sync,)) for sync in (ACCOUNTS, EVENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moments = [entry.at for entry in real.sandbox.requests]

    assert busiest_second(moments) <= RATE * 1.15 + 2


def test_too_many_requests_halve_the_rate_for_the_next_process_too(real: Scene) -> None:
    real.events(10)
    sync = real.write(EVENTS, EVENT_SYNC, batch={"rows": 1})
    real.point_at(max_requests_per_second=1000)
    real.sandbox.add_faults({"path": "/data/track", "status": 429, "first": 5, "last": 5})

    result = real.run(sync)
    with real.project() as project:
        rate = project.history.rate("pendo", max_requests_per_second=1000, stop=project.stop).present()

    assert outcomes(result) == {"succeeded": 10}
    assert 500 <= rate < 700


def test_a_wish_to_wait_parks_everybody(real: Scene) -> None:
    real.events(20)
    sync = real.write(EVENTS, EVENT_SYNC, batch={"rows": 1})
    real.sandbox.add_faults({"path": "/data/track", "status": 429, "retry_after": 1.5, "first": 5, "last": 5})

    result = real.run(sync)
    moments = [entry.at for entry in real.sandbox.requests]
    gaps = [later - sooner for sooner, later in pairwise(moments)]

    assert outcomes(result) == {"succeeded": 20}
    assert max(gaps) >= 1.3
