"""What the server says while it works: lines for people, or one JSON object a line for programs."""

from __future__ import annotations

import json
import logging
import sys
from typing import IO, Literal

from connector.state.clock import utc

LogFormat = Literal["text", "json"]

QUIET = ("httpx", "httpcore", "asyncio")
"""Libraries whose own information would drown what is said here."""


class TextLines(logging.Formatter):
    """Time, level and words."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        words = f"{utc(record.created)} {record.levelname.lower():<7} {record.getMessage()}"
        return f"{words}\n{self.formatException(record.exc_info)}" if record.exc_info else words


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields that the record brings along."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = {name: value for name, value in getattr(record, "fields", {}).items() if value is not None}
        line = {
            "time": utc(record.created, precision="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def write_logs(log_format: LogFormat, stream: IO[str] | None = None) -> logging.Handler:
    """The way that everything takes from now on that this process has to say; to stderr by default."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    return handler
