"""The sandbox: a faithful local Pendo that ships with the product.

It keeps the rules of Pendo's API that are known; each that is not is a switch. Start it with `connector sandbox`, or
from Python:

    with running(Sandbox(seed="sandbox.yml")) as server:
        ...  # server.url, server.sandbox.visitors
"""

from __future__ import annotations

from connector.sandbox.faults import Fault
from connector.sandbox.sandbox import INTEGRATION_KEY, TRACK_EVENT_SECRET, Sandbox
from connector.sandbox.seed import Seed
from connector.sandbox.server import HOST, PORT, RunningSandbox, running, serve
from connector.sandbox.switches import SWITCHES, Switch, Switches

__all__ = [
    "HOST",
    "INTEGRATION_KEY",
    "PORT",
    "SWITCHES",
    "TRACK_EVENT_SECRET",
    "Fault",
    "RunningSandbox",
    "Sandbox",
    "Seed",
    "Switch",
    "Switches",
    "running",
    "serve",
]
