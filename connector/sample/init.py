"""`connector init`: a new project that runs against the sandbox as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.errors import ConfigError
from connector.sample.data import build_warehouse, copy_sample

if TYPE_CHECKING:
    from pathlib import Path

WAREHOUSE = "warehouse.duckdb"
ENV_EXAMPLE = ".env.example"

_ENV_TEXT = """\
# Copy this file to .env, which is read before connector.yml and stays out of git. The real environment wins over it.
# As it stands, the project writes to the local sandbox. For the real Pendo, set the two keys here (or the one that you
# need) and delete the line with base_url in connector.yml.

# An integration key with write access: Settings > Integrations > Integration keys. For objects.
#PENDO_INTEGRATION_KEY=

# The Track Event Shared Secret of one app: Settings > Subscription settings > the app > App details. For events.
#PENDO_TRACK_EVENT_SECRET=

# While the line with base_url is there: another sandbox than the one at its usual address.
#PENDO_BASE_URL=http://127.0.0.1:8090
"""


def new_project(to: Path, *, now: float) -> list[str]:
    """The names of the files of a new project in the folder `to`, which is made when it is missing.

    `now` (seconds since 1970) is when the newest event of the sample happened. Raises ConfigError, and writes nothing,
    when one of the files is already there or the folder cannot be written.
    """
    there = [name for name in (WAREHOUSE, ENV_EXAMPLE) if (to / name).exists()]
    if there:
        raise ConfigError(
            f"{to} already holds {', '.join(there)}",
            slug="project-exists",
            hint="choose an empty folder, or move them away",
        )
    try:
        copy_sample(to)
        build_warehouse(to / WAREHOUSE, now=now)
        (to / ENV_EXAMPLE).write_text(_ENV_TEXT, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{error.filename or to} cannot be written: {error.strerror}",
            slug="unwritable-folder",
            hint="give a folder that you may write to",
        ) from error
    files = ["connector.yml", "sandbox.yml", WAREHOUSE, ENV_EXAMPLE, ".gitignore"]
    return files + [
        path.relative_to(to).as_posix()
        for folder in ("models", "sync_configs")
        for path in sorted((to / folder).iterdir())
    ]
