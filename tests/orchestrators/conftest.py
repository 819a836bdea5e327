"""What the tests with real orchestrators share: a project, and `connector serve` on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.project import EVENT_SYNC, OBJECT_SYNC, Scene, scene
from tests.orchestrators.served import TOKEN, Served, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Scene]:
    """Twenty accounts and five events, and a sync for each."""
    with scene(tmp_path / "p") as made:
        made.accounts(20)
        made.events(5)
        made.write("account_health", OBJECT_SYNC)
        made.write("plan_upgrades", EVENT_SYNC)
        yield made


@pytest.fixture
def served(place: Scene) -> Iterator[Served]:
    """The project, served with a token."""
    with serving(place, TOKEN) as server:
        yield server
