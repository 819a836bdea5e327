"""A project that writes to a sandbox on a real port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.project import Scene, scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Scene]:
    """The project, in real time."""
    with scene(tmp_path / "project") as made:
        yield made
