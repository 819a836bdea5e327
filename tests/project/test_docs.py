"""The pages have a row for each setting, with the default that the code has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from connector.project.alert_settings import CHANNELS
from connector.project.history_settings import HistorySettings
from connector.project.logs_settings import LogsSettings
from connector.project.schedule_settings import Schedule
from connector.project.serve_settings import ServeSettings
from connector.project.settings import (
    BatchSpec,
    ContextSpec,
    DbtModel,
    DbtSettings,
    EventSync,
    FieldSpec,
    Guardrails,
    ModelSettings,
    ObjectFields,
    ObjectSync,
    ProjectSettings,
)
from connector.project.telemetry_settings import TelemetrySettings
from connector.systems.pendo.settings import PendoSettings
from connector.systems.warehouse import duckdb, postgres, snowflake, sqlalchemy

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

DOCS = Path(__file__).parents[2] / "docs"
CELL = re.compile(r"(?<!\\)\|")


def rows(page: str) -> dict[str, str]:
    """The second cell of each table row of the page by each name in its first cell."""
    found: dict[str, str] = {}
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in CELL.split(line)[1:-1]]
        for name in re.findall(r"`([\w.]+)`", cells[0]) if len(cells) > 1 else []:
            found.setdefault(name, cells[1])
    return found


def fields(model: type[BaseModel], before: str = "") -> list[tuple[str, FieldInfo]]:
    return [(f"{before}{field.alias or name}", field) for name, field in model.model_fields.items()]


def default(field: FieldInfo) -> str | None:
    """The default as the page has it, or None where there is none, or where it is more than one word."""
    value: Any = field.get_default(call_default_factory=True)
    if field.is_required() or value is None or isinstance(value, (BaseModel, tuple, dict)):
        return None
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


TABLES = [
    ("project.md", ProjectSettings, "", ()),
    ("project.md", ServeSettings, "", ()),
    ("syncs.md", ObjectSync, "", ("batch", "fields")),
    ("syncs.md", BatchSpec, "batch.", ()),
    ("syncs.md", ObjectFields, "fields.", ()),
    ("syncs.md", Guardrails, "", ()),
    ("syncs.md", FieldSpec, "", ()),
    ("syncs.md", EventSync, "", ("batch", "context", "mode")),
    ("syncs.md", ContextSpec, "context.", ()),
    ("schedules.md", Schedule, "", ()),
    ("dbt.md", DbtModel, "", ()),
    ("pendo.md", PendoSettings, "", ("type",)),
    ("warehouses/duckdb.md", duckdb.Settings, "", ("type",)),
    ("warehouses/postgres.md", postgres.Settings, "", ("type", "timeouts")),
    ("warehouses/snowflake.md", snowflake.Settings, "", ("type", "timeouts")),
    ("warehouses/sqlalchemy.md", sqlalchemy.Settings, "", ("type", "timeouts")),
]


@pytest.mark.parametrize(("page", "model", "before", "elsewhere"), TABLES)
def test_each_setting_has_a_row_with_its_default(
    page: str, model: type[BaseModel], before: str, elsewhere: tuple[str, ...]
) -> None:
    known = rows(page)
    wanted = [(name, default(field)) for name, field in fields(model, before) if name not in elsewhere]
    wrong = [
        f"{name}: {known.get(name)} instead of {value}"
        for name, value in wanted
        if name not in known or (value is not None and value not in known[name])
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("page", "model"),
    [
        ("log.md", HistorySettings),
        ("operations.md", TelemetrySettings),
        ("warehouse-logs.md", LogsSettings),
        ("dbt.md", DbtSettings),
        ("syncs.md", ModelSettings),
        *(("alerts.md", channel) for channel in CHANNELS.values()),
    ],
)
def test_each_setting_stands_in_code_on_its_page(page: str, model: type[BaseModel]) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    code = "\n".join(
        [*re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL), *re.findall(r"`([^`\n]+)`", text)]
    )
    code += "\n".join(re.findall(r"^    .*$", text, re.MULTILINE))

    assert [name for name, _ in fields(model) if not re.search(rf"\b{name}\b", code)] == []
