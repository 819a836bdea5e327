"""One row's JSON as a single SQL expression: `concat` over pieces of text, of which those that are NULL are left out.

One flat `concat` takes half the time of a `concat_ws` for each object. So nothing joins the members afterwards: each
label brings its own comma, and only as long as it is not certain that a member stands before it does the comma depend
on the row. A label and its value are two pieces, because to join them first would copy every value twice.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from connector.ports import Cell, Constant, Members, Nulls, SendTime, ValueType
from connector.values import json_text, quoted_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connector.ports import Template

UNSURE_MEMBERS = 40  # behind so many members that may all be missing, a comma is found out in another way


def json_dumps(value: object) -> str:
    """The value as compact JSON text; characters beyond ASCII stand as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def row_json(template: Template, staged: Mapping[Cell, tuple[str, ValueType]], send_time: str) -> str:
    """SQL for the template's JSON; NULL where a cell is, and where an object that may be left out has no member.

    `staged` says by cell where its value stands in SQL and what it is sent as; `send_time` is SQL for the time of
    sending in milliseconds.
    """
    return _Rendering(staged, send_time).value(template)


def after_comma(json: str) -> str:
    """SQL for what `row_json` made, with a comma before it."""
    start = "concat('"
    return f"{start},{json.removeprefix(start)}" if json.startswith(start) else f"',' || {json}"


class _Rendering:
    """The pieces of one row's JSON. Each is SQL for a text, or for NULL where it is left out."""

    def __init__(self, staged: Mapping[Cell, tuple[str, ValueType]], send_time: str) -> None:
        self._staged = staged
        self._send_time = send_time

    def value(self, template: Template) -> str:
        """SQL for the whole template as one text."""
        if not isinstance(template, Members):
            return self._plain(template)
        absent = self._absence(template)
        text = f"concat({', '.join(_merged([quoted_text('{'), *self._inside(template), quoted_text('}')]))})"
        return text if absent is None else f"CASE WHEN NOT ({absent}) THEN {text} END"

    def _plain(self, template: Cell | Constant | SendTime) -> str:
        match template:
            case Cell():
                sql, kind = self._staged[template]
                return json_text(sql, kind)
            case Constant(value):
                return quoted_text(json_dumps(value))
            case SendTime():
                return f"{self._send_time}::VARCHAR"

    def _absence(self, template: Template) -> str | None:
        """SQL that is true where the template is left out; None where it always stands."""
        if isinstance(template, Cell) and template.nulls is Nulls.OMIT and not template.required:
            return f"{self._staged[template][0]} IS NULL"
        if isinstance(template, Members) and template.drop_empty:
            parts = [self._absence(inner) for _, inner in template.members]
            return None if None in parts else " AND ".join(part for part in parts if part) or "true"
        return None

    def _inside(self, template: Members) -> Iterator[str]:
        """The members, with the commas between them."""
        if self._is_unsure(template):
            yield self._joined(template)
            return
        missing: list[str] | None = []  # what is true where no member stands so far; None: one does for certain
        for name, inner in template.members:
            absent = self._absence(inner)
            yield from self._member(json_dumps(name) + ":", inner, absent, missing)
            missing = None if absent is None or missing is None else [*missing, absent]

    def _member(self, label: str, inner: Template, absent: str | None, missing: list[str] | None) -> Iterator[str]:
        opening = "{" if isinstance(inner, Members) else ""
        bare, following = quoted_text(label + opening), quoted_text(f",{label}{opening}")
        head = following if missing is None else bare
        if missing:
            head = f"CASE WHEN {' AND '.join(missing)} THEN {bare} ELSE {following} END"
        yield head if absent is None else f"CASE WHEN NOT ({absent}) THEN {head} END"
        if isinstance(inner, Members):
            yield from self._inside(inner)
            yield quoted_text("}") if absent is None else f"CASE WHEN NOT ({absent}) THEN '}}' END"
        else:
            yield self._certain(inner) if absent is None else self._plain(inner)

    def _certain(self, inner: Cell | Constant | SendTime) -> str:
        """SQL for a member that always stands, whatever its value is; a row without a required one is never sent."""
        plain = self._plain(inner)
        if not isinstance(inner, Cell):
            return plain
        empty = "[]" if self._staged[inner][1] is ValueType.LIST else '""'
        return f"coalesce({plain}, '{empty if inner.nulls is Nulls.EMPTY else 'null'}')"

    def _is_unsure(self, template: Members) -> bool:
        """Whether so many members may all be missing that to ask for each of them would take longer than to join."""
        sure = next((at for at, (_, inner) in enumerate(template.members) if self._absence(inner) is None), None)
        return (len(template.members) if sure is None else sure) > UNSURE_MEMBERS

    def _joined(self, template: Members) -> str:
        parts = []
        for name, inner in template.members:
            is_certain = not isinstance(inner, Members) and self._absence(inner) is None
            value = self._certain(inner) if is_certain and not isinstance(inner, Members) else self.value(inner)
            parts.append(f"{quoted_text(json_dumps(name) + ':')} || {value}")
        return f"concat_ws(',', {', '.join(parts)})"


def _merged(pieces: list[str]) -> Iterator[str]:
    """The pieces, neighbouring literals as one."""
    waiting = ""
    for piece in pieces:
        is_literal = piece.startswith("'") and "'" not in piece[1:-1].replace("''", "") and piece.endswith("'")
        if is_literal:
            waiting = waiting[:-1] + piece[1:] if waiting else piece
            continue
        if waiting:
            yield waiting
            waiting = ""
        yield piece
    if waiting:
        yield waiting
