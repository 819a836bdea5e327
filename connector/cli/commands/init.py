"""`connector init`."""

from __future__ import annotations

import time
from pathlib import Path
from shlex import quote

import click

from connector.cli.invocation import current, everywhere, program
from connector.cli.layout import Column, Styled, Table
from connector.cli.screen import DIM, STRONG


@everywhere
@click.command()
@click.argument("folder", metavar="[DIR]", required=False)
def init(folder: str | None) -> None:
    """A new project in DIR (default: the current folder) that runs against the sandbox as it is.

    It holds a sample warehouse, four models and four syncs to start from. Nothing that is there is overwritten.
    """
    from connector.sample.init import new_project  # noqa: PLC0415 - start-up

    invocation = current()
    root = Path(folder) if folder is not None else invocation.root
    files = new_project(root, now=time.time())
    at = "" if root.resolve() == Path.cwd() else f" --project {quote(str(root))}"
    steps = [f"{program()}{at} sandbox", f"{program()}{at} run --all", f"{program()}{at} log"]
    if invocation.screen.as_json:
        invocation.screen.document({"project": str(root.absolute()), "files": files, "next": steps})
        return
    out = invocation.screen.out
    out.line("a new project in ", Styled(str(root.absolute()), STRONG))
    for file in files:
        out.line(file, indent=2)
    out.line()
    table = Table([Column(""), Column("", drop=1)])
    for step, words in zip(
        steps,
        ("in another terminal: a local Pendo", "send the sample data", "see each row and each call"),
        strict=True,
    ):
        table.add(step, Styled(words, DIM))
    out.table(table, indent=2)
