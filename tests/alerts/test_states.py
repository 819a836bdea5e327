"""One message a change of state, whatever comes in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from connector.alerts.conditions import Finding
from connector.alerts.states import step, tell, unwatched

if TYPE_CHECKING:
    from connector.state.alerts import AlertState, Level


def found(level: Level) -> Finding:
    return Finding("slow", level, "it took long")


def walk(levels: list[Level], muted: list[bool] | None = None) -> tuple[list[str | None], AlertState | None]:
    """What was told at each step, and the last state."""
    state: AlertState | None = None
    said: list[str | None] = []
    for at, level in enumerate(levels):
        state, told = step("accounts", state, found(level), muted=bool(muted and muted[at]), now=float(at))
        said.append(None if told is None else told.change)
    return said, state


def test_each_change_is_told_once() -> None:
    said, state = walk(["ok", "warning", "warning", "critical", "critical", "warning", "ok", "ok"])

    assert said == [None, "warning", None, "critical", None, "warning", "recovered", None]
    assert state is not None
    assert (state.level, state.since, state.changed_at) == ("ok", 1.0, 6.0)


def test_nothing_is_known_of_what_was_never_wrong() -> None:
    assert walk(["ok", "ok"]) == ([None, None], None)


def test_trouble_began_when_it_first_became_a_warning() -> None:
    _, state = walk(["warning", "critical", "critical"])

    assert state is not None
    assert (state.since, state.changed_at) == (0.0, 1.0)


def test_what_came_and_went_while_muted_is_never_told() -> None:
    levels: list[Level] = ["warning", "critical", "ok", "warning", "warning"]
    said, _ = walk(levels, [True, True, True, False, False])

    assert said == [None, None, None, "warning", None]


def test_what_is_there_when_the_mute_ends_is_told_then() -> None:
    _, state = walk(["warning", "critical"], [True, True])
    assert state is not None
    after, told = tell(state, muted=False)

    assert told is not None
    assert (told.change, told.before, after.told) == ("critical", "ok", "critical")
    assert tell(after, muted=False) == (after, None)


def test_a_condition_that_nobody_wants_to_hear_of_any_more_recovers() -> None:
    _, state = walk(["critical"])
    assert state is not None

    assert [finding.level for finding in unwatched({"slow": state}, ("failed",))] == ["ok"]
    assert list(unwatched({"slow": state}, ("slow",))) == []
    assert list(unwatched({"slow": replace(state, level="ok")}, ())) == []


STEPS = st.lists(st.tuples(st.sampled_from(["ok", "warning", "critical"]), st.booleans()), max_size=30)


@given(STEPS)
def test_what_was_told_is_always_news_and_ends_with_the_truth(steps: list[tuple[Level, bool]]) -> None:
    state: AlertState | None = None
    told_last = "ok"
    for at, (level, muted) in enumerate(steps):
        state, told = step("accounts", state, found(level), muted=muted, now=float(at))
        if told is not None:
            assert not muted
            assert told.state.level == level != told_last
            told_last = level
        elif not muted:
            assert told_last == level

    assert state is None or state.told == told_last
