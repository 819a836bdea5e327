"""`history:` of connector.yml: how much of the past is kept."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b)?", re.IGNORECASE)
_FACTORS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BINARY = {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^\d+(\.\d+)?\s*([kKmMgGtT]?[iI]?[bB])?$"},
        {"type": "null"},
    ]
}


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value.strip())
    if found is None:
        msg = "is no size such as 500MB or 5GB"
        raise ValueError(msg)
    unit = (found[2] or "b").lower()
    return int(float(found[1]) * (_FACTORS | _BINARY)[unit])


class HistorySettings(BaseModel):
    """How long runs, their calls and their rows are kept, and how much room they may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_days: int | None = Field(90, ge=1, description="days that a run is kept after its end; null keeps all")
    keep_bytes: Annotated[int | None, BeforeValidator(_bytes)] = Field(
        5_000_000_000,
        ge=0,
        description="the room that history.db and the row files may take, such as 5GB; null sets no limit",
        json_schema_extra=_SCHEMA,
    )
