"""A plan, as people read it: what would be sent, how long it takes, and the literal requests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from connector.actions.figures import counted, estimate, number, size
from connector.cli.layout import Brief, Column, Styled, Table
from connector.cli.screen import BAD, DIM, GOOD, STRONG, WARN, compact
from connector.cli.show_run import CHANGES, OUTCOME_STYLE, model_line, spoken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.actions.planning import PlanResult, Sample
    from connector.cli.layout import Part
    from connector.cli.screen import Stream

CHANGE_STYLE = {"added": GOOD, "changed": WARN, "removed": BAD}
LITERAL_CHARACTERS = 1_200
"""How much of a body a terminal shows; a pipe and --json get all of it."""


def show_plan(stream: Stream, plan: PlanResult) -> None:
    """Nothing, after the counts, the guardrail's verdict and the first rows with their requests."""
    counts = plan.json()["rows"]
    settled = {outcome: sum(by_change.values()) for outcome, by_change in plan.json()["settled"].items()}
    to_send = sum(counts[change] for change in CHANGES) - sum(settled.values())
    stream.line(Styled(plan.sync, STRONG), "  ", model_line(counts), hang=4)
    if plan.requests:
        stream.line(
            f"a run would send {counted(plan.requests, 'request')}, which takes {estimate(plan.seconds)} "
            "at the present rate",
            indent=2,
            hang=2,
        )
    else:
        stream.line("a run would send nothing", indent=2)
    for outcome, rows in settled.items():
        style = OUTCOME_STYLE.get(outcome, "")
        stream.line(Styled(f"{counted(rows, 'row')} {spoken(outcome)}", style), " before anything is sent", indent=2)
    if plan.guardrail is not None:
        stream.line(Styled("held: ", BAD), plan.guardrail.message, indent=2, hang=4)
        stream.line(Styled(f"hint: {plan.guardrail.hint}", DIM), indent=4, hang=6)
    for at, samples in enumerate(_by_request(plan.sample)):
        _show_request(stream, samples, at + 1, plan.requests)
    shown = len({(sample.key, sample.change) for sample in plan.sample})
    if 0 < shown < to_send:
        stream.line()
        stream.line(Styled(f"{counted(shown, 'row')} of {number(to_send)} shown; --show N shows more", DIM))


def _by_request(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The rows that travel together, in the order of the requests."""
    groups: dict[tuple[str, str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.method, sample.url, sample.body), []).append(sample)
    return list(groups.values())


def _show_request(stream: Stream, samples: Sequence[Sample], at: int, of: int) -> None:
    first = samples[0]
    stream.line()
    stream.line(
        Styled(f"request {number(at)} of {number(of)}  ", DIM),
        Styled(f"{first.method} {first.url}", STRONG),
        Styled(f"  {size(len(first.body.encode()))}", DIM),
        hang=4,
    )
    table = Table([Column(""), Column("", give="wrap", least=16), Column("", give="wrap", least=24)])
    for sample in samples:
        table.add(Styled(sample.change, CHANGE_STYLE.get(sample.change, "")), sample.key, _values(sample))
    stream.table(table, indent=2)
    stream.line(Styled("body as it would be sent:", DIM), indent=2)
    body = first.body
    if stream.terminal and len(body) > LITERAL_CHARACTERS:
        stream.raw(body[:LITERAL_CHARACTERS] + "…")
        left = len(body) - LITERAL_CHARACTERS
        stream.line(Styled(f"{counted(left, 'more character')}; a pipe and --json get all", DIM), indent=2)
    else:
        stream.raw(body)


def _values(sample: Sample) -> Part:
    """What the row says; for one whose last accepted values are known only the difference: `plan: "free" -> "pro"`."""
    now = flat(_parsed(sample.row))
    before = {} if sample.before is None else flat(sample.before)
    if now.keys().isdisjoint(before):
        return Brief("; ".join(f"{name}: {compact(value)}" for name, value in now.items()))
    pairs = [
        f"{name}: {compact(before[name]) if name in before else 'not sent'} -> {compact(now[name])}"
        for name in now
        if name not in before or before[name] != now[name]
    ]
    return "; ".join(pairs) if pairs else Styled("same values as before", DIM)


def _parsed(row: str) -> Any:
    """The row's own part: its request holds it in a list, or in a list under one name."""
    value = json.loads(row)
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    return value[0] if isinstance(value, list) and value else value


def flat(value: Any) -> Mapping[str, Any]:
    """The members of a row's JSON by their own name; those of inner objects stand beside the others."""
    found: dict[str, Any] = {}
    for name, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict):
            found |= flat(inner)
        else:
            found[name] = inner
    return found
