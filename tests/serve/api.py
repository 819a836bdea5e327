"""The server on a real port, and a client that holds every answer against the OpenAPI document."""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from connector import load_project
from connector.serve.app import build_app
from connector.serve.openapi import openapi
from connector.serve.serving import Serving
from connector.state.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette

    from connector.state.history import History
    from tests.e2e.project import Scene

DOCUMENT = openapi()
_PATHS = {re.compile("^" + re.sub(r"\{\w+\}", "[^/]+", path) + "$"): path for path in DOCUMENT["paths"]}


@dataclass(frozen=True, slots=True)
class Api:
    """A served project: a client, and the history behind it."""

    client: httpx.Client
    history: History
    scene: Scene

    def ask(self, method: str, path: str, *, status: int = 200, **options: Any) -> Any:
        """The answer's JSON, after checking its status, and its shape against the document."""
        answer = self.client.request(method, path, **options)
        assert answer.status_code == status, answer.text
        found = answer.json()
        check_shape(method, path.partition("?")[0], status, found)
        return found

    def get(self, path: str, *, status: int = 200, **query: Any) -> Any:
        """The answer to a GET."""
        return self.ask("GET", path, status=status, params=query)

    def post(self, path: str, body: Any = None, *, status: int = 200) -> Any:
        """The answer to a POST of JSON."""
        return self.ask("POST", path, status=status, **({} if body is None else {"json": body}))

    def trigger(self, sync: str, **body: Any) -> int:
        """The number of the run that is asked for."""
        return int(self.post("/api/v1/syncs/trigger", {"syncSlug": sync, **body})["id"])

    def run(self, sync: str, number: int) -> Any:
        """One run of a sync, as a client that waits for it asks for it."""
        (found,) = self.get(f"/api/v1/syncs/{sync}/runs", runId=number)["data"]
        return found

    def work_off(self) -> None:
        """Nothing, after running what waits in the queue, as the scheduler does."""
        for claimed in self.history.triggers.claim("test", limit=10):
            with self.scene.project() as project:
                project.run(claimed.sync, run_id=claimed.run_id, trigger=claimed.trigger, **claimed.options)
            assert self.history.triggers.settle(claimed.id)


def check_shape(method: str, path: str, status: int, found: Any) -> None:
    """Nothing, when the answer is one that the document promises."""
    template = next((template for pattern, template in _PATHS.items() if pattern.match(path)), None)
    assert template is not None, f"{path} is not in the document"
    response = DOCUMENT["paths"][template][method.lower()]["responses"][str(status)]
    name = response.get("$ref", "").rpartition("/")[2]
    response = DOCUMENT["components"]["responses"][name] if name else response
    schema = response["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(found)


@contextmanager
def api(scene: Scene, **changes: Any) -> Iterator[Api]:
    """The project of a scene, served until the end of the block; `changes` are those of `Serving`."""
    with closing(load_project(scene.root, environ={}, strict=False)) as project:
        serving = Serving(
            root=scene.root,
            state_dir=scene.state_dir,
            history=project.history,
            clock=SystemClock(),
            project=lambda: load_project(scene.root, environ={}, strict=False),
            **changes,
        )
        with on_port(build_app(serving)) as url, httpx.Client(base_url=url, timeout=30) as client:
            yield Api(client, project.history, scene)


@contextmanager
def on_port(app: Starlette) -> Iterator[str]:
    """The address of an application that a thread serves until the end of the block."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with closing(listener):
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        config = uvicorn.Config(app, loop="asyncio", ws="none", lifespan="off", log_config=None, access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
