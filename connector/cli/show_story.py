"""Everything that ever happened to a row, and calls as a tree, as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.actions.figures import milliseconds, number
from connector.cli.layout import Brief, Column, Styled, Table
from connector.cli.screen import DIM, STRONG, compact
from connector.cli.show_log import VERDICT_STYLE, VERDICTS, short_url
from connector.cli.show_run import OUTCOME_STYLE, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connector.cli.screen import Stream
    from connector.state.windows import Line


def show_story(stream: Stream, story: Mapping[str, Any]) -> None:
    """Nothing, after the entries of a story, the newest first."""
    for at, entry in enumerate(story["entries"]):
        if at:
            stream.line()
        outcome = Styled(spoken(entry["outcome"]), OUTCOME_STYLE.get(entry["outcome"], ""))
        run = Styled(f"  {entry['sync']}, run {entry['run_id']} by {entry['trigger']}", DIM)
        stream.line(Styled(entry["started_at"], STRONG), f"  {entry['change']}, ", outcome, run, hang=4)
        if entry["reason"]:
            stream.line(entry["reason"], indent=2, hang=2)
        _show_differences(stream, entry)
        for call in entry["calls"]:
            status = "no answer" if call["status"] is None else str(call["status"])
            words = [f"call {call['id']}", f"{call['method']} {short_url(call['url'])}", status]
            words += [milliseconds(call["ms"])] if call["ms"] is not None else []
            stream.line(Styled(", ".join(words), DIM), indent=2, hang=2)


def _show_differences(stream: Stream, entry: Mapping[str, Any]) -> None:
    if entry["after"] is None:
        stream.line(Styled("its values are not kept", DIM), indent=2)
        return
    table = Table([Column(""), Column("", give="wrap", least=8), Column(""), Column("", give="wrap", least=8)])
    for each in entry["differences"]:
        before = Styled("-", DIM) if each["before"] is None else Brief(compact(each["before"]))
        after = Styled("-", DIM) if each["after"] is None else Brief(compact(each["after"]))
        table.add(each["field"], before, "→", after)
    stream.table(table, indent=2)


def tree_table(family: Sequence[Line], marked: int | None) -> Table:
    """The calls of one family as a tree; the marked one stands out."""
    table = Table(
        [
            Column("call", give="end", least=12),
            Column("rows", align="right"),
            Column("numbers", align="right", drop=2),
            Column("status", align="right"),
            Column("took", align="right", drop=1),
            Column("verdict", give="end", least=13),
        ]
    )
    for line, branches in _branches(family):
        name = f"{branches}{line.id}"
        if line.attempt > 1:
            name += f" attempt {line.attempt}"
        numbers = "" if line.first is None or line.stop is None else f"{line.first}-{line.stop - 1}"
        verdict = VERDICTS.get(line.verdict or "", line.verdict) or ("" if line.answered else "no answer yet")
        said = line.reason or line.error
        table.add(
            Styled(name, STRONG) if line.id == marked else name,
            number(line.rows) if line.rows else "",
            numbers,
            "none" if line.status is None else str(line.status),
            milliseconds(line.ms),
            Styled(f"{verdict}: {said}" if said else verdict, VERDICT_STYLE.get(line.verdict or "", "")),
        )
    return table


def _branches(family: Sequence[Line]) -> Iterator[tuple[Line, str]]:
    """Every call below its parent, with the lines that lead to it."""
    known = {line.id for line in family}
    children: dict[int | None, list[Line]] = {}
    for line in family:
        children.setdefault(line.parent_id if line.parent_id in known else None, []).append(line)

    waiting = [(root, "", "") for root in reversed(children.get(None, []))]
    while waiting:
        line, lead, own = waiting.pop()
        yield line, own
        below = children.get(line.id, [])
        for child in reversed(below):
            is_last = child is below[-1]
            waiting.append((child, lead + ("   " if is_last else "│  "), lead + ("└─ " if is_last else "├─ ")))
