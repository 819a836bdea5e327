"""The page at `/`: what the sandbox holds, on one screen, without a script."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from connector.sandbox.switches import SWITCHES

if TYPE_CHECKING:
    from connector.sandbox.sandbox import Sandbox
    from connector.sandbox.state import Objects

LONGEST_TEXT = 300

_environment = Environment(
    loader=PackageLoader("connector.sandbox"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


def page(sandbox: Sandbox, rows: int) -> str:
    """The page as HTML, with at most `rows` rows in each table; the newest events and requests come first."""
    with sandbox.lock:
        return _environment.get_template("page.html").render(
            rows=rows,
            clock=_moment(sandbox.now()),
            write_access=sandbox.keys.write_access,
            counts=sandbox.counts(),
            by_status=sandbox.log.by_status(),
            kinds=[
                _kind("Visitors", sandbox.visitors, sandbox.fields("visitor"), sandbox.do_not_process("visitor"), rows),
                _kind("Accounts", sandbox.accounts, sandbox.fields("account"), sandbox.do_not_process("account"), rows),
                _kind(
                    "Parent accounts",
                    sandbox.parent_accounts,
                    sandbox.fields("parent_account"),
                    sandbox.do_not_process("parent_account"),
                    rows,
                ),
            ],
            events=[_event(event) for event in islice(reversed(sandbox.state.events), rows)],
            requests=[_request(entry) for entry in islice(reversed(sandbox.log.calls), rows)],
            deletions=[
                {"id": each.id, "kind": each.kind, "status": each.status(sandbox.now()), "count": len(each.ids)}
                for each in islice(reversed(sandbox.deletions), rows)
            ],
            faults=[(rule.name(), _text(rule.document())) for rule in sandbox.faults.rules],
            switches=_switches(sandbox.switches.as_dict()),
        )


def _kind(
    title: str, objects: Objects, fields: dict[str, dict[str, str]], blocked: list[str], rows: int
) -> dict[str, Any]:
    """One kind's table: a column for each agent and custom field."""
    columns = [(group, key, fields[group][key]) for group in ("agent", "custom") for key in fields[group]]
    shown = [(each, objects[each]) for each in islice(objects, rows)]
    return {
        "title": title,
        "total": len(objects),
        "columns": columns,
        "blocked": set(blocked),
        "rows": [
            (each, [_cell(metadata.get(group, {}), key) for group, key, _ in columns]) for each, metadata in shown
        ],
    }


def _cell(values: dict[str, Any], key: str) -> str | None:
    return _text(values[key]) if key in values else None


def _event(event: Any) -> dict[str, Any]:
    state = "processed" if event.processed else "waiting"
    body = event.body
    return {
        "call": event.call,
        "event": body.get("event"),
        "visitor": body.get("visitorId"),
        "account": body.get("accountId"),
        "timestamp": _moment(body["timestamp"] / 1000) if 0 <= body["timestamp"] < 10**14 else body["timestamp"],
        "properties": _text(body.get("properties") or {}),
        "state": event.dropped or state,
        "dropped": event.dropped is not None,
    }


def _request(entry: Any) -> dict[str, Any]:
    return {
        "number": entry.number,
        "at": _moment(entry.at),
        "call": f"{entry.method} {entry.path}" + (f"?{entry.query}" if entry.query else ""),
        "rows": entry.rows,
        "size": entry.size_bytes,
        "status": entry.status or ("no answer" if entry.finished else "open"),
        "failed": entry.status is None or entry.status >= 400,  # noqa: PLR2004 - where HTTP's errors begin
        "applied": entry.applied,
        "ms": f"{entry.ms:.1f}",
        "note": ", ".join(part for part in (entry.fault, entry.note) if part),
        "body": None if entry.body is None else _short(entry.body.decode(errors="replace")),
        "answer": _short(entry.answer.decode(errors="replace")),
    }


def _switches(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Every switch; those that are not at their default come first."""
    listed = [
        {
            "name": switch.name,
            "value": str(values[switch.name]).lower(),
            "changed": values[switch.name] != switch.default,
            "values": switch.words(),
            "description": switch.description,
        }
        for switch in SWITCHES
    ]
    return sorted(listed, key=lambda switch: not switch["changed"])


def _text(value: Any) -> str:
    return _short(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
