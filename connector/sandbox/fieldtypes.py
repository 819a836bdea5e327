"""Which values fit a field's type, what is made of those that do not, and how times read back."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connector.ports import Json

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Letters, digits and underscore, no digit first (pendo-api.md 3.6, documented)."""

_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")
_SPACED = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)( ?[+-]\d\d:?\d\d| [A-Z]{3,4})?")
_DATE_ONLY = re.compile(r"\d{4}-\d\d-\d\d")
_WORDY = ("%a %b %d %Y", "%a %b %d %Y %H:%M:%S", "%a %b %d %Y %H:%M:%S %z", "%m/%d/%Y %I:%M%p")
_SECONDS_BELOW = 100_000_000_000  # an epoch number below this is taken as seconds: by magnitude, which is inferred


def fits(kind: str, value: Json, *, date_only: bool) -> bool:
    """Whether a field of that type takes the value; a field without a type takes anything."""
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return type(value) is int or (isinstance(value, float) and value.is_integer())
        case "float" | "number":
            return type(value) in (int, float)
        case "boolean":
            return isinstance(value, bool)
        case "list":
            return isinstance(value, list)
        case "time":
            return epoch_ms(value, date_only=date_only) is not None
        case _:
            return True


def coerced(kind: str, value: Json) -> Json:
    """A value that does not fit the type, made to fit; None when it cannot be."""
    match kind:
        case "string" if isinstance(value, bool):
            return str(value).lower()
        case "string" if isinstance(value, (int, float)):
            return str(value)
        case "list":
            return [value]
        case "boolean" if isinstance(value, str):
            return {"true": True, "false": False}.get(value.lower())
        case "integer" | "float" if isinstance(value, (str, float)):
            return _number(value, whole=kind == "integer")
        case _:
            return None


def type_of(value: Any) -> str:
    """The field type of a value that someone seeded."""
    names = {bool: "boolean", int: "integer", float: "float", list: "list"}
    return names.get(type(value), "string")


def epoch_ms(value: Json, *, date_only: bool) -> int | None:
    """Milliseconds since 1970 of a time in one of the forms Pendo documents (pendo-api.md 3.6); None for others."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return int(value * 1000) if abs(value) < _SECONDS_BELOW else int(value)
    if not isinstance(value, str):
        return None
    moment = _moment(value.strip(), date_only=date_only)
    if moment is None:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _moment(text: str, *, date_only: bool) -> datetime | None:
    spaced = _SPACED.fullmatch(text)
    if spaced:
        zone = (spaced[3] or "").strip()
        text = f"{spaced[1]}T{spaced[2]}{'' if zone.isalpha() else zone}"
    if _ISO.fullmatch(text) or (date_only and _DATE_ONLY.fullmatch(text)):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return None
    for form in _WORDY:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - the caller adds UTC where there is no zone
        except ValueError:
            continue
    return None


def _number(value: str | float, *, whole: bool) -> int | float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return int(number) if whole else number
