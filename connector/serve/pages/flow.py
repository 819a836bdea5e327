"""The two identities of a run as a drawing: from the rows that were queried to what became of each.

queried ─┬─ null key, duplicate key, unchanged
         └─ added, changed ─┬─ planned ─┬─ succeeded, skipped, rejected, ...
  (the snapshot) ─ removed ─┘           └─ ... and while a run goes on, what still waits
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH = 1180
_TALL = 190.0
_GAP = 12.0
_SLOT = 18.0  # a line of text
_THIN = 2.5
_BAR = 10.0
_TOP = 8.0
_X = (0.0, 300.0, 680.0, 1000.0)

LEFT_ALONE = ("null_key", "duplicate_key", "unchanged")
CHANGES = ("added", "changed", "removed")
OUTCOMES = ("succeeded", "skipped", "rejected", "in_doubt", "quarantined", "not_attempted")


@dataclass(frozen=True, slots=True)
class Node:
    """A bar with its name and number; `kind` gives the colour."""

    x: float
    y: float
    height: float
    name: str
    count: int
    kind: str


@dataclass(frozen=True, slots=True)
class Band:
    """What flows from one bar to the next, as the outline of a path."""

    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class Flow:
    """The drawing, `WIDTH` wide."""

    height: float
    nodes: tuple[Node, ...]
    bands: tuple[Band, ...]


def flow(rows: Mapping[str, int], outcomes: Mapping[str, int], waiting: int = 0) -> Flow | None:
    """The drawing of a run's counts; None when there is nothing to draw.

    `rows` are the counts of the plan, `outcomes` the rows by outcome, `waiting` those that have none yet. What was
    planned is drawn on a scale of its own, so that a few changes among millions of rows can be seen.
    """
    queried, planned = rows["queried"], sum(rows[change] for change in CHANGES)
    if queried + planned == 0:
        return None
    parts = [(name, rows[name]) for name in (*CHANGES[:2], "removed", *LEFT_ALONE) if rows[name]]
    ends = [(name, outcomes.get(name, 0)) for name in OUTCOMES if outcomes.get(name)]
    ends += [("waiting", waiting)] if waiting > 0 else []
    first_scale = _TALL / max(queried + rows["removed"], 1)
    last_scale = _TALL / max(planned, sum(count for _, count in ends), 1)
    second = _column(_X[1], parts, first_scale)
    last = _column(_X[3], ends, last_scale)
    nodes, bands = [*second, *last], []
    if queried:
        origin = Node(_X[0], _TOP, max(queried * first_scale, _THIN), "queried", queried, "queried")
        nodes.append(origin)
        bands += _spread(origin, [node for node in second if node.name != "removed"])
    if planned:
        middle = Node(_X[2], _TOP, max(planned * last_scale, _THIN), "planned", planned, "planned")
        nodes.append(middle)
        bands += _gather([node for node in second if node.name in CHANGES], middle)
        bands += _spread(middle, last)
    height = max(node.y + max(node.height, _SLOT) for node in nodes) + _TOP
    return Flow(round(height, 1), tuple(nodes), tuple(bands))


def _column(x: float, parts: list[tuple[str, int]], scale: float) -> list[Node]:
    nodes, y = [], _TOP
    for name, count in parts:
        height = max(count * scale, _THIN)
        nodes.append(Node(x, round(y, 1), round(height, 1), name, count, name.replace("_", "-")))
        y += max(height, _SLOT) + _GAP
    return nodes


def _spread(origin: Node, ends: list[Node]) -> list[Band]:
    return [
        Band(_outline(origin.x + _BAR, piece, end.x, (end.y, end.y + end.height)), end.kind)
        for end, piece in zip(ends, _pieces(origin, ends), strict=True)
    ]


def _gather(starts: list[Node], end: Node) -> list[Band]:
    return [
        Band(_outline(start.x + _BAR, (start.y, start.y + start.height), end.x, piece), start.kind)
        for start, piece in zip(starts, _pieces(end, starts), strict=True)
    ]


def _pieces(node: Node, others: list[Node]) -> list[tuple[float, float]]:
    """The node's side, divided as its neighbours divide it."""
    total, y, pieces = max(sum(other.count for other in others), 1), node.y, []
    for other in others:
        height = node.height * other.count / total
        pieces.append((y, y + height))
        y += height
    return pieces


def _outline(x0: float, left: tuple[float, float], x1: float, right: tuple[float, float]) -> str:
    bend = (x0 + x1) / 2
    (a, b), (c, d) = left, right
    return (
        f"M{x0:.1f} {a:.1f}C{bend:.1f} {a:.1f} {bend:.1f} {c:.1f} {x1:.1f} {c:.1f}"
        f"L{x1:.1f} {d:.1f}C{bend:.1f} {d:.1f} {bend:.1f} {b:.1f} {x0:.1f} {b:.1f}Z"
    )
