"""The project's files, read again when one of them has changed."""

from __future__ import annotations

import importlib.util
import zoneinfo
from typing import TYPE_CHECKING

import pytest

from connector.schedule.files import ProjectFiles
from tests.project.test_dbt import manifest, node

from .world import World, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    """A project with one sync."""
    with world(tmp_path / "p") as made:
        made.write("accounts", {"cron": "@daily", "timezone": "Europe/Berlin"})
        yield made


def files_of(place: World) -> ProjectFiles:
    return ProjectFiles(place.root, place.root / ".connector", {})


def test_files_that_did_not_change_are_not_read_again(place: World) -> None:
    files = files_of(place)
    first = files.read()

    assert files.read() is first
    assert set(first.syncs) == {"accounts"}
    assert (first.broken, first.problems) == ({}, ())

    place.write("more")

    assert set(files.read().syncs) == {"accounts", "more"}


@pytest.mark.parametrize("file", ["connector.yml", ".env", "models/accounts.sql", "sync_configs/accounts.yml"])
def test_each_file_counts(place: World, file: str) -> None:
    files = files_of(place)
    first = files.read()
    with (place.root / file).open("a", encoding="utf-8") as opened:
        opened.write("\n")

    assert files.read() is not first


def test_a_manifest_of_dbt_that_appears_mends_its_syncs(place: World) -> None:
    place.write("built", model={"dbt": "dim_accounts"})
    files = files_of(place)

    assert files.read().broken["built"].slug == "dbt-manifest-missing"

    (place.root / "target").mkdir()
    (place.root / "target/manifest.json").write_text(manifest(node()), encoding="utf-8")

    assert set(files.read().syncs) == {"accounts", "built"}


def test_what_a_sync_names_can_break_it(place: World) -> None:
    (place.root / "models/accounts.sql").write_text("select 1", encoding="utf-8")
    (place.root / "sync_configs/empty.yml").write_text("", encoding="utf-8")
    found = files_of(place).read()

    assert found.syncs == {}
    assert {name: problem.slug for name, problem in found.broken.items()} == {
        "accounts": "no-settings",
        "empty": "empty-file",
    }


def test_a_folder_without_a_project_says_so(tmp_path: Path) -> None:
    found = ProjectFiles(tmp_path).read()

    assert found.definition is None
    assert [problem.slug for problem in found.problems] == ["no-project"]


@pytest.mark.skipif(importlib.util.find_spec("tzdata") is not None, reason="there always is a database then")
def test_a_machine_without_time_zones_breaks_what_needs_one(place: World) -> None:
    place.write("plain", {"every": "1h"})
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    try:
        found = files_of(place).read()
    finally:
        zoneinfo.reset_tzpath()

    assert {name: problem.slug for name, problem in found.broken.items()} == {"accounts": "bad-schedule"}
    assert set(found.syncs) == {"plain"}
