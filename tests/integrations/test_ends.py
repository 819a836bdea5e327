"""How a run ended, as an orchestrator wants to know it."""

from __future__ import annotations

from typing import Any

import pytest

from connector.integrations.ends import End
from connector.ports import Change, Outcome


def result(status: str, *, error: dict[str, str] | None = None, **outcomes: int) -> dict[str, Any]:
    counted = {each.value: dict.fromkeys(map(str, Change), 0) for each in Outcome}
    for name, count in outcomes.items():
        counted[name]["added"] = count
    return {
        "run_id": "20260101T000000Z-ab12cd",
        "sync": "account_health",
        "status": status,
        "error": error,
        "rows": {"queried": 10, "added": sum(outcomes.values())},
        "outcomes": counted,
        "requests": {"sent": 2, "retried": 0, "split": 0},
    }


@pytest.mark.parametrize(
    ("status", "fail_on_warning", "good"),
    [
        ("success", False, True),
        ("success", True, True),
        ("warning", False, True),
        ("warning", True, False),
        ("failed", False, False),
        ("held", False, False),
        ("cancelled", False, False),
        ("interrupted", False, False),
    ],
)
def test_a_warning_is_good_unless_told_otherwise(status: str, fail_on_warning: bool, good: bool) -> None:
    assert End(result(status)).is_good(fail_on_warning=fail_on_warning) is good


def test_counts_are_flat() -> None:
    end = End(result("warning", succeeded=7, rejected=2, skipped=1))

    assert end.counts["queried"] == 10
    assert (end.counts["succeeded"], end.counts["rejected"], end.counts["skipped"]) == (7, 2, 1)
    assert end.counts["requests_sent"] == 2
    assert end.undelivered == 2


def test_a_run_that_never_began_has_no_counts() -> None:
    end = End(result("failed") | {"rows": None, "outcomes": None, "requests": None})

    assert end.counts == {}
    assert end.undelivered == 0


@pytest.mark.parametrize(("status", "code"), [("success", 0), ("warning", 2), ("held", 4), ("cancelled", 130)])
def test_the_exit_code_is_the_command_s(status: str, code: int) -> None:
    assert End(result(status)).exit_code == code
    assert End(result(status), exited=1).exit_code == 1


def test_the_sentence_says_what_and_why() -> None:
    why = {"slug": "held-max-removed", "message": "120 rows would be removed", "hint": "--force goes on"}

    assert End(result("success", succeeded=1)).sentence == "run 20260101T000000Z-ab12cd of 'account_health': success"
    assert End(result("warning", rejected=1200)).sentence.endswith("warning, 1,200 rows not delivered")
    assert End(result("held", error=why)).sentence.endswith("held: 120 rows would be removed (--force goes on)")
