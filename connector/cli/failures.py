"""Errors as people and programs read them: what, where, what to do; never a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.actions.figures import counted
from connector.cli.layout import Styled
from connector.cli.screen import BAD, DIM, STRONG, WARN
from connector.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.cli.layout import Part
    from connector.cli.screen import Stream
    from connector.errors import ConnectorError

SEVERITY = (130, 3, 1, 4, 2, 0)
"""Exit codes from the worst to the best."""


def worst(codes: Sequence[int]) -> int:
    """The exit code of several."""
    return min(codes, key=SEVERITY.index, default=0)


def show_problem(stream: Stream, problem: Problem, kind: str = "error") -> None:
    """Nothing, after the problem as `file:line:col: error: what [slug]` and its hint below."""
    parts: list[Part] = [Styled(f"{problem.at}: ", STRONG)] if problem.at else []
    parts += [Styled(f"{kind}: ", BAD if kind == "error" else WARN), problem.message, Styled(f" [{problem.slug}]", DIM)]
    stream.line(*parts, hang=4)
    if problem.hint:
        stream.line(Styled(f"hint: {problem.hint}", DIM), indent=4, hang=6)


def show_error(stream: Stream, error: ConnectorError) -> None:
    """Nothing, after every problem of the error, and their number where there are several."""
    problems = error.problems
    for problem in problems:
        show_problem(stream, problem)
    if len(problems) > 1:
        files = {problem.at.split(":")[0] for problem in problems if problem.at}
        where = f" in {counted(len(files), 'file')}" if files else ""
        stream.line(Styled(f"{counted(len(problems), 'problem')}{where}", STRONG), "; nothing was sent.")


def show_warnings(stream: Stream, warnings: Sequence[Problem]) -> None:
    """Nothing, after every warning."""
    for problem in warnings:
        show_problem(stream, problem, "warning")


def problem_json(problem: Problem) -> dict[str, Any]:
    """The problem as JSON values."""
    return {"slug": problem.slug, "message": problem.message, "at": problem.at, "hint": problem.hint}


def problem_of(written: Mapping[str, Any]) -> Problem:
    """The problem that the run history wrote down."""
    return Problem(written["message"], written["slug"], written.get("at"), written.get("hint"))


def error_json(error: ConnectorError) -> dict[str, Any]:
    """The document a failed command prints with --json."""
    first, *_ = error.problems
    return {"error": problem_json(first), "problems": [problem_json(problem) for problem in error.problems]}
