"""Every error a user can meet, as one tree.

    ConnectorError
    ├── ConfigError        wrong use or configuration; nothing was sent            exit 1
    │   └── ConfigErrors   several of them at once                                 exit 1
    ├── BusyError          another run of this sync holds its state                exit 1
    ├── SourceError        the warehouse refused, broke off or timed out           exit 3
    ├── DestinationError   the destination refused the sync as a whole             exit 3
    ├── StateError         the state directory cannot be read or written           exit 3
    ├── HeldError          a guardrail held the run; nothing was sent              exit 4
    └── CountsError        the counts of a run do not add up: a defect here        exit 3

An error says what, where and what to do: `message`, `at` and `hint` are fields of their own, so that each renderer
can lay them out. `slug` names the error for scripts and is a heading of docs/errors.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the sentence, its slug, `file:line:col` where there is one, and what to do."""

    message: str
    slug: str
    at: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        """The problem on one line, the hint behind it."""
        text = f"{self.at}: {self.message}" if self.at else self.message
        return f"{text} ({self.hint})" if self.hint else text


class ConnectorError(Exception):
    """An error that a user can act on."""

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, slug: str, at: str | None = None, hint: str | None = None) -> None:
        """Keep the parts apart; `str()` joins them."""
        self.problem = Problem(message, slug, at, hint)
        super().__init__(str(self.problem))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All the problems this error stands for, in the order of the files."""
        return (self.problem,)


class ConfigError(ConnectorError):
    """Wrong use or configuration. Nothing was sent."""

    exit_code = 1


class ConfigErrors(ConfigError):
    """Several configuration problems, reported together."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """Keep every problem; the first one gives the slug."""
        first = problems[0]
        super().__init__(first.message, slug=first.slug, at=first.at, hint=first.hint)
        self._problems = problems

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them."""
        return self._problems

    def __str__(self) -> str:
        """One problem a line."""
        return "\n".join(str(problem) for problem in self._problems)


class BusyError(ConnectorError):
    """Another process holds this sync."""

    exit_code = 1


class SourceError(ConnectorError):
    """The warehouse refused, broke off or timed out."""


class DestinationError(ConnectorError):
    """The destination refused the sync as a whole, or cannot be reached."""


class StateError(ConnectorError):
    """The state directory cannot be read or written."""


class HeldError(ConnectorError):
    """A guardrail held the run. Nothing was sent."""

    exit_code = 4


class CountsError(ConnectorError):
    """The counts of a run do not add up. This is a defect of the connector, reported instead of hidden."""
