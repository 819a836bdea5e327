"""A row's JSON as it may be written down: the same SQL as for sending it, with hashes or masks for redacted values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.ports import Cell, Members, ValueType
from connector.rendering import row_json
from connector.values import bare_text, bare_texts, quoted_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connector.ports import Route, Template
    from connector.project.privacy import Redaction

SEND_TIME = "getvariable('send_time_ms')"


@dataclass(frozen=True, slots=True)
class Cover:
    """What may be written down of a row whose sync redacts some of its values.

    `fragments` (by route) and `texts` (the list of those values, as texts) are SQL over the staged columns; `kept` and
    `kept_texts` start from a row's JSON in the column `fragment`. They use the macros of `state.hiding`. `key` says
    which parts of the key are redacted, `id` whether the id is.
    """

    fragments: Mapping[str, str]
    texts: str
    kept: Mapping[str, str]
    kept_texts: str
    key: tuple[bool, ...]
    id: bool


def cover_of(
    routes: Sequence[Route],
    primary_key: Sequence[str],
    staged: Mapping[Cell, tuple[str, ValueType]],
    redaction: Redaction,
    id_cell: Cell | None,
) -> Cover:
    """The cover of a sync. `staged` says by cell where its value stands in SQL and what it is sent as."""
    hidden = [cell for cell in staged if redaction.hides(cell)]
    key = tuple(map(redaction.hides_column, primary_key))
    shown = dict(staged)
    for cell in hidden:
        # Where a key stays findable, so must the id that it usually is.
        macro = "hashed" if cell == id_cell else "redacted"
        shown[cell] = f"{macro}({bare_text(*staged[cell])})", ValueType.STRING
    telling = [cell for cell in hidden if staged[cell][1] is not ValueType.BOOLEAN]
    places = {cell: pointer for route in routes for cell, pointer in _pointers(route.template, "")}
    return Cover(
        fragments={route.name: row_json(route.template, shown, SEND_TIME) for route in routes},
        texts=_all_of([bare_texts(*staged[cell]) for cell in telling]),
        kept={route.name: _patched(route.template, frozenset(hidden)) for route in routes},
        kept_texts=_all_of([f"[fragment ->> {quoted_text(places[cell])}]" for cell in telling]),
        key=key,
        id=id_cell in hidden if id_cell is not None else any(key),
    )


def _all_of(lists: Sequence[str]) -> str:
    return f"list_concat({', '.join(['[]::VARCHAR[]', *lists])})"


def _pointers(template: Template, at: str) -> Iterator[tuple[Cell, str]]:
    """Every cell of a template with its place in the JSON, as RFC 6901 writes it."""
    if isinstance(template, Cell):
        yield template, at
    elif isinstance(template, Members):
        for name, inner in template.members:
            yield from _pointers(inner, f"{at}/{_escaped(name)}")


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def shown_json(template: Template, redaction: Redaction) -> str:
    """SQL for what may be written down of the JSON in the column `fragment`, which was rendered from this template."""
    return _patched(template, frozenset(cell for cell, _ in _pointers(template, "") if redaction.hides(cell)))


def _patched(template: Template, hidden: frozenset[Cell]) -> str:
    """SQL for the JSON in `fragment` with the hidden cells redacted. A member that it lacks stays away."""
    found = _patch(template, "", hidden)
    if isinstance(template, Cell):
        return f"to_json({found})::VARCHAR" if found else "fragment"
    return f"json_merge_patch(fragment, {found})::VARCHAR" if found else "fragment"


def _patch(template: Template, at: str, hidden: frozenset[Cell]) -> str | None:
    if isinstance(template, Cell):
        return f"redacted(fragment ->> {quoted_text(at)})" if template in hidden else None
    if not isinstance(template, Members):
        return None
    inner = [(name, _patch(member, f"{at}/{_escaped(name)}", hidden)) for name, member in template.members]
    parts = [f"{quoted_text(name)}, {patch}" for name, patch in inner if patch is not None]
    return f"json_object({', '.join(parts)})" if parts else None
