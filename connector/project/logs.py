"""The warehouse logs of a project, with the source that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.project.definition import Logs
from connector.project.names import hint

if TYPE_CHECKING:
    from connector.project.definition import Places, SourceEntry
    from connector.project.findings import Findings
    from connector.project.logs_settings import LogsSettings
    from connector.project.reading import Known


def read_logs(
    settings: LogsSettings | None, places: Places | None, sources: Known[SourceEntry], findings: Findings
) -> Logs | None:
    """Where the logs go; None where nothing says so, or where the source has a mistake of its own."""
    if settings is None or places is None or sources.names is None:
        return None
    at = places.at("logs", "source")
    if settings.source not in sources.names:
        known = sorted(sources.names)
        message = f"there is no source '{settings.source}' in connector.yml"
        findings.error(message, "unknown-source", at, hint(settings.source, known, "sources"))
        return None
    entry = sources.good.get(settings.source)
    return None if entry is None else Logs(entry, settings.schema_, at)
