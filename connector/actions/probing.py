"""`connector probe`: what nobody has written down about a destination, asked of an app that is there for tests."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.actions.online import check_destination
from connector.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.ports import Connection
    from connector.project.definition import DestinationEntry
    from connector.run.means import Means
    from connector.systems.pendo.probes import Finding, Findings, Probe


@dataclass(frozen=True, slots=True)
class Probed:
    """What one probe found. `skipped` says why it was not made; `learned` are the facts that runs use from now on."""

    name: str
    question: str
    leaves: str
    findings: tuple[Finding, ...] = ()
    learned: tuple[tuple[str, str], ...] = ()
    skipped: str | None = None


def probes_of(entry: DestinationEntry, means: Means, mark: str) -> list[Probe]:
    """The probes of this destination; `mark` is part of every name they make. Raises ConfigError where it has none."""
    from connector.systems.pendo.probes import probes  # noqa: PLC0415 - other destinations do not need it
    from connector.systems.pendo.settings import PendoSettings  # noqa: PLC0415

    if not isinstance(entry.settings, PendoSettings):
        raise ConfigError(f"a destination of type '{entry.type}' has no probes", slug="no-probes", at=entry.at)
    return probes(entry.settings, mark=mark, now_ms=means.now_ms)


def probe(entry: DestinationEntry, means: Means, mark: str) -> Iterator[Probed]:
    """What each probe found, as soon as it is known. They write to the destination; `stop` ends them between two.

    Raises DestinationError when the destination does not answer or refuses the login; nothing was written then.
    """
    check_destination(entry, means)
    system = means.destinations[entry.type]
    with closing(system.connect(entry.settings)) as connection:
        for each in probes_of(entry, means, mark):
            if means.stop.is_set():
                return
            if getattr(entry.settings, each.needs) is None:
                yield Probed(each.name, each.question, each.leaves, skipped=f"{each.needs} is not set")
                continue
            found = _ask(each, connection)
            for name, value in found.learned.items():
                means.history.learned.put(entry.name, name, value, "found by connector probe")
            learned = tuple(found.learned.items())
            yield Probed(each.name, each.question, each.leaves, found.findings, learned)


def _ask(each: Probe, connection: Connection) -> Findings:
    steps = each.steps()
    try:
        request = next(steps)
        while True:
            request = steps.send(connection.send(request))
    except StopIteration as end:
        found: Findings = end.value
        return found
