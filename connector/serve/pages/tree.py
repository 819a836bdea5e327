"""The calls that came of one call: its further attempts, and the parts it was split into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.state.windows import Line

WIDTH = 900.0
TALL = 20
_THINNEST = 1.5


@dataclass(slots=True)
class Branch:
    """A call and those that came of it; `x` and `width` are its rows on the drawing, `depth` its line."""

    line: Line
    here: bool
    depth: int
    x: float
    width: float
    branches: list[Branch] = field(default_factory=list)

    @property
    def what(self) -> str:
        """What it is to its parent, in a word."""
        if self.line.parent_id is None:
            return ""
        if self.line.is_part:
            return "part"
        return f"attempt {self.line.attempt}" if self.line.attempt > 1 else "replay"

    @property
    def kind(self) -> str:
        """The colour: what the reply meant."""
        if not self.line.answered:
            return "open"
        return (self.line.verdict or "open").replace("_", "-")


@dataclass(frozen=True, slots=True)
class Tree:
    """A family of calls. `all` are its branches from the first call on."""

    root: Branch
    all: tuple[Branch, ...]
    height: int

    @property
    def splits(self) -> int:
        """How many of the calls are parts of a refused one."""
        return sum(branch.line.is_part for branch in self.all)


def tree_of(family: Sequence[Line], here: int) -> Tree | None:
    """The family as a tree; None for a call that stands alone."""
    if len(family) < 2:  # noqa: PLR2004 - one call is no family
        return None
    first = family[0].first or 0
    scale = WIDTH / max(family[0].rows, 1)
    branches: dict[int, Branch] = {}
    for line in family:
        parent = None if line.parent_id is None else branches.get(line.parent_id)
        x = ((line.first or first) - first) * scale
        width = max(line.rows * scale - 1, _THINNEST)
        depth = 0 if parent is None else parent.depth + 1
        branch = branches[line.id] = Branch(line, line.id == here, depth, round(x, 2), round(width, 2))
        if parent is not None:
            parent.branches.append(branch)
    deepest = max(branch.depth for branch in branches.values())
    return Tree(branches[family[0].id], tuple(branches.values()), (deepest + 1) * TALL)
