"""`connector schema`."""

from __future__ import annotations

from pathlib import Path

import click

from connector.cli.invocation import current, everywhere, option
from connector.cli.screen import pretty

NAMES = {"connector": "connector.schema.json", "sync": "sync.schema.json", "model": "model.schema.json"}


@everywhere
@click.command()
@option("--write", "folder", metavar="DIR", help="Write a file for each kind into this folder instead.")
def schema(*, folder: str | None) -> None:
    """JSON Schema of connector.yml, of the sync configs and of a model's settings, for editors.

    \b
    With --write, the first line of a sync config can then name its schema:
        # yaml-language-server: $schema=../schemas/sync.schema.json
    """  # noqa: D301 - \b keeps click from joining the lines
    from connector.api import schemas  # noqa: PLC0415 - start-up
    from connector.errors import ConfigError  # noqa: PLC0415

    invocation = current()
    found = schemas()
    if folder is None:
        invocation.screen.document(found)
        return
    target = Path(folder)
    written = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, document in found.items():
            path = target / NAMES[name]
            path.write_text(pretty(document) + "\n", encoding="utf-8")
            written.append(str(path))
    except OSError as error:
        raise ConfigError(
            f"{error.filename or target} cannot be written: {error.strerror}",
            slug="unwritable-folder",
            hint="give a folder that you may write to",
        ) from error
    if invocation.screen.as_json:
        invocation.screen.document({"files": written})
        return
    for file in written:
        invocation.screen.out.line(file)
