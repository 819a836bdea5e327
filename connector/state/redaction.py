"""What is taken out of a call before it is written down: every secret, in each form in which it can travel."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MASK = "***"

_TELLING = re.compile(r"authorization|cookie|secret|token|password|api-?key|integration-?key", re.IGNORECASE)


class Redaction:
    """The secrets of a run. They are never shown, not even by `repr`."""

    def __init__(self, secrets: Iterable[str]) -> None:
        found = {form for secret in secrets if secret for form in forms(secret)}
        # The longest first: a secret that contains another one is masked as a whole.
        self._texts = sorted(found, key=len, reverse=True)
        self._bytes = [form.encode() for form in self._texts]

    def text(self, text: str) -> str:
        """The text with `***` in the place of each secret."""
        for secret in self._texts:
            text = text.replace(secret, MASK)
        return text

    def content(self, body: bytes) -> bytes:
        """The body with `***` in the place of each secret."""
        for secret in self._bytes:
            body = body.replace(secret, MASK.encode())
        return body

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers; those that carry a login by their name keep the name only."""
        return {name: MASK if _TELLING.search(name) else self.text(value) for name, value in headers.items()}


def forms(secret: str) -> set[str]:
    """The secret as it is, in a JSON string (both ways) and in a URL (both ways)."""
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""),
        quote_plus(secret),
    }
