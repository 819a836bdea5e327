"""POST /api/v1/aggregation: the part of Pendo's pipelines that reading back ids and fields needs.

Source: pendo-api.md 5.2. Sources: visitors, accounts, doNotProcessVisitors, doNotProcessAccounts, trackTypes,
trackEvents. Operators: identified, filter, select, sort, limit, skip, count. Everything else gets 400.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.sandbox.calls import Refusal, json_answer, parsed
from connector.sandbox.expressions import at_path, compiled
from connector.sandbox.reading import track_type_id
from connector.sandbox.state import DAY_S
from connector.sandbox.values import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from connector.sandbox.calls import Answer, Call
    from connector.sandbox.expressions import Row
    from connector.sandbox.state import State

_PERIOD_MS = {"dayRange": int(DAY_S * 1000), "hourRange": 3_600_000}
_ANONYMOUS = "_PENDO_T_"


def run(state: State, call: Call) -> Answer:
    """The rows that come out of the pipeline; 400 for one that the sandbox does not know."""
    document = parsed(call)
    request = document.get("request") if isinstance(document, dict) else None
    pipeline = request.get("pipeline") if isinstance(request, dict) else None
    if not isinstance(pipeline, list) or not pipeline or not all(_is_step(step) for step in pipeline):
        raise Refusal(400, "request.pipeline is not a list of steps")
    now_ms = int(state.now() * 1000)
    (first, options), *steps = (next(iter(step.items())) for step in pipeline)
    if first != "source" or not isinstance(options, dict):
        raise Refusal(400, "the pipeline does not start with a source")
    rows = _source(state, options, now_ms)
    for name, options in steps:
        if name not in _OPERATORS:
            raise Refusal(400, f"the sandbox does not know the operator {name}")
        rows = _OPERATORS[name](rows, options, now_ms)
    return json_answer({"results": rows, "startTime": now_ms})


def _is_step(step: Any) -> bool:
    return isinstance(step, dict) and len(step) == 1


def _source(state: State, options: dict[str, Any], now_ms: int) -> list[Row]:
    if "visitors" in options:
        return _objects(state, "visitor")
    if "accounts" in options:
        return _objects(state, "account")
    if "doNotProcessVisitors" in options:
        return [{"visitorId": each} for each in state.do_not_process["visitor"]]
    if "doNotProcessAccounts" in options:
        return [{"accountId": each} for each in state.do_not_process["account"]]
    if "trackTypes" in options:
        return [{"id": track_type_id(name), "name": name} for name in state.track_types]
    if "trackEvents" in options:
        start, end = _window(options.get("timeSeries"), now_ms)
        return [row for row in _events(state) if start <= row["firstTime"] < end]
    raise Refusal(400, f"the sandbox does not know the source {', '.join(options) or 'none'}")


def _objects(state: State, kind: str) -> list[Row]:
    held = state.objects[kind].held
    return [{f"{kind}Id": each, "metadata": shown(state, kind, metadata)} for each, metadata in held.items()]


def _events(state: State) -> list[Row]:
    return [
        {
            "visitorId": event.body["visitorId"],
            "accountId": event.body.get("accountId", ""),
            "trackTypeId": track_type_id(event.body["event"]),
            "server": "__apitrackevent__",
            "numEvents": 1,
            "firstTime": event.body["timestamp"],
            "lastTime": event.body["timestamp"],
            "properties": event.body.get("properties") or {},
        }
        for event in state.events
        if event.processed
    ]


def _window(series: Any, now_ms: int) -> tuple[int, int]:
    """First (included) and last (excluded) epoch millisecond of a time series; a negative count goes back."""
    if not isinstance(series, dict) or series.get("period") not in _PERIOD_MS:
        raise Refusal(400, "trackEvents needs a timeSeries with period, first, and count or last")
    first, last = _time(series.get("first"), now_ms), series.get("last")
    if last is not None:
        return first, _time(last, now_ms)
    count = series.get("count")
    if type(count) is not int:
        raise Refusal(400, "timeSeries.count is not a number")
    span = count * _PERIOD_MS[series["period"]]
    return min(first, first + span), max(first, first + span)


def _time(written: Any, now_ms: int) -> int:
    value = compiled(written, now_ms)({}) if isinstance(written, str) else written
    if type(value) is not int:
        raise Refusal(400, f"{written!r} is not a time")
    return value


def _identified(rows: list[Row], key: Any, _now_ms: int) -> list[Row]:
    values = ((row, at_path(row, str(key))) for row in rows)
    return [row for row, value in values if value and not str(value).startswith(_ANONYMOUS)]


def _filter(rows: list[Row], source: Any, now_ms: int) -> list[Row]:
    expression = compiled(source, now_ms)
    return [row for row in rows if expression(row)]


def _select(rows: list[Row], columns: Any, now_ms: int) -> list[Row]:
    if not isinstance(columns, dict):
        raise Refusal(400, "select is not an object")
    expressions = {name: compiled(source, now_ms) for name, source in columns.items()}
    selected = ({name: expression(row) for name, expression in expressions.items()} for row in rows)
    return [{name: value for name, value in row.items() if value is not None} for row in selected]


def _sort(rows: list[Row], keys: Any, _now_ms: int) -> list[Row]:
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Refusal(400, "sort is not a list of fields")
    for key in reversed(keys):
        path = key.removeprefix("-")
        rows = sorted(rows, key=lambda row: _ordered(at_path(row, path)), reverse=key.startswith("-"))
    return rows


def _ordered(value: Any) -> tuple[int, float, str]:
    """A key that puts missing values first, then numbers, then text."""
    if value is None:
        return 0, 0.0, ""
    return (1, value, "") if isinstance(value, (int, float)) else (2, 0.0, str(value))


def _limit(rows: list[Row], most: Any, _now_ms: int) -> list[Row]:
    return rows[: _whole(most)]


def _skip(rows: list[Row], first: Any, _now_ms: int) -> list[Row]:
    return rows[_whole(first) :]


def _count(rows: list[Row], _options: Any, _now_ms: int) -> list[Row]:
    return [{"count": len(rows)}]


def _whole(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise Refusal(400, f"{number!r} is not a number of rows")
    return number


_OPERATORS: Mapping[str, Callable[[list[Row], Any, int], list[Row]]] = {
    "identified": _identified,
    "filter": _filter,
    "select": _select,
    "sort": _sort,
    "limit": _limit,
    "skip": _skip,
    "count": _count,
}
