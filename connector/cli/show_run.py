"""The result of a run, as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.actions.figures import counted, duration, number
from connector.cli.layout import Column, Styled, Table
from connector.cli.screen import BAD, DIM, GOOD, STRONG, WARN, compact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.actions.rows import Reason
    from connector.cli.layout import Part
    from connector.cli.screen import Stream

STATUS_STYLE = {"success": GOOD, "warning": WARN, "failed": BAD, "held": WARN, "cancelled": WARN, "interrupted": BAD}
OUTCOME_STYLE = {
    "succeeded": GOOD,
    "skipped": WARN,
    "rejected": BAD,
    "in_doubt": WARN,
    "quarantined": BAD,
    "not_attempted": DIM,
}
OUTCOMES = tuple(OUTCOME_STYLE)
CHANGES = ("added", "changed", "removed")
MOST_REASONS = 5
INDENT = 2


def spoken(name: str) -> str:
    """An outcome as people say it."""
    return name.replace("_", " ")


def show_result(stream: Stream, result: Mapping[str, Any], seconds: float | None) -> None:
    """Nothing, after the headline of a finished run, its counts and its outcomes. `result` is the run's JSON."""
    rows = result["rows"] or {}
    style = STATUS_STYLE.get(result["status"], STRONG)
    headline: list[Part] = [Styled(result["sync"], STRONG), "  ", Styled(result["status"], style)]
    if seconds is not None:
        headline.append(f" in {duration(seconds)}")
    if result["run_id"] is not None:
        headline.append(Styled(f"  run {result['run_id']}", DIM))
    stream.line(*headline)
    if rows.get("queried") or any(rows.get(change) for change in CHANGES):
        stream.line(model_line(rows), indent=INDENT, hang=9)
    if any(rows.get(change) for change in CHANGES):
        stream.table(_outcome_table(result["outcomes"]), indent=INDENT)
    elif result["status"] == "success":
        stream.line("nothing to send", indent=INDENT)
    requests = result["requests"] or {}
    if requests.get("sent"):
        extra = [f"{number(requests[name])} {name}" for name in ("retried", "split") if requests.get(name)]
        stream.line(", ".join([f"{counted(requests['sent'], 'request')} sent", *extra]), indent=INDENT)


def model_line(rows: Mapping[str, int]) -> str:
    """What the model returned, in one line."""
    queried = counted(rows["queried"], "row")
    parts = [
        f"{number(rows[name])} {words}"
        for name, words in (
            ("unchanged", "unchanged"),
            ("added", "added"),
            ("changed", "changed"),
            ("removed", "removed"),
            ("null_key", "without a key"),
            ("duplicate_key", "with a repeated key"),
        )
        if rows.get(name)
    ]
    kept = f" ({number(rows['kept'])} kept from earlier runs)" if rows.get("kept") else ""
    return f"{queried} queried{kept}: {', '.join(parts)}" if parts else f"{queried} queried{kept}"


def _outcome_table(outcomes: Mapping[str, Mapping[str, int]]) -> Table:
    """Changes down, outcomes across; rows and columns that are all zero are left out."""
    used = [name for name in OUTCOMES if any(outcomes.get(name, {}).values())]
    table = Table([Column(""), *(Column(spoken(name), align="right") for name in used)])
    for change in CHANGES:
        counts = [outcomes[name][change] for name in used]
        if any(counts):
            cells = [
                Styled(number(count), OUTCOME_STYLE[name]) if count else Styled("-", DIM)
                for name, count in zip(used, counts, strict=True)
            ]
            table.add(change, *cells)
    return table


def listed_keys(keys: Sequence[str]) -> str:
    """The keys in a row; those that would not be seen, or look like two, in quotes."""
    return ", ".join(compact(key) if key != key.strip() or not key or ", " in key else key for key in keys)


def show_reasons(stream: Stream, reasons: Sequence[Reason]) -> None:
    """Nothing, after the most frequent reasons of the rows that did not get through, each with a few keys."""
    for reason in reasons[:MOST_REASONS]:
        what = Styled(f"{number(reason.rows)} {spoken(reason.outcome)}: ", OUTCOME_STYLE[reason.outcome])
        stream.line(what, reason.reason or "no reason is known", indent=INDENT, hang=4)
        more = ", …" if reason.rows > len(reason.keys) else ""
        stream.line(Styled(listed_keys(reason.keys) + more, DIM), indent=INDENT + 4)
    if len(reasons) > MOST_REASONS:
        stream.line(Styled(f"and {counted(len(reasons) - MOST_REASONS, 'other reason')}", DIM), indent=INDENT)


def show_timings(stream: Stream, timings: Mapping[str, float]) -> None:
    """Nothing, after how long each step of the run took."""
    from connector.run.timings import STEPS  # noqa: PLC0415 - start-up

    table = Table([Column(""), Column("seconds", align="right"), Column("")])
    for step, words in STEPS.items():
        if step in timings:
            table.add(step, f"{timings[step]:.3f}", Styled(words, DIM))
    stream.table(table, indent=INDENT)
