"""What the tests of whole runs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.project import FastClock, Scene, scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Scene]:
    """A project on a clock that runs thirty times faster; its sandbox follows the same clock."""
    with scene(tmp_path / "p", clock=FastClock()) as made:
        yield made


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Scene]:
    """A project on the real clock, for other processes to run."""
    with scene(tmp_path / "p") as made:
        yield made
