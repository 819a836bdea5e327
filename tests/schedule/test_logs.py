"""What the server says, for people and for programs."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest

from connector.serve.logs import LogFormat, write_logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """What the tests change is as before afterwards."""
    root = logging.getLogger()
    before = (root.handlers, root.level)
    yield
    root.handlers, root.level = before


def said(log_format: LogFormat) -> str:
    """What stands in the log after a few events."""
    stream = io.StringIO()
    write_logs(log_format, stream)
    log = logging.getLogger("connector.schedule")
    log.info("run %s is due", "r1", extra={"fields": {"sync": "accounts", "why": None}})
    log.debug("not said")
    logging.getLogger("httpx").info("not said")
    try:
        int('with "quotes" and ünïcode')
    except ValueError:
        log.exception("broken")
    return stream.getvalue()


def test_programs_get_one_object_a_line() -> None:
    first, second = (json.loads(line) for line in said("json").splitlines())

    assert first.pop("time").endswith("Z")
    assert first == {"level": "info", "logger": "connector.schedule", "message": "run r1 is due", "sync": "accounts"}
    assert (second["level"], second["message"]) == ("error", "broken")
    assert second["traceback"].endswith("""'with "quotes" and ünïcode'""")


def test_people_get_lines() -> None:
    first, second, *traceback = said("text").splitlines()

    assert first.endswith("Z info    run r1 is due")
    assert second.endswith("Z error   broken")
    assert traceback[-1].endswith("""'with "quotes" and ünïcode'""")
