"""`connector serve`, as a client of its REST API: ask for a run, look how it is, stop it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from connector.errors import ConfigError, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_S = 30.0
PATIENCE_S = 300.0
"""How long a server that is being restarted may be away while a task waits for its run."""

ENDED = ("success", "warning", "failed", "held", "cancelled", "interrupted")

_V1 = "/api/v1"
_MAYBE_LATER = (408, 425, 429, 500, 502, 503, 504)


class AwayError(ConnectorError):
    """The server does not answer now; it may later."""


@dataclass(frozen=True, slots=True)
class Server:
    """The address of `connector serve`, and its token where it has one."""

    url: str
    token: str | None = None

    def trigger(self, sync: str, *, full_resync: bool = False) -> str:
        """The number of the run, after asking for it. Raises ConfigError, AwayError."""
        body = {"syncSlug": sync, "fullResync": full_resync}
        return str(self._ask("POST", f"{_V1}/syncs/trigger", body)["id"])

    def run(self, number: str) -> dict[str, Any]:
        """The run, with the keys of `connector run --json`; `status` is also queued or running."""
        return self._ask("GET", run_path(number))

    def cancel(self, number: str) -> None:
        """Nothing, after asking the run to stop; one that has ended stays as it is. Raises ConfigError, AwayError."""
        with self._client() as client:
            answer = _sent(client, "POST", cancel_path(number))
            if answer.status_code != httpx.codes.CONFLICT:
                read(answer)

    def options(self) -> dict[str, Any]:
        """What an httpx client needs to talk to the server."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return {"base_url": self.url, "headers": headers, "timeout": TIMEOUT_S}

    def _client(self) -> httpx.Client:
        return httpx.Client(**self.options())

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        with self._client() as client:
            return read(_sent(client, method, path, body))


class Patience:
    """Bears with a server that is away, for a while: it may only be starting again, and the run goes on."""

    def __init__(self, seconds: float = PATIENCE_S, now: Callable[[], float] = time.monotonic) -> None:
        """Bear with it for that long, by this clock."""
        self._seconds = seconds
        self._now = now
        self._since: float | None = None

    def spend(self, error: AwayError) -> None:
        """Nothing, unless the server is away for too long. Raises the error then."""
        now = self._now()
        if self._since is None:
            self._since = now
        if now - self._since > self._seconds:
            raise error

    def rest(self) -> None:
        """Nothing: the server has answered."""
        self._since = None


def run_path(number: str) -> str:
    """The path of a run."""
    return f"{_V1}/runs/{number}"


def cancel_path(number: str) -> str:
    """The path that stops a run."""
    return f"{_V1}/runs/{number}/cancel"


def read(answer: httpx.Response) -> dict[str, Any]:
    """The answer's JSON. Raises AwayError where a later try may go well, ConfigError where none will."""
    if answer.is_success:
        found: dict[str, Any] = answer.json()
        return found
    url = answer.request.url
    said = f"{answer.request.method} {url}: {answer.status_code} {answer.text[:500]}"
    if answer.status_code in _MAYBE_LATER:
        raise AwayError(f"the connector's server cannot answer now: {said}", slug="server-away")
    hint = "give the connection the server's token as its password" if answer.status_code == 401 else None  # noqa: PLR2004
    raise ConfigError(f"the connector's server refused: {said}", slug="server-refused", hint=hint)


def away(error: httpx.TransportError, url: str) -> AwayError:
    """What is said of a server that cannot be reached."""
    hint = "is `connector serve` running there?"
    return AwayError(f"the connector's server at {url} does not answer: {error}", slug="server-away", hint=hint)


def _sent(client: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
    try:
        return client.request(method, path, json=body)
    except httpx.TransportError as error:
        raise away(error, str(client.base_url)) from error
