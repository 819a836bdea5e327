"""What people write when they ask for a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from connector.errors import ConfigError
from connector.project.lengths import PATTERN, seconds_of


def moment_of(text: str, now: float) -> float:
    """The time in seconds since 1970: so long ago (`90s`, `15m`, `2h`, `7d`), or ISO 8601, UTC unless it says more.

    Raises ConfigError `bad-time`.
    """
    try:
        if re.fullmatch(PATTERN, text.strip()):
            return now - seconds_of(text)
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        hint = "so long ago (15m, 2h, 7d), or a time such as 2026-01-31 or 2026-01-31T06:00:00Z"
        raise ConfigError(f"'{text}' is no time", slug="bad-time", hint=hint) from None
