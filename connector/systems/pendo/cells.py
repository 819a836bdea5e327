"""What the user mapped, as cells and constants of a row's JSON."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from connector.ports import Cell, Constant, Nulls, ValueType
from connector.project.settings import FieldType

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.ports import Json, Template
    from connector.project.settings import ValueSpec

TEXTS = (ValueType.ID, ValueType.STRING)


def is_constant(spec: ValueSpec) -> bool:
    """True when the value is the same on every row."""
    return "value" in spec.model_fields_set


def is_left_out(spec: ValueSpec) -> bool:
    """True for a constant null that is omitted: nothing is ever sent for it."""
    return is_constant(spec) and spec.value is None and spec.nulls is Nulls.OMIT


def template(
    spec: ValueSpec,
    path: tuple[str, ...],
    at: Callable[..., str],
    *,
    becomes: ValueType | None = None,
    required: bool = False,
    never: tuple[str, ...] = (),
) -> Template:
    """The cell or constant of a mapped value.

    `path` is where it stands in the sync config; joined with dots it is the cell's label. `becomes` is what the value
    is sent as, whatever type the user names. Raises ValueError for a constant that does not fit its type.
    """
    if is_constant(spec):
        return Constant(constant(spec, becomes))
    kind = becomes or (ValueType(spec.type.value) if spec.type else None)
    nulls = Nulls.OMIT if required else spec.nulls
    return Cell(".".join(path), spec.column, spec.sql, kind, nulls, required, at(*path), never)


def constant(spec: ValueSpec, becomes: ValueType | None = None) -> Json:
    """The JSON of a constant. Raises ValueError when it does not fit what it is to be sent as."""
    value = spec.value
    if becomes is ValueType.EPOCH_MS:
        return round(_moment(value).timestamp() * 1000)
    if becomes in TEXTS:
        return _text(value)
    if value is None:
        return "" if spec.nulls is Nulls.EMPTY else None
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"{value} has no form in JSON"
        raise ValueError(msg)
    match spec.type:
        case FieldType.DATE:
            return f"{_day(value).isoformat()}T00:00:00Z"
        case FieldType.TIME:
            return _moment(value).isoformat().replace("+00:00", "Z")
        case _:
            return _fitting(value, spec.type)


def constant_type(spec: ValueSpec) -> ValueType | None:
    """What a constant is sent as: the type that the user names, else what it is; None for null and for objects."""
    if spec.type is not None:
        return ValueType(spec.type.value)
    if isinstance(spec.value, bool):
        return ValueType.BOOLEAN
    kinds = {str: ValueType.STRING, int: ValueType.INTEGER, float: ValueType.FLOAT, list: ValueType.LIST}
    return next((kind for python, kind in kinds.items() if isinstance(spec.value, python)), None)


def _fitting(value: Json, wanted: FieldType | None) -> Json:
    fits = {
        None: (str, int, float, list),
        FieldType.STRING: (str,),
        FieldType.INTEGER: (int,),
        FieldType.FLOAT: (int, float),
        FieldType.BOOLEAN: (bool,),
        FieldType.LIST: (list,),
    }[wanted]
    # In Python a boolean is a number; in Pendo it is not.
    if not isinstance(value, fits) or (isinstance(value, bool) and wanted not in (None, FieldType.BOOLEAN)):
        msg = f"{value!r} is not of type {wanted}" if wanted else f"{value!r} is an object, which no field can hold"
        raise ValueError(msg)
    return value


def _text(value: Json) -> str:
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    msg = f"{value!r} is not a text"
    raise ValueError(msg)


def _day(value: Json) -> date:
    if not isinstance(value, str):
        msg = f"{value!r} is not a date in ISO 8601"
        raise ValueError(msg)  # noqa: TRY004 - a wrong value in a file, not a wrong argument
    return date.fromisoformat(value)


def _moment(value: Json) -> datetime:
    if not isinstance(value, str):
        msg = f"{value!r} is not a time in ISO 8601"
        raise ValueError(msg)  # noqa: TRY004 - a wrong value in a file, not a wrong argument
    moment = datetime.fromisoformat(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
