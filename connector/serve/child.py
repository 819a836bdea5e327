"""A process that does one run that was asked for. What it needs is imported before it is forked: see `launcher`."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - this and what has the same mark is imported to be forked
import signal
import threading
from random import SystemRandom
from typing import TYPE_CHECKING

import certifi  # noqa: F401
import pyarrow.parquet  # noqa: F401
import sqlalchemy.dialects.sqlite  # noqa: F401

import connector.actions.running
import connector.run.cancelling
import connector.state.history
import connector.systems.pendo
import connector.systems.warehouse.duckdb  # noqa: F401
from connector.api import Project
from connector.errors import BusyError, ConnectorError, Problem
from connector.process import spare_memory
from connector.schedule.children import bury
from connector.state.clock import SystemClock
from connector.state.locks import run_lock
from connector.state.runs import RUNNING
from connector.state.tracebacks import save_traceback

if TYPE_CHECKING:
    from connector.ports import Clock
    from connector.schedule.children import Order
    from connector.state.locks import FileLock
    from connector.state.triggers import Trigger

BUSY_S = 5.0
"""How long a run waits, at least, when another one of its sync is in the way."""

_LOOKS, _LOOK_S = 100, 0.02


def run_order(order: Order) -> None:
    """Nothing, after the run, and after settling its trigger. SIGTERM cancels the run as Ctrl-C does elsewhere."""
    # Ctrl-C on a terminal reaches every process there; the scheduler is the one that decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    spare_memory()
    clock = SystemClock()
    with Project(order.definition, clock, SystemRandom()) as project:
        _stop_at_sigterm(project.stop)
        lock = run_lock(order.definition.state_dir, order.sync)
        try:
            if not _acquired(lock, clock):
                # An earlier process of this sync goes on; or a later one, which does what this one came too late for.
                of, later = (order.owner, order.attempts), clock.now() + BUSY_S
                project.history.triggers.requeue(order.trigger_id, not_before=later, counted=False, of=of)
                return
            trigger = _still_ours(project, order)
            if trigger is not None:
                _run(project, order, trigger, clock)
        finally:
            lock.release()


def _run(project: Project, order: Order, trigger: Trigger, clock: Clock) -> None:
    """Nothing, after the run, and after settling its trigger."""
    triggers = project.history.triggers
    error: Problem | None = None
    try:
        project.run(order.sync, trigger=trigger.trigger, run_id=trigger.run_id, **trigger.options)
    except BusyError:
        triggers.requeue(trigger.id, not_before=clock.now() + BUSY_S, counted=False)
        return
    except ConnectorError as refused:
        error = refused.problem
    except Exception as defect:  # noqa: BLE001 - whatever it is, it is kept with what was asked for
        path = save_traceback(defect, order.definition.state_dir)
        words = f"something here is broken ({type(defect).__name__}); the details are in {path}"
        error = Problem(words, "defect", hint="please report it, with that file")
    begun = project.history.runs.find(trigger.run_id)
    if error is not None and begun is not None and begun.status == RUNNING:
        bury(project.history, trigger, error)  # it had begun to send, and could not settle what came of that
    else:
        triggers.settle(trigger.id, error if begun is None else None)


def _acquired(lock: FileLock, clock: Clock) -> bool:
    for _ in range(_LOOKS):
        if lock.acquire():
            return True
        clock.sleep(_LOOK_S)
    return False


def _still_ours(project: Project, order: Order) -> Trigger | None:
    """The trigger; None when somebody else has taken it over, because this process came too late."""
    if not project.history.triggers.owned(order.trigger_id, order.owner, order.attempts):
        return None
    return project.history.triggers.get(order.trigger_id)


def _stop_at_sigterm(stop: threading.Event) -> None:
    """Nothing; from now on a thread waits for SIGTERM, because the main one may be busy outside of Python."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
