"""How a message gets into a channel. Apprise speaks to the services; it is imported when it is needed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, assert_never
from urllib.parse import quote, urlencode, urlsplit

from connector.alerts import webhook
from connector.errors import ConfigError
from connector.project.alert_settings import (
    AppriseChannel,
    EmailChannel,
    PagerDutyChannel,
    SlackChannel,
    TwilioChannel,
    WebhookChannel,
)
from connector.project.alerts import EXTRA
from connector.state.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from connector.project.alert_settings import Channel
    from connector.project.definition import ChannelEntry

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_LEAST_SECRET = 6  # a shorter piece of a URL is also a piece of ordinary words


def send(channel: ChannelEntry, content: Mapping[str, Any], delivery: str, now: float) -> str | None:
    """None when the service took the message; otherwise why it did not, without any secret.

    Raises ConfigError `alerts-missing-extra` where Apprise is needed and not installed.
    """
    if isinstance(channel.settings, WebhookChannel):
        return webhook.post(channel.settings, content, delivery, now)
    return _notify(_apprise(), channel.settings, content)


def secrets_of(channel: Channel) -> tuple[str, ...]:
    """What must not be shown of a channel: its secrets, and the pieces of an address that is one."""
    found: list[str] = []
    for name in ("url", "integration_key", "auth_token", "password", "secret"):
        value = getattr(channel, name, None)
        if value is None:
            continue
        text = value.get_secret_value()
        found.append(text)
        if name == "url":
            parts = urlsplit(text)
            pieces = [*parts.path.split("/"), parts.query, parts.username or "", parts.password or ""]
            found += [piece for piece in pieces if len(piece) >= _LEAST_SECRET]
    return tuple(found)


def apprise_url(channel: Channel, content: Mapping[str, Any]) -> str:
    """The channel as Apprise's URL. It holds the channel's secrets."""
    match channel:
        case SlackChannel():
            tokens = urlsplit(channel.url.get_secret_value()).path.removeprefix("/services/").strip("/")
            return f"slack://{tokens}/?footer=no&image=no"
        case PagerDutyChannel():
            # Its plugin wants a REST key beside the integration key, and sends it where it is not read.
            key = channel.integration_key.get_secret_value()
            asked = {
                "region": channel.region,
                "action": "map",
                "dedup": dedup_key(content),
                "image": "no",
                **{f"+{name}": str(content[name]) for name in DETAILS if content.get(name)},
            }
            component = _quoted(content["sync"] or "connector")
            return f"pagerduty://{key}@{key}/connector/{component}?{urlencode(asked, quote_via=quote)}"
        case TwilioChannel():
            numbers = "/".join(_quoted(number) for number in (channel.sender, *channel.to))
            login = f"{channel.account_sid}:{_quoted(channel.auth_token.get_secret_value())}"
            return f"twilio://{login}@{numbers}"
        case EmailChannel():
            mode = {"starttls": "starttls", "tls": "ssl", "none": "insecure"}[channel.tls]
            asked = {
                "from": channel.sender,
                "name": "connector",
                "to": ",".join(channel.to),
                "mode": mode,
                "format": "text",
                "smtp": channel.host,
            }
            login = ""
            if channel.user is not None and channel.password is not None:
                login = f"{_quoted(channel.user)}:{_quoted(channel.password.get_secret_value())}@"
            scheme = "mailto" if channel.tls == "none" else "mailtos"
            host = f"{channel.host}:{channel.port or _PORTS[channel.tls]}"
            return f"{scheme}://{login}{host}?{urlencode(asked, quote_via=quote)}"
        case AppriseChannel():
            return channel.url.get_secret_value()
        case WebhookChannel():
            msg = "a webhook is not sent by Apprise"
            raise AssertionError(msg)
        case _:
            assert_never(channel)


DETAILS = ("condition", "level", "since", "reason", "error", "run_id", "next")
"""What a PagerDuty incident shows beside its text."""


def dedup_key(content: Mapping[str, Any]) -> str:
    """What makes two messages about one thing: PagerDuty keeps one incident for each, and closes it by this name."""
    return f"connector/{content['sync']}/{content['condition']}"


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _apprise() -> ModuleType:
    try:
        import apprise  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise ConfigError(
            "alerts to this channel need the package apprise, which is not installed",
            slug="alerts-missing-extra",
            hint=EXTRA,
        ) from None
    # What it logs may hold an address with its secrets: its words are taken from it here, and go nowhere else.
    logging.getLogger("apprise").propagate = False
    return apprise


def _notify(apprise: ModuleType, channel: Channel, content: Mapping[str, Any]) -> str | None:
    service = apprise.Apprise(asset=apprise.AppriseAsset(app_id="connector", app_desc="connector"))
    kinds = {"ok": "success", "warning": "warning", "critical": "failure"}
    kind = "info" if content["event"] == "test" else kinds[content["level"]]
    phone = isinstance(channel, TwilioChannel)
    title, body = ("", content["brief"]) if phone else (content["title"], content["text"])
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:
        try:
            taken = service.add(apprise_url(channel, content)) and bool(
                service.notify(title=title, body=body, notify_type=kind, body_format="text")
            )
        except Exception as error:  # noqa: BLE001 - 160 plugins of others: whatever breaks, no run may
            return f"the service's plugin broke off ({type(error).__name__})"
        words = " ".join(said.getvalue().split())
    if taken:
        return None
    return Redaction(secrets_of(channel)).text(words) or "the service did not take the message"
