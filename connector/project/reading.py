"""What every reader of a project needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection

    from connector.project.environment import Environment
    from connector.project.findings import Findings
    from connector.project.grammar import Grammar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reading:
    """The variables of `${NAME}`, DuckDB's grammar, and where to note what is wrong."""

    environment: Environment
    grammar: Grammar
    findings: Findings


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """The names that others may use, and what nothing is wrong with.

    A name whose own file is broken is known, so that only the cause is reported and not what follows from it. `names`
    is None when the file that lists them could not be read.
    """

    names: Collection[str] | None
    good: dict[str, T] = field(default_factory=dict)
