"""Processes for runs, forked in some ten milliseconds from one that has imported everything and does nothing else.

Where a system cannot fork, each process starts from nothing, and takes about a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from contextlib import contextmanager
from multiprocessing import forkserver
from typing import TYPE_CHECKING

from connector.serve.child import run_order

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.context import ForkServerContext, SpawnContext
    from multiprocessing.process import BaseProcess

    from connector.schedule.children import Order

PRELOADED = ["connector.serve.child"]


class ForkedChild:
    """A process that runs what was asked for; see `schedule.children.Child`."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int | None:
        """Its number."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None as long as it goes on."""
        return self._process.exitcode


class Launcher:
    """Starts a process for each order."""

    def __init__(self) -> None:
        # Arrow's allocator would start a thread when it is imported, and a process with threads is not safe to fork.
        os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")
        self._context = _context()
        if self._context.get_start_method() == "forkserver":
            with _without_ctrl_c():
                forkserver.ensure_running()  # so that its imports do not hold up the first run
        self._one_at_a_time = threading.Lock()

    def __call__(self, order: Order) -> ForkedChild:
        """The process that was started. Raises OSError where the system has no room for it."""
        process = self._context.Process(target=run_order, args=(order,), name=f"run-{order.sync}")
        with self._one_at_a_time:
            try:
                process.start()
            except EOFError as error:  # the process that forks has just died; the next start makes a new one
                raise OSError(f"the process that forks the runs is gone: {error}") from error
        return ForkedChild(process)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Nothing; a process that is started inside it ignores Ctrl-C, which on a terminal reaches every process.

    The process that forks ignores it by itself once its imports are done, and says so with a traceback before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _context() -> ForkServerContext | SpawnContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context
