"""What the OpenAPI document promises of /api/ui holds, also for requests that nobody has thought of."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from connector import load_project
from connector.serve.app import build_app
from connector.serve.data import OPERATIONS, PREFIX
from connector.serve.serving import Serving
from connector.state.clock import SystemClock
from tests.e2e.project import EVENT_SYNC, OBJECT_SYNC, scene
from tests.serve.api import on_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.project import Scene

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@contextmanager
def served(world: Scene, **changes: Any) -> Iterator[httpx.Client]:
    """A client of the project, served on a real port until the end of the block."""
    with closing(load_project(world.root, environ={}, strict=False)) as project:
        serving = Serving(
            root=world.root,
            state_dir=world.state_dir,
            history=project.history,
            clock=SystemClock(),
            project=lambda: load_project(world.root, environ={}, strict=False),
            **changes,
        )
        with on_port(build_app(serving)) as url, httpx.Client(base_url=url, timeout=30) as client:
            yield client


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Twenty accounts, of which Pendo refuses one and does not know another; and some events."""
    with scene(tmp_path_factory.mktemp("schema") / "project") as made:
        made.accounts(20)
        made.sql("INSERT INTO accounts VALUES ('=cmd', 1, 'unknown')")
        made.events(5)
        made.write("accounts", OBJECT_SYNC)
        made.write("events", EVENT_SYNC)
        made.sandbox.add_faults({"path": "*/value", "status": 400, "text": "bad", "last": 4})
        made.run("accounts")
        made.sandbox.clear_faults()
        made.run("accounts")
        made.run("events")
        yield made


@pytest.fixture(scope="module")
def client(world: Scene) -> Iterator[httpx.Client]:
    with served(world) as found:
        yield found


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> Any:
    return schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")


@pytest.mark.parametrize(("method", "path"), [(each.method, PREFIX + each.path) for each in OPERATIONS])
def test_every_answer_is_one_that_the_document_promises(document: Any, method: str, path: str) -> None:
    @settings(max_examples=5, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(document[path][method].as_strategy())
    def ask(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()


def test_runs_are_filtered_and_paged(client: httpx.Client) -> None:
    everything = client.get("/api/ui/runs").json()
    first = client.get("/api/ui/runs", params={"limit": 1}).json()
    warned = client.get("/api/ui/runs", params={"sync": "accounts", "status": "warning"}).json()
    one = client.get(f"/api/ui/runs/{everything['data'][0]['run_id']}").json()

    assert [run["sync"] for run in everything["data"]] == ["events", "accounts", "accounts"]
    assert first["more"]
    assert not everything["more"]
    assert {run["status"] for run in warned["data"]} <= {"warning"}
    assert one["calls"] > 0


def test_calls_come_in_windows_with_their_number(client: httpx.Client) -> None:
    run_id = client.get("/api/ui/runs", params={"sync": "accounts"}).json()["data"][-1]["run_id"]
    every = client.get(f"/api/ui/runs/{run_id}/calls").json()
    some = client.get(f"/api/ui/runs/{run_id}/calls", params={"limit": 2}).json()
    rest = client.get(f"/api/ui/runs/{run_id}/calls", params={"after": some["next_after"]}).json()
    refused = client.get(f"/api/ui/runs/{run_id}/calls", params={"status": "4xx"}).json()
    text = client.get(f"/api/ui/runs/{run_id}/calls", params={"text": "ACCT-13"}).json()
    wrong = client.get(f"/api/ui/runs/{run_id}/calls", params={"status": "soon"})

    assert every["total"] == len(every["data"]) > 3
    assert some["data"] + rest["data"] == every["data"]
    assert {call["status"] for call in refused["data"]} == {400}
    assert 0 < len(text["data"]) < len(every["data"])
    assert text["total"] is None
    assert text["complete"]
    assert wrong.status_code == 400
    assert wrong.json()["error"]["slug"] == "bad-query"


def test_a_call_opens_with_its_tree(client: httpx.Client) -> None:
    run_id = client.get("/api/ui/runs", params={"sync": "accounts"}).json()["data"][-1]["run_id"]
    (refused, *_) = client.get(f"/api/ui/runs/{run_id}/calls", params={"verdict": "refused"}).json()["data"]
    call = client.get(f"/api/ui/calls/{refused['id']}").json()
    tree = client.get(f"/api/ui/calls/{refused['id']}/tree").json()["data"]

    assert json.loads(call["request_body"])[0]["accountId"] == "acct-0"
    assert len(tree) > 1
    assert client.get("/api/ui/calls/999999").status_code == 404
    assert client.get("/api/ui/calls/x").json()["error"]["slug"] == "unknown-call"


def test_a_row_has_a_story_and_its_key_is_found_by_its_beginning(client: httpx.Client) -> None:
    story = client.get("/api/ui/story", params={"key": "acct-13", "sync": "accounts"}).json()
    found = client.get("/api/ui/keys", params={"prefix": "acct-1", "limit": 5}).json()["data"]

    assert [entry["outcome"] for entry in story["entries"]][-1] in ("succeeded", "rejected")
    assert story["entries"][0]["after"]["custom"]["accountId"] == "acct-13"
    assert len(found) == 5
    assert found[0] == {"sync": "accounts", "key": "acct-1"}


def test_rows_are_counted_and_grouped_and_come_as_files(client: httpx.Client) -> None:
    run_id = client.get("/api/ui/runs", params={"sync": "accounts"}).json()["data"][0]["run_id"]
    rows = client.get(f"/api/ui/runs/{run_id}/rows", params={"limit": 1, "part": "CMD"}).json()
    reasons = client.get(f"/api/ui/runs/{run_id}/reasons").json()["data"]
    saved = client.get(f"/api/ui/runs/{run_id}/rows/file", params={"format": "csv"})
    har = client.get(f"/api/ui/runs/{run_id}/calls/file", params={"format": "har"})
    shell = client.get(f"/api/ui/runs/{run_id}/calls/file", params={"format": "curl"}).text

    assert rows["total"] == 1
    assert rows["data"][0]["key"] == "=cmd"
    assert reasons[0]["outcome"] == "skipped"
    assert "'=cmd" in [row["key"] for row in csv.DictReader(io.StringIO(saved.text))]
    assert saved.headers["content-disposition"].startswith("attachment")
    assert har.json()["log"]["version"] == "1.2"
    assert shell.startswith("curl ")


def test_a_replay_to_the_destination_needs_a_confirmation(client: httpx.Client, world: Scene) -> None:
    run_id = client.get("/api/ui/runs", params={"sync": "accounts"}).json()["data"][0]["run_id"]
    call = client.get(f"/api/ui/runs/{run_id}/calls").json()["data"][-1]
    refused = client.post(f"/api/ui/calls/{call['id']}/replay", json={"to": "destination"})
    done = client.post(f"/api/ui/calls/{call['id']}/replay", json={"to": "destination", "confirm": True})
    sandbox = client.post(f"/api/ui/calls/{call['id']}/replay", json={"url": world.url})
    far = client.post(f"/api/ui/calls/{call['id']}/replay", json={"url": "http://example.com"})

    assert refused.status_code == 400
    assert done.json()["parent_id"] == call["id"]
    assert done.json()["status"] == 200
    assert sandbox.json()["status"] == 200
    assert far.status_code == 409
    assert far.json()["error"]["slug"] == "replay-elsewhere"


def test_a_read_only_server_changes_nothing(world: Scene) -> None:
    with served(world, read_only=True) as client:
        answers = [client.post(f"/api/ui/syncs/accounts/{word}", json={}) for word in ("retry", "release")]
        looked = client.get("/api/ui/syncs").json()["data"]

    assert {answer.status_code for answer in answers} == {403}
    assert [sync["name"] for sync in looked] == ["accounts", "events"]
