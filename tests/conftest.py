"""What all tests share: an environment without the developer's own keys, and no race against the clock."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

# A slow machine is no counterexample.
settings.register_profile("connector", deadline=None)
settings.load_profile("connector")

# Who starts the tests in the background of a shell has them, and every process they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _nobodys_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the developer's shell must not reach a test, least of all the keys of a real Pendo."""
    if "live" in request.keywords:
        return
    for name in list(os.environ):
        if name.startswith(("PENDO_", "CONNECTOR_")):
            monkeypatch.delenv(name)
