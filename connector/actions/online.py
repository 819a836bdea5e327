"""`connector check --online`: what a destination says to a login, without a run."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from connector.errors import DestinationError
from connector.ports import NoReply

if TYPE_CHECKING:
    from connector.project.definition import Definition, DestinationEntry
    from connector.run.means import Means


def check_everything(definition: Definition, means: Means) -> list[tuple[str, str]]:
    """What each source and destination answered to a login, as (name, sentence).

    Raises SourceError, DestinationError.
    """
    said = []
    for name, entry in definition.sources.items():
        with closing(means.sources[entry.type].open(entry.settings, definition.root)) as source:
            source.check()
        said.append((name, f"{entry.type}: logged in"))
    return [*said, *((name, check_destination(entry, means)) for name, entry in definition.destinations.items())]


def check_destination(entry: DestinationEntry, means: Means) -> str:
    """A sentence that says what the login may do. Raises DestinationError."""
    system = means.destinations[entry.type]
    steps = system.check(entry.settings)
    with closing(system.connect(entry.settings)) as connection:
        try:
            request = next(steps)
            while True:
                reply = connection.send(request)
                if isinstance(reply, NoReply):
                    raise DestinationError(
                        f"destination '{entry.name}' did not answer at {request.url}: {reply.reason}",
                        slug="destination-unavailable",
                        at=entry.at,
                        hint="check the address, the proxy and the network",
                    )
                request = steps.send(reply)
        except StopIteration as end:
            return str(end.value)
