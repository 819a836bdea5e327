"""Calls and row outcomes, as people read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from connector.actions.figures import clock_time, counted, milliseconds, moment, number, size
from connector.cli.layout import Brief, Column, Styled, Table
from connector.cli.screen import BAD, DIM, GOOD, STRONG, WARN, compact, pretty
from connector.cli.show_run import OUTCOME_STYLE, spoken

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from connector.cli.layout import Part
    from connector.cli.screen import Stream
    from connector.state.calls import Call

VERDICTS = {"judged": "ok", "try_again": "try again", "not_attempted": "not attempted"}
VERDICT_STYLE = {"judged": GOOD, "refused": BAD, "try_again": WARN, "unknown": WARN, "fault": BAD}
_CLIENT_ERROR = 400


def call_columns() -> list[Column]:
    """The columns of a table of calls."""
    return [
        Column("call", align="right"),
        Column("at (UTC)", drop=1),
        Column("request", give="middle", least=29),
        Column("rows", align="right"),
        Column("status", align="right"),
        Column("took", align="right"),
        Column("verdict", give="end", least=13),
    ]


def calls_table(calls: Iterable[Call]) -> Table:
    """The calls, one a line."""
    table = Table(call_columns())
    for call in calls:
        table.add(*call_cells(call))
    return table


def call_cells(call: Call) -> list[Part]:
    """One call's line."""
    return [
        str(call.id),
        Styled(clock_time(call.started_at), DIM),
        f"{call.method} {short_url(call.url)}",
        number(call.rows) if call.rows else "",
        _status(call),
        milliseconds(call.ms),
        _verdict(call),
    ]


def call_line(call: Call) -> list[Part]:
    """One call as a line of its own, for calls that are shown one by one."""
    number_, at, request, rows, status, took, verdict = call_cells(call)
    carried = f"  {rows} rows" if rows else ""
    return [f"{number_:>5}  ", at, "  ", status, f"  {took:>8}  {request}{carried}  ", verdict]


def short_url(url: str) -> str:
    """The address without its host, which is the same on every line."""
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _status(call: Call) -> Part:
    if call.status is None:
        return Styled("none", WARN)
    return Styled(str(call.status), BAD if call.status >= _CLIENT_ERROR else GOOD)


def _verdict(call: Call) -> Part:
    words = VERDICTS.get(call.verdict or "", call.verdict) or ("" if call.answered else "no answer yet")
    if call.attempt > 1:
        words = f"{words}, attempt {call.attempt}"
    reason = call.reason or call.error
    text = f"{words}: {reason}" if reason else words if call.rows or call.attempt > 1 else call.purpose
    return Styled(text, VERDICT_STYLE[call.verdict]) if call.verdict in VERDICT_STYLE and reason else text


def show_call(stream: Stream, call: Call) -> None:
    """Nothing, after everything that is known of one call: the request, the reply, and what it meant."""
    stream.line(Styled(f"call {call.id}", STRONG), f" of run {call.run_id}, {moment(call.started_at)}")
    about = [call.purpose, f"attempt {call.attempt}"]
    if call.rows:
        which = f"number {call.first}" if call.rows == 1 else f"numbers {call.first} to {(call.stop or 0) - 1}"
        about.append(f"{counted(call.rows, 'row')} ({which} of the plan)")
    if call.route:
        about.append(f"route {call.route}")
    if call.parent_id is not None:
        about.append(f"after call {call.parent_id}")
    stream.line(", ".join(about), indent=2)
    stream.line()
    stream.line(Styled(f"{call.method} {call.url}", STRONG))
    _show_message(stream, call.request_headers, call.request_body, call.request_bytes, call.bodies)
    stream.line()
    if call.status is None:
        stream.line(Styled(f"no reply: {call.error or 'none came yet'}", WARN))
    else:
        stream.line(_status(call), Styled(f"  {milliseconds(call.ms)}", DIM))
        _show_message(stream, call.response_headers or {}, call.response_body, call.response_bytes or 0, call.bodies)
    if call.verdict or call.reason:
        stream.line()
        said = f": {call.reason}" if call.reason else ""
        stream.line(
            Styled("verdict ", DIM), f"{VERDICTS.get(call.verdict or '', call.verdict or 'none')}{said}", hang=4
        )


def _show_message(
    stream: Stream, headers: Mapping[str, str], body: str | None, size_bytes: int, bodies: str | None
) -> None:
    for name, value in headers.items():
        stream.line(Styled(f"{name}: ", DIM), value, indent=2, hang=4)
    if not body:
        why = ": store_payloads is off" if bodies == "off" else ""
        stream.line(Styled("no body" if not size_bytes else f"{size(size_bytes)}, not kept{why}", DIM), indent=2)
        return
    redacted = ", without what the sync redacts" if bodies == "redacted" else ""
    stream.line(Styled(size(size_bytes) + redacted, DIM), indent=2)
    try:
        parsed = json.loads(body)
    except ValueError:
        stream.raw(body)
        return
    stream.json_text(pretty(parsed), indent=2)


def rows_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows' outcomes, one a line: with the reason, or else with what was sent."""
    table = Table(
        [
            Column("key", give="wrap", least=16),
            Column("change"),
            Column("outcome"),
            Column("call", align="right", drop=2),
            Column("tries", align="right", drop=1),
            Column("reason, or what was sent", give="wrap", least=24),
        ]
    )
    for row in rows:
        table.add(
            row["key"],
            row["change"],
            Styled(spoken(row["outcome"]), OUTCOME_STYLE.get(row["outcome"], "")),
            "" if row["call_id"] is None else str(row["call_id"]),
            str(row["attempts"]) if row["attempts"] else "",
            row["reason"] or Brief("" if row["payload"] is None else compact(row["payload"])),
        )
    return table


def show_row(stream: Stream, row: Mapping[str, Any]) -> None:
    """Nothing, after everything about one row's outcome."""
    stream.line(
        Styled(row["key"], STRONG),
        f"  {row['change']}, ",
        Styled(spoken(row["outcome"]), OUTCOME_STYLE.get(row["outcome"], "")),
        f" after {counted(row['attempts'], 'request')}" if row["attempts"] else "",
    )
    if row["reason"]:
        stream.line(row["reason"], indent=2, hang=2)
    if row["payload"] is not None:
        stream.line(Styled("as sent:", DIM), indent=2)
        stream.json_text(pretty(row["payload"]), indent=2)
