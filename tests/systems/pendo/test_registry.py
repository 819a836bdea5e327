from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from connector.systems import DESTINATIONS, SOURCES
from connector.systems.pendo.events import EventDestination
from connector.systems.pendo.objects import ObjectDestination
from connector.systems.pendo.settings import PendoSettings
from tests.systems.pendo import given

if TYPE_CHECKING:
    from pathlib import Path

    from connector.ports import Destination, DestinationSystem, SourceSystem


def test_the_registry_imports_no_system() -> None:
    program = (
        "import sys, connector.systems as s; "
        "loaded = [m for m in sys.modules if m.startswith('connector.systems.') or m in ('httpx', 'duckdb')]; "
        "assert loaded == [], loaded; assert s.DESTINATIONS['pendo'].settings().__name__ == 'PendoSettings'"
    )

    subprocess.run([sys.executable, "-c", program], check=True)


def test_each_type_has_a_system() -> None:
    sources: list[SourceSystem] = list(SOURCES.values())
    destinations: list[DestinationSystem] = list(DESTINATIONS.values())

    assert len(sources) == len(SOURCES)
    assert len(destinations) == len(DESTINATIONS)
    assert DESTINATIONS["pendo"].settings() is PendoSettings


def test_a_source_is_opened_without_connecting(tmp_path: Path) -> None:
    duckdb = SOURCES["duckdb"]
    settings = duckdb.settings().model_validate({"type": "duckdb", "path": "warehouse.duckdb"})

    duckdb.open(settings, tmp_path).close()

    assert list(tmp_path.iterdir()) == []


def test_a_destination_says_what_its_login_may_do() -> None:
    without_secrets = given.settings(integration_key=None, track_event_secret=None)
    said, asked = given.drive(DESTINATIONS["pendo"].check(without_secrets), [])

    assert said == "neither integration_key nor track_event_secret is set"
    assert asked == []


def test_a_sync_opens_the_destination_of_its_kind() -> None:
    pendo = DESTINATIONS["pendo"]
    objects: Destination = pendo.open(given.settings(), given.object_sync(), at=given.at, learned={})
    events: Destination = pendo.open(given.settings(), given.event_sync(), at=given.at, learned={})

    assert isinstance(objects, ObjectDestination)
    assert isinstance(events, EventDestination)
    assert objects.secrets == events.secrets == (given.KEY, given.SECRET)


def test_problems_are_asked_through_the_registry() -> None:
    problems = DESTINATIONS["pendo"].problems(given.settings(), given.object_sync(fields={}), given.at)

    assert [(kind, problem.slug) for kind, problem in problems] == [("error", "no-fields")]


def test_the_network_side_can_be_had_alone() -> None:
    connection = DESTINATIONS["pendo"].connect(given.settings())

    assert connection.secrets == (given.KEY, given.SECRET)
    connection.close()


def test_settings_and_syncs_of_another_system_are_a_defect() -> None:
    pendo = DESTINATIONS["pendo"]

    with pytest.raises(TypeError, match="ObjectSync"):
        pendo.connect(given.object_sync())
    with pytest.raises(TypeError, match="PendoSettings"):
        pendo.problems(given.settings(), given.settings(), given.at)
