"""The alerts of a project: its channels by their types, and whether every channel that is named is there."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from connector.project.alert_settings import CHANNELS, AlertSettings
from connector.project.definition import Alerts, ChannelEntry
from connector.project.names import ENTRY_NAME
from connector.project.names import hint as hint_for
from connector.project.validation import validate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.project.alert_settings import AlertRules, Channel
    from connector.project.definition import DestinationEntry, Places, Sync
    from connector.project.findings import Findings
    from connector.project.places import Document

SECTION = "alerts"
EXTRA = "pip install 'pendo-connector[alerts]'"
WITHOUT_EXTRA = ("webhook",)
PATH = (SECTION, "channels")


def read_alerts(document: Document | None, settings: AlertSettings | None, findings: Findings) -> Alerts:
    """The channels with nothing wrong, and the project's rules; what is wrong with the others has been noted."""
    # Without the channels as they were written: these texts still hold the secrets.
    rules = settings.model_copy(update={"channels": {}}) if settings is not None else AlertSettings()
    given = document.get(*PATH) if document is not None else None
    if document is None or not isinstance(given, dict) or _unreadable(document):
        return Alerts(rules, {}, frozenset() if given is None and settings is not None else None)
    channels: dict[str, ChannelEntry] = {}
    for name, entry in given.items():
        at = document.places.key_at(*PATH, name)
        if not ENTRY_NAME.fullmatch(name):
            findings.error(f"'{name}' cannot be a name", "bad-name", at, "a name has only letters, digits, _ and -")
        read = _channel(document, name, entry, findings) if isinstance(entry, dict) else None
        if read is not None:
            channels[name] = ChannelEntry(name, str(entry["type"]), read, at)
    _warn_of_missing_extra(channels, findings)
    return Alerts(rules, channels, frozenset(map(str, given)))


def check_alerts(
    alerts: Alerts,
    project: Places | None,
    destinations: Mapping[str, DestinationEntry],
    syncs: Sequence[Sync],
    findings: Findings,
) -> None:
    """Nothing, after noting every channel that rules name and that connector.yml does not have."""
    if alerts.names is None:
        return
    if project is not None:
        _check_names(alerts.rules, project, (SECTION,), alerts.names, findings)
        for name, entry in destinations.items():
            _check_names(_of(entry.settings), project, ("destinations", name, SECTION), alerts.names, findings)
    for sync in syncs:
        _check_names(_of(sync.settings), sync.places, (SECTION,), alerts.names, findings)


def _warn_of_missing_extra(channels: Mapping[str, ChannelEntry], findings: Findings) -> None:
    spoken = next((entry for entry in channels.values() if entry.type not in WITHOUT_EXTRA), None)
    if spoken is not None and find_spec("apprise") is None:
        message = f"the alert channel '{spoken.name}' needs the package apprise, which is not installed"
        findings.warning(message, "alerts-missing-extra", spoken.at, EXTRA)


def _of(settings: Any) -> AlertRules | None:
    found: AlertRules | None = getattr(settings, SECTION, None)
    return found


def _check_names(
    rules: AlertRules | None, places: Places, path: tuple[str, ...], known: frozenset[str], findings: Findings
) -> None:
    for number, name in enumerate((rules.to if rules is not None else None) or ()):
        if name not in known:
            # The list stands under `to`, or right there.
            at = places.at(*path, "to", number) if (*path, "to") in places.marks else places.at(*path, number)
            advice = hint_for(name, sorted(known), "channels") or "connector.yml names none under alerts: channels:"
            findings.error(f"there is no alert channel '{name}'", "unknown-channel", at, advice)


def _channel(document: Document, name: str, entry: dict[str, Any], findings: Findings) -> Channel | None:
    path = (*PATH, name, "type")
    if "type" not in entry:
        message, advice = (
            f"the key 'type' is missing in 'alerts.channels.{name}'",
            f"type: one of {', '.join(CHANNELS)}",
        )
        findings.error(message, "missing-key", document.places.at(*PATH, name), advice)
        return None
    kind = entry["type"]
    if path in document.unreadable:
        return None
    if not isinstance(kind, str) or kind not in CHANNELS:
        findings.error(
            f"there is no type '{document.shown(*path)}' for alert channels",
            "unknown-type",
            document.places.at(*path),
            hint_for(document.guessable(*path), CHANNELS, "types"),
        )
        return None
    return validate(CHANNELS[kind], document, findings, at=(*PATH, name), data=dict(entry))


def _unreadable(document: Document) -> bool:
    return any(path in ((SECTION,), PATH) for path in document.unreadable)
