"""Defects, kept where whoever reports one finds it: no user reads a traceback on the terminal."""

from __future__ import annotations

import os
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path


def save_traceback(error: BaseException, folder: Path | None) -> Path:
    """The file that the traceback was written to: in `folder` when that works, else where temporary files go."""
    text = "".join(traceback.format_exception(error))
    name = f"error-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.txt"
    for place in (folder, Path(tempfile.gettempdir())):
        if place is None or not place.is_dir():
            continue
        path = place / name
        try:
            path.write_text(text, encoding="utf-8")
        except OSError:
            continue
        return path
    return Path(os.devnull)
