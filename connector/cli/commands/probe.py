"""`connector probe`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from connector.cli.invocation import current, everywhere, option
from connector.cli.layout import Styled
from connector.cli.screen import DIM, STRONG
from connector.cli.signals import stopping

if TYPE_CHECKING:
    from connector.actions.probing import Probed
    from connector.cli.screen import Stream

WARNING = (
    "Probes write to '{destination}': they make a visitor, events and custom fields, queue a made-up id for deletion, "
    "and send 200 calls in a row. They are for an app that is there for tests."
)


@everywhere
@click.command()
@click.argument("destination")
@option("--yes", is_flag=True, help="Do not ask.")
def probe(destination: str, *, yes: bool) -> None:
    """Ask the app behind DESTINATION what Pendo's documentation leaves open. It writes: use a test app.

    What runs can use is remembered, such as whether Track events may travel in arrays. The answers are printed without
    secrets and without data of yours.
    """
    invocation = current()
    screen = invocation.screen
    with invocation.project() as project:
        answers = project.probe(destination)
        if not yes:
            if not sys.stdin.isatty():
                raise click.UsageError("probes write to the destination: say --yes")
            screen.err.line(WARNING.format(destination=destination))
            click.confirm("Go on?", abort=True, err=True)
        found = []
        with stopping(project.stop, abort=True):
            for answer in answers:
                found.append(answer)
                if not screen.as_json:
                    _show(screen.out, answer)
    if screen.as_json:
        screen.document([asdict(answer) | {"learned": dict(answer.learned)} for answer in found])


def _show(stream: Stream, probed: Probed) -> None:
    stream.line(Styled(probed.name, STRONG), f"  {probed.question}", hang=4)
    if probed.skipped:
        stream.line(Styled(f"not asked: {probed.skipped}", DIM), indent=2)
    for finding in probed.findings:
        stream.line(f"{finding.question}: ", Styled(finding.answer, STRONG), indent=2, hang=4)
        stream.line(Styled(finding.evidence, DIM), indent=4, hang=4)
    for name, value in probed.learned:
        stream.line(f"remembered: {name} = {value}", indent=2)
    if not probed.skipped:
        stream.line(Styled(f"leaves there: {probed.leaves}", DIM), indent=2, hang=4)
    stream.line()
