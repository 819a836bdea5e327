"""Ctrl-C and SIGTERM while a run goes on: the first finishes what is in flight, the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from connector.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CANCELLED = 130
SHOW_CURSOR = b"\x1b[?25h\n"
"""What a progress bar would have done at its end."""


@contextmanager
def stopping(stop: threading.Event, say: Callable[[], None] | None = None, *, abort: bool = False) -> Iterator[None]:
    """Nothing; inside it, the first signal sets `stop` and calls `say`, and the second ends the process.

    With `abort`, an error that comes after the first signal is the end of what was stopped: click.Abort.

    A thread does this, woken through a pipe: Python runs signal handlers in the main thread only, and only when that
    is not busy in DuckDB, and a handler may not take the locks that an event and a terminal need.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        while (received := os.read(reader, 1)) and received[0] != 0:
            if stop.is_set():
                if os.isatty(2):
                    os.write(2, SHOW_CURSOR)
                os._exit(CANCELLED)
            stop.set()
            if say is not None:
                say()

    before = {number: signal.signal(number, _left_to_the_thread) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, name="signals", daemon=True)
    watcher.start()
    try:
        yield
    except ConnectorError:
        if abort and stop.is_set():
            raise click.Abort from None
        raise
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(writer, b"\0")
        watcher.join()
        os.close(writer)
        os.close(reader)


@contextmanager
def terminating_like_interrupting() -> Iterator[None]:
    """Nothing; inside it, SIGTERM raises KeyboardInterrupt, as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _left_to_the_thread(*_: object) -> None:
    """The signal's number is in the pipe already."""
