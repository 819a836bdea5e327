"""Pendo as a destination. `facts.py` has what is known of it, `docs/pendo.md` what a user should know."""

from __future__ import annotations

import threading
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import SecretStr

from connector.project.settings import EventSync, ObjectSync
from connector.systems.pendo.events import EventDestination
from connector.systems.pendo.objects import ObjectDestination
from connector.systems.pendo.rules import sync_problems
from connector.systems.pendo.schema import read_key
from connector.systems.pendo.settings import PendoSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from pydantic import BaseModel

    from connector.errors import Problem
    from connector.ports import Connection, Destination, Flight, NoReply, Reply, Request, ValueType
    from connector.systems.pendo.client import Client

Settings = PendoSettings

__all__ = ["Settings", "addresses", "check", "connect", "in_sandbox", "open", "problems"]


def problems(settings: BaseModel, sync: BaseModel, at: Callable[..., str]) -> list[tuple[str, Problem]]:
    """What is wrong with this sync for Pendo, as ("error" | "warning", problem); reads no network."""
    return list(sync_problems(_mine(settings), _sync(sync), at))


def open(  # noqa: A001 - the registry's word
    settings: BaseModel,
    sync: BaseModel,
    *,
    at: Callable[..., str],
    learned: Mapping[str, str],
    types: Mapping[str, ValueType] = MappingProxyType({}),
) -> Destination:
    """One sync's view of Pendo. Nothing is sent and no connection is made before the first `send`."""
    mine, one = _mine(settings), _sync(sync)
    client = _OnDemand(mine)
    if isinstance(one, EventSync):
        return EventDestination(mine, one, client, at=at, learned=learned)
    return ObjectDestination(mine, one, client, at=at, types=types)


def addresses(settings: BaseModel) -> tuple[str, ...]:
    """Where the REST API is, and where Track events go."""
    mine = _mine(settings)
    return mine.api_url, mine.data_url


def in_sandbox(settings: BaseModel, url: str) -> BaseModel:
    """The settings for a sandbox at this address, with its own secrets."""
    from connector.sandbox import INTEGRATION_KEY, TRACK_EVENT_SECRET  # noqa: PLC0415 - a run does not need it

    secrets = {"integration_key": SecretStr(INTEGRATION_KEY), "track_event_secret": SecretStr(TRACK_EVENT_SECRET)}
    return _mine(settings).model_copy(update={"base_url": url, "region": None, **secrets})


def connect(settings: BaseModel) -> Connection:
    """The network side alone."""
    return _OnDemand(_mine(settings))


def check(settings: BaseModel) -> Generator[Request, Reply, str]:
    """What the secrets may do, in a sentence, from calls that change nothing.

    Raises DestinationError when Pendo refuses the integration key. Nothing can check a Track Event Shared Secret.
    """
    mine = _mine(settings)
    said = []
    if mine.integration_key is not None:
        key = yield from read_key(mine)
        said.append(
            "the integration key is read-only: it cannot write objects"
            if key.get("writeAccess") is False
            else "the integration key may write"
        )
    if mine.track_event_secret is not None:
        said.append("the Track Event Shared Secret is set; Pendo has no call that checks it")
    return "; ".join(said) or "neither integration_key nor track_event_secret is set"


class _OnDemand:
    """A `Client` that is made with the first request: a check makes none, and needs nothing to make one with."""

    def __init__(self, settings: PendoSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: Client | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        return self._settings.secrets

    def send(self, request: Request) -> Reply | NoReply:
        return (self._client or self._made()).send(request)

    def flight(self, most: int) -> Flight | None:
        return (self._client or self._made()).flight(most)

    def ready(self) -> None:
        (self._client or self._made()).ready()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _made(self) -> Client:
        from connector.systems.pendo.client import Client  # noqa: PLC0415 - start-up: with httpx 0.15 s

        with self._lock:
            if self._client is None:
                self._client = Client(self._settings)
            return self._client


def _mine(settings: BaseModel) -> PendoSettings:
    if not isinstance(settings, PendoSettings):
        msg = f"expected the settings of a Pendo destination, got {type(settings).__name__}"
        raise TypeError(msg)
    return settings


def _sync(sync: BaseModel) -> ObjectSync | EventSync:
    if not isinstance(sync, (ObjectSync, EventSync)):
        msg = f"expected a sync, got {type(sync).__name__}"
        raise TypeError(msg)
    return sync
