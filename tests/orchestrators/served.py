"""`connector serve` as a process of its own."""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.project import Scene

TOKEN = "secret-token"
START_S = 60


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs, and the project behind it."""

    url: str
    token: str
    scene: Scene

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return int(self.url.rpartition(":")[2])

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of an answer of the API."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.get(f"{self.url}/api/v1{path}", params=query, headers=headers, timeout=30)
        return answer.raise_for_status().json()

    def post(self, path: str) -> Any:
        """The JSON of an answer to a POST."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.post(f"{self.url}/api/v1{path}", headers=headers, timeout=30)
        return answer.raise_for_status().json()

    def trigger(self, sync: str) -> str:
        """The number of a run that was asked for."""
        return str(self.post(f"/syncs/{sync}/trigger")["id"])

    def cancel(self, number: str) -> None:
        """Nothing, after asking the run to stop."""
        self.post(f"/runs/{number}/cancel")

    def number(self, sync: str) -> int:
        """The number of a sync."""
        return int(self.get(f"/syncs/{sync}")["id"])

    def last_run(self, sync: str) -> dict[str, Any]:
        """The newest run of a sync, in Hightouch's shape."""
        newest: dict[str, Any] = self.get(f"/syncs/{sync}/runs", limit=1)["data"][0]
        return newest


def needs(engine: str) -> pytest.MarkDecorator:
    """A mark that skips where the engine is not installed; its nox session makes sure that it is."""
    missing = importlib.util.find_spec(engine) is None
    return pytest.mark.skipif(missing, reason=f"{engine} is not installed: python3 dev.py nox -s {engine}")


@contextmanager
def serving(scene: Scene, token: str, *options: str) -> Iterator[Served]:
    """The project, served on a free port until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = scene.start("serve", "--port", str(port), *options, environ={"CONNECTOR_SERVE_TOKEN": token})
    try:
        wait_until_ready(process, url)
        yield Served(url, token, scene)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def wait_until(happened: Callable[[], object], most_s: float = 180) -> None:
    """Nothing, when that has happened; or when it has not for so long, which the test will then say."""
    until = time.monotonic() + most_s
    while not happened() and time.monotonic() < until:
        time.sleep(0.1)


def wait_until_ready(process: subprocess.Popen[str], url: str) -> None:
    """Nothing, when the server answers."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise AssertionError(f"`connector serve` ended: {process.communicate()}")
        try:
            httpx.get(f"{url}/openapi.json", timeout=5)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"`connector serve` does not answer at {url}")
