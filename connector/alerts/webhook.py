"""Signed JSON over HTTP, by the Standard Webhooks convention, so that its libraries verify it.

webhook-id: msg_...            the same at each attempt: what has been seen can be left out
webhook-timestamp: 1767225600  seconds since 1970, of this attempt
webhook-signature: v1,BASE64   HMAC-SHA256 over "{id}.{timestamp}.{body}" with the secret
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.project.alert_settings import WebhookChannel

PREFIX = "whsec_"
OK = range(200, 300)


def key_of(secret: str) -> bytes:
    """The bytes to sign with: what `whsec_` and base64 say, else the text itself."""
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()


def signature(secret: str, delivery: str, timestamp: int, body: bytes) -> str:
    """The value of the header `webhook-signature`."""
    signed = f"{delivery}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()


def body_of(content: Mapping[str, Any]) -> bytes:
    """What is posted: the event's name, its time, and what there is to say about it."""
    data = {name: value for name, value in content.items() if name not in ("event", "at", "brief")}
    document = {"type": content["event"], "timestamp": content["at"], "data": data}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def post(channel: WebhookChannel, content: Mapping[str, Any], delivery: str, now: float) -> str | None:
    """None when the receiver took the message; otherwise why it did not, without any secret."""
    import httpx  # noqa: PLC0415 - start-up

    body, timestamp = body_of(content), int(now)
    headers = {
        "content-type": "application/json",
        "user-agent": "connector-webhook",
        "webhook-id": delivery,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(channel.secret.get_secret_value(), delivery, timestamp, body),
    }
    try:
        # Not followed: a signed message goes to the address that was written down, and to no other.
        reply = httpx.post(
            channel.url.get_secret_value(), content=body, headers=headers, timeout=channel.timeout_seconds
        )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return f"the webhook does not answer ({type(error).__name__})"
    return None if reply.status_code in OK else f"the webhook answered with status {reply.status_code}"
