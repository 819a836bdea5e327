"""A history on a clock that does not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connector.state import open_history

from .fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connector.state.history import History


@pytest.fixture
def clock() -> FakeClock:
    """New Year 2026."""
    return FakeClock()


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """Where the history is; it does not exist yet."""
    return tmp_path / "project" / ".connector"


@pytest.fixture
def history(state_dir: Path, clock: FakeClock) -> Iterator[History]:
    """A new history."""
    with open_history(state_dir, clock=clock, busy_timeout_s=0.2) as opened:
        yield opened
