"""docs/sandbox.md says what the code says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connector.project.environment import Environment
from connector.project.findings import Findings
from connector.project.places import read_mapping
from connector.sandbox import INTEGRATION_KEY, SWITCHES, TRACK_EVENT_SECRET, Fault, Sandbox, Seed
from connector.sandbox.control import control_app

if TYPE_CHECKING:
    from pydantic import BaseModel

PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"


def switch_rows() -> list[str]:
    return [
        f"| `{switch.name}` | {' · '.join(_code(word) for word in switch.words())} | {switch.description} |"
        for switch in SWITCHES
    ]


def _code(word: str) -> str:
    return word if " " in word else f"`{word}`"


def key_rows(model: type[BaseModel]) -> list[str]:
    return [f"| `{name}` | {field.description} |" for name, field in model.model_fields.items()]


@pytest.mark.parametrize("rows", [switch_rows(), key_rows(Fault), key_rows(Seed)], ids=["switches", "faults", "seed"])
def test_the_page_has_the_table(rows: list[str]) -> None:
    assert "\n".join(rows) in PAGE.read_text(), "\n".join(["docs/sandbox.md should hold:", *rows])


def test_the_page_has_no_switch_that_is_gone() -> None:
    listed = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    known = [*switch_rows(), *key_rows(Fault), *key_rows(Seed)]
    routes = {route.path for route in control_app(Sandbox()).routes if hasattr(route, "path")}
    paths = [line.split("`")[1].split()[-1] for line in listed if line not in known]

    assert set(paths) == routes


def test_the_example_file_is_one_that_the_sandbox_takes() -> None:
    example = PAGE.read_text().split("```yaml\n")[1].split("```")[0]
    findings = Findings()
    document = read_mapping(example, "sandbox.yml", Environment({}, findings), findings)
    findings.stop_if_any()
    assert document is not None
    box = Sandbox(seed=document.data)

    assert len(box.visitors) == 2
    assert box.switches.track_arrays == "single_only"
    assert [rule.status for rule in box.faults.rules] == [503, None]


def test_the_page_names_the_keys() -> None:
    text = PAGE.read_text()

    assert INTEGRATION_KEY in text
    assert TRACK_EVENT_SECRET in text
