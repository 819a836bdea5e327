"""What counts as sent is in one Pendo: a sync that goes to another one says so, before and while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, Scene, scene

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = "https://pendo.example.com"  # nothing is sent, so nothing is there


def cautions(place: Scene, sync: str) -> tuple[list[str], list[str]]:
    """What a plan says, and then a run."""
    with place.project() as project:
        planned = [caution.message for caution in project.plan(sync).warnings]
        ran = [str(caution["message"]) for caution in project.run(sync).run.warnings]
    return planned, ran


def test_a_sync_that_goes_elsewhere_says_so_once(tmp_path: Path) -> None:
    with scene(tmp_path / "p") as place:
        place.write(ACCOUNTS, OBJECT_SYNC)
        place.write(EVENTS, EVENT_SYNC)
        place.accounts(3)
        place.run(ACCOUNTS)
        quiet = cautions(place, ACCOUNTS)
        place.point_at(ELSEWHERE)
        moved = [cautions(place, ACCOUNTS), cautions(place, ACCOUNTS)]
        place.point_at(ELSEWHERE, track_event_secret="another")
        other_secret = cautions(place, ACCOUNTS)
        place.point_at(ELSEWHERE, integration_key="another")
        other_key = cautions(place, ACCOUNTS)

    said = f"'accounts' sends to {ELSEWHERE}, until now this machine: 3 rows went there and count as sent"
    assert quiet == ([], [])
    assert moved == [([said], [said]), ([], [])]
    assert other_secret == ([], [])
    assert "with another key than before" in other_key[1][0]


def test_after_a_reset_nothing_was_sent_anywhere(tmp_path: Path) -> None:
    with scene(tmp_path / "p") as place:
        place.write(ACCOUNTS, OBJECT_SYNC)
        place.accounts(3)
        place.run(ACCOUNTS)
        place.point_at(ELSEWHERE)
        with place.project() as project:
            project.reset(ACCOUNTS)
            planned = project.plan(ACCOUNTS)

    assert (planned.counts.added, planned.warnings) == (3, ())
