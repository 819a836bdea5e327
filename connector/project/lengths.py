"""Lengths of time as people write them: 30s, 15m, 2h, 1d."""

from __future__ import annotations

import re

PATTERN = r"^[0-9]+\s*[smhdw]$"
"""For JSON Schema and pydantic."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds_of(length: str) -> int:
    """The seconds of a length of time such as `30s`, `15m`, `2h`, `1d` or `1w`. Raises ValueError for anything else."""
    text = length.strip()
    if re.fullmatch(PATTERN, text) is None:
        msg = "is no length of time such as 30s, 15m, 2h or 1d"
        raise ValueError(msg)
    return int(text[:-1]) * _SECONDS[text[-1]]
