"""What a reply means before its body is understood: statuses, waiting times, and error bodies of every kind."""

from __future__ import annotations

import json
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from html import unescape
from typing import TYPE_CHECKING, Any

from connector.ports import Fault, Refused, TryAgain
from connector.systems.pendo import facts
from connector.systems.pendo.settings import INTEGRATION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.ports import Reply, Request, Verdict
    from connector.systems.pendo.settings import PendoSettings

REASON_CHARACTERS = 1_000
READ_BYTES = 20_000  # of an error page; what people need stands at its beginning
OK, MULTIPLE_CHOICES, BAD_REQUEST, SERVER_ERROR = 200, 300, 400, 500
PAYMENT_REQUIRED, NOT_FOUND, REQUEST_TIMEOUT, TOO_MANY_REQUESTS, GATEWAY_TIMEOUT = 402, 404, 408, 429, 504
NOT_PENDO = "the answer is a web page, which Pendo does not send: a proxy or a login stands between"
LONGEST_WAIT_S = 86_400.0


def is_success(reply: Reply) -> bool:
    """True for every 2xx."""
    return OK <= reply.status < MULTIPLE_CHOICES


def common_verdict(request: Request, reply: Reply, settings: PendoSettings, now: Callable[[], float]) -> Verdict | None:
    """The verdict of every reply that is not a success, whatever the route; None for a 2xx.

    408 is an ordinary wait here; routes on which it means "too many rows" look at it first.

    Source: pendo-api.md 1.4, 1.5.
    """
    if is_success(reply):
        return None
    reason = f"{reply.status}: {said(reply)}"
    if reply.status in facts.SPLIT_STATUSES.value:
        return Refused(reason)
    if reply.status in facts.TOO_LARGE_STATUSES.value:
        return Refused(reason, too_large=True)
    if reply.status == TOO_MANY_REQUESTS:
        return TryAgain(reason, retry_after_s(reply, now), slow_down=True)
    if reply.status == REQUEST_TIMEOUT:
        return TryAgain(reason, retry_after_s(reply, now))
    if reply.status >= SERVER_ERROR:
        wish = retry_after_s(reply, now) or 0.0
        return TryAgain(reason, max(wish, facts.SERVER_ERROR_WAIT_S.value))
    return fault(request, reply, settings)


def fault(request: Request, reply: Reply, settings: PendoSettings) -> Fault:
    """Why no request of this kind can work, with what to do about it."""
    answered = f"Pendo answered {reply.status} to {request.method} {request.url}: {said(reply)}"
    if reply.status in facts.AUTH_STATUSES.value:
        return Fault(answered, "pendo-key-refused", _key_hint(request, settings))
    if reply.status == PAYMENT_REQUIRED:
        hint = "the subscription's plan may not include this API: ask Pendo"
        return Fault(answered, "pendo-plan", hint)
    if reply.status == NOT_FOUND:
        where = "check base_url" if settings.base_url else "check the region"
        return Fault(answered, "pendo-not-found", f"nothing is served at this address: {where} in connector.yml")
    if reply.status < BAD_REQUEST:
        hint = "redirects are not followed: a proxy or a wrong base_url stands between the connector and Pendo"
        return Fault(answered, "pendo-unexpected-status", hint)
    return Fault(answered, "pendo-unexpected-status", "the call is in the API call log: connector log --calls")


def _key_hint(request: Request, settings: PendoSettings) -> str:
    region = f"is region '{settings.region}' right? " if settings.region and not settings.base_url else ""
    if request.auth == INTEGRATION_KEY:
        contradiction = f"{likely}; " if (likely := settings.region_hint()) else ""
        return (
            f"{contradiction}{region}integration_key must be an integration key of this subscription "
            "with write access, not the Track Event Shared Secret"
        )
    return (
        f"{region}track_event_secret must be the Track Event Shared Secret of one app "
        "(Subscription settings > the app > App details), not an integration key"
    )


def retry_after_s(reply: Reply, now: Callable[[], float]) -> float | None:
    """Seconds the reply asks to wait, or None: `Retry-After` as a number, or as a date against the reply's own clock.

    A day at most, so that a broken date cannot stop a sync for a year.
    """
    wish = reply.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", wish):
        return min(float(wish), LONGEST_WAIT_S)
    until = _timestamp(wish)
    if until is None:
        return None
    since = _timestamp(reply.headers.get("date", ""))
    return min(max(0.0, until - (now() if since is None else since)), LONGEST_WAIT_S)


def _timestamp(http_date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def parsed(reply: Reply) -> Any:
    """The body as JSON, or None when it is none: empty, HTML, plain text, cut off."""
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        return None


def said(reply: Reply) -> str:
    """What the body says, on one line and no longer than a reason may be: the message of a JSON body, else its text."""
    body = parsed(reply)
    if isinstance(body, (dict, list, str)):
        return one_line(message(body) or "(empty body)")
    text = reply.body[:READ_BYTES].decode("utf-8", errors="replace")
    if is_page(reply):
        text = unescape(re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", text, flags=re.IGNORECASE | re.DOTALL))
    return one_line(text) or "(empty body)"


def is_page(reply: Reply) -> bool:
    """True when the body is meant for a browser: something before Pendo has answered."""
    return bool(re.match(rb"\s*<(!doctype|html|head|body|\?xml)", reply.body, re.IGNORECASE))


def message(body: Any) -> str:
    """The part of an error body that is meant for people, else the body as compact JSON; empty for an empty one."""
    if isinstance(body, str):
        return body
    if isinstance(body, dict):
        for key in ("message", "error", "reason", "detail", "description", "title"):
            inner = next((value for name, value in body.items() if name.lower() == key), None)
            if inner:
                return message(inner)
    return json.dumps(body, ensure_ascii=False) if body else ""


def one_line(text: str) -> str:
    """The text without line breaks and control characters, cut where a reason ends."""
    storable = text.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be stored as text
    line = " ".join("".join(character if character.isprintable() else " " for character in storable).split())
    return line if len(line) <= REASON_CHARACTERS else line[: REASON_CHARACTERS - 3] + "..."
