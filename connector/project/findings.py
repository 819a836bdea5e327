"""What was found wrong while reading a project, collected so that all of it is reported at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from connector.errors import ConfigErrors, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# A shorter value is also a piece of ordinary words; our own sentences never hold one, see `Document.shown`.
TELLING = 6

FILES = ("connector.yml", ".env", "models/", "sync_configs/")


class Findings:
    """Errors and warnings in the order of the files. No value of the environment is ever in one of them."""

    def __init__(self) -> None:
        """Nothing is wrong yet."""
        self._errors: list[Problem] = []
        self._warnings: list[Problem] = []
        self._foreign: set[Problem] = set()
        self._hidden: dict[str, str] = {}

    def hide(self, name: str, value: str) -> None:
        """Nothing, after noting that `value` came from the environment variable `name` and is not to be shown."""
        if value:
            self._hidden[value] = name

    def error(self, message: str, slug: str, at: str, hint: str | None = None) -> None:
        """Nothing, after noting what is wrong."""
        self._errors.append(Problem(message, slug, at, hint))

    def warning(self, message: str, slug: str, at: str, hint: str | None = None) -> None:
        """Nothing, after noting what works but is probably not meant."""
        self._warnings.append(Problem(message, slug, at, hint))

    def foreign(self, kind: str, problem: Problem, at: str) -> None:
        """Nothing, after noting what another part found; `at` is where, when the problem does not say so itself.

        Its text is not ours, so even short values of the environment are taken out of it.
        """
        placed = Problem(problem.message, problem.slug, problem.at or at, problem.hint)
        self._foreign.add(placed)
        (self._warnings if kind == "warning" else self._errors).append(placed)

    def warnings(self) -> tuple[Problem, ...]:
        """The warnings, in the order of the files."""
        return self._told(self._warnings)

    def errors(self) -> tuple[Problem, ...]:
        """The errors, in the order of the files."""
        return self._told(self._errors)

    def stop_if_any(self) -> None:
        """Nothing when no error was found; otherwise raises ConfigErrors with all, in the order of the files."""
        if self._errors:
            raise ConfigErrors(self.errors())

    def _told(self, problems: list[Problem]) -> tuple[Problem, ...]:
        return tuple(self._without_values(problem) for problem in in_file_order(problems))

    def _without_values(self, problem: Problem) -> Problem:
        shortest = 1 if problem in self._foreign else TELLING
        hidden = {value: name for value, name in self._hidden.items() if len(value) >= shortest}
        hint = None if problem.hint is None else without(problem.hint, hidden)
        return Problem(without(problem.message, hidden), problem.slug, problem.at, hint)


def without(text: str, hidden: Mapping[str, str]) -> str:
    """The text with `${NAME}` in the place of each hidden value, also of one that Python has quoted."""
    written = {spelling: name for value, name in hidden.items() for spelling in (value, repr(value)[1:-1])}
    if not written:
        return text
    longest_first = sorted(written, key=len, reverse=True)
    found = re.compile("|".join(_whole(spelling) for spelling in longest_first))
    return found.sub(lambda match: f"${{{written[match.group()]}}}", text)


def _whole(spelling: str) -> str:
    # A short value is hidden where it stands as a word: "1" is no reason to take the 1 out of "10".
    escaped = re.escape(spelling)
    return escaped if len(spelling) >= TELLING else rf"(?<!\w){escaped}(?!\w)"


def in_file_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems in the order of the files, each once."""
    return tuple(dict.fromkeys(sorted(problems, key=_order)))


def _order(problem: Problem) -> tuple[int, str, int, int]:
    file, line, column = split(problem.at or "")
    rank = next((number for number, start in enumerate(FILES) if file.startswith(start)), len(FILES))
    return rank, file, line, column


def split(at: str) -> tuple[str, int, int]:
    """The parts of `file:line:col`; 0 for those that are not there."""
    match = re.fullmatch(r"(.*?)(?::(\d+))?(?::(\d+))?", at, re.DOTALL)
    file, line, column = match.groups(default="") if match else (at, "", "")
    return file, int(line or 0), int(column or 0)
