"""`connector sandbox`."""

from __future__ import annotations

from pathlib import Path

import click

from connector.actions.figures import counted
from connector.cli.invocation import current, everywhere, option
from connector.cli.layout import Styled
from connector.cli.screen import STRONG

SEED_FILE = "sandbox.yml"


@everywhere
@click.command()
@option("--port", metavar="P", type=click.IntRange(0, 65535), default=8090, help="The port; 0 takes any free one.")
@option("--seed", metavar="FILE", help=f"What it holds at the start. Default: {SEED_FILE} of the project, if there.")
def sandbox(*, port: int, seed: str | None) -> None:
    """A local Pendo that keeps the vendor's rules, until Ctrl-C. It forgets everything when it ends.

    A destination with `base_url: http://127.0.0.1:8090` and the two secrets that it prints writes to it.
    """
    from connector.sandbox import Sandbox, serve  # noqa: PLC0415 - start-up

    invocation = current()
    default = invocation.root / SEED_FILE
    file = Path(seed) if seed is not None else default if default.is_file() else None
    local = Sandbox(seed=file)

    def ready(running: object) -> None:
        _say(running, file)

    serve(local, port=port, ready=ready)


def _say(running: object, seed: Path | None) -> None:
    from connector.sandbox import RunningSandbox  # noqa: PLC0415

    if not isinstance(running, RunningSandbox):
        return
    screen, held = current().screen, running.sandbox
    counts = held.counts()
    objects = {name: counts[name] for name in ("visitors", "accounts", "parent_accounts")}
    if screen.as_json:
        screen.document(
            {
                "url": running.url,
                "port": running.port,
                "integration_key": held.keys.integration_key,
                "track_event_secret": held.keys.track_event_secret,
                "seed": None if seed is None else str(seed),
                **objects,
            }
        )
        return
    out = screen.out
    out.line("the sandbox listens on ", Styled(running.url, STRONG))
    from_seed = f", from {seed}" if seed is not None else ""
    said = ", ".join(
        (
            counted(objects["visitors"], "visitor"),
            counted(objects["accounts"], "account"),
            counted(objects["parent_accounts"], "parent account"),
        )
    )
    out.line(f"holds               {said}{from_seed}", indent=2)
    out.line(f"integration_key     {held.keys.integration_key}", indent=2)
    out.line(f"track_event_secret  {held.keys.track_event_secret}", indent=2)
    out.line(f"open {running.url} to see what it receives; Ctrl-C ends it, and it forgets everything", indent=2)
