"""The pages over a real port, without a browser."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import threading
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from connector.sandbox import INTEGRATION_KEY, TRACK_EVENT_SECRET
from connector.serve.pages.flow import flow
from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, Scene, scene
from tests.serve.web import served

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = {"accept": "text/html"}
VENDORED = {
    "htmx-4.0.1.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "htmx-4.0.1.LICENSE": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
    "uplot-1.6.32.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot-1.6.32.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uplot-1.6.32.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A project with a run of each kind, one of them with events that are refused."""
    with scene(tmp_path_factory.mktemp("pages") / "p") as place:
        place.accounts(30)
        place.events(60)
        place.sql("UPDATE events SET visitor_id = 'user-' || event_id")
        place.sandbox.add({"failing_ids": {"track_event": {"user-7": "no good", "user-8": "no good"}}})
        place.write(ACCOUNTS, OBJECT_SYNC)
        place.write(EVENTS, EVENT_SYNC, event={"value": "${EVENT_NAME:-Plan Upgraded}"})
        place.run(ACCOUNTS)
        place.run(EVENTS)
        yield place


@pytest.fixture(scope="module")
def web(lived_in: Scene) -> Iterator[httpx.Client]:
    with served(lived_in) as url, httpx.Client(base_url=url, headers=PAGE, timeout=60) as client:
        yield client


def run_of(place: Scene, sync: str) -> str:
    with place.project() as project:
        return project.runs(sync)[0].run_id


def window(web: httpx.Client, run: str, **words: Any) -> Any:
    answer = web.get(f"/runs/{run}/calls/window", params=words)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_is_vendored_is_what_was_published() -> None:
    folder = files("connector.serve") / "assets" / "vendor"
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

    assert found == VENDORED


def test_every_page_is_there_and_names_no_secret(web: httpx.Client, lived_in: Scene) -> None:
    run, objects = run_of(lived_in, EVENTS), run_of(lived_in, ACCOUNTS)
    (first, *_) = window(web, run)["lines"]
    paths = ["/", "/runs", "/rows", "/rows?key=7", f"/runs/{run}", f"/runs/{objects}", f"/runs/{run[-6:]}"]
    paths += [f"/runs/{run}/calls", f"/runs/{run}/rows", f"/runs/{run}/rows?key=7", f"/calls/{first[0]}"]
    paths += [f"/calls/{first[0] + 1}/difference?with={first[0]}", f"/calls/{first[0]}/curl", f"/calls/{first[0]}/har"]
    paths += [f"/syncs/{EVENTS}{tail}" for tail in ("", "/rows", "/config", "/plan", "/compiled")]
    answers = {path: web.get(path) for path in paths}

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(paths, 200)
    for path, answer in answers.items():
        for secret in (INTEGRATION_KEY, TRACK_EVENT_SECRET):
            assert secret not in answer.text, path
    assert "${EVENT_NAME}" in answers[f"/syncs/{EVENTS}/config"].text
    assert "Plan Upgraded" not in answers[f"/syncs/{EVENTS}/config"].text


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/nothing", 404, "no such page"),
        ("/runs/nothing", 404, "no run is called"),
        ("/calls/999999", 404, "there is no call"),
        ("/calls/99999999999999999999999999", 404, "there is no call"),
        ("/syncs/nothing", 404, "there is no sync"),
        ("/syncs/nothing/config", 404, "there is no sync"),
        ("/runs?page=x", 400, "whole number"),
        ("/assets/../app.py", 404, ""),
        ("/assets/vendor/../../app.py", 404, ""),
    ],
)
def test_what_is_not_there_is_said_in_words(web: httpx.Client, path: str, status: int, told: str) -> None:
    answer = web.get(path)

    assert answer.status_code == status
    assert told in answer.text
    assert "Traceback" not in answer.text


def test_calls_are_read_a_window_at_a_time(web: httpx.Client, lived_in: Scene) -> None:
    run = run_of(lived_in, EVENTS)
    everything = window(web, run, limit=500)
    total = everything["total"]
    pieces = [line for at in range(0, total, 3) for line in window(web, run, offset=at, limit=3)["lines"]]

    assert total > 5
    assert pieces == everything["lines"]
    assert [line[0] for line in pieces] == sorted(line[0] for line in pieces)


@pytest.mark.parametrize(
    ("words", "takes"),
    [
        ({"status": "4xx"}, lambda line: line[4] == 400),
        ({"verdict": "refused"}, lambda line: line[8] == "refused"),
        ({"url": "/data/track"}, lambda line: line[3].endswith("/data/track")),
        ({"min_ms": "100000"}, lambda _: False),
        ({"max_ms": "100000"}, lambda _: True),
        ({"status": "none"}, lambda _: False),
    ],
)
def test_calls_are_filtered(web: httpx.Client, lived_in: Scene, words: dict[str, str], takes: Any) -> None:
    run = run_of(lived_in, EVENTS)
    everything = window(web, run, limit=500)["lines"]

    assert window(web, run, limit=500, **words)["lines"] == [line for line in everything if takes(line)]


def test_calls_are_found_by_their_bodies_and_by_what_became_of_their_rows(web: httpx.Client, lived_in: Scene) -> None:
    run = run_of(lived_in, EVENTS)
    with lived_in.project() as project:
        carried = [call.id for call in project.calls(run) if '"user-7"' in (call.request_body or "")]
        decided = {row["call_id"] for row in project.rows(run, outcome="rejected")}

    assert [line[0] for line in window(web, run, text='"USER-7"', limit=500)["lines"]] == carried
    assert {line[0] for line in window(web, run, outcome="rejected", limit=500)["lines"]} == decided
    assert window(web, run, text="nowhere to be found")["total"] == 0


def test_points_tell_when_each_call_was_made_and_how_it_went(web: httpx.Client, lived_in: Scene) -> None:
    run = run_of(lived_in, EVENTS)
    points = web.get(f"/runs/{run}/points").json()

    assert len(points["id"]) == window(web, run)["total"]
    assert {"failed", "split"} <= set(points["kind"]) <= {"ok", "failed", "split"}
    assert all(ms > 0 for ms in points["ms"])


def test_rows_are_exported(web: httpx.Client, lived_in: Scene) -> None:
    run = run_of(lived_in, EVENTS)
    text = web.get(f"/runs/{run}/rows.csv", params={"outcome": "rejected"})
    documents = web.get(f"/runs/{run}/rows.json").json()
    undelivered = web.get(f"/syncs/{EVENTS}/rows.json").json()

    assert [row["key"] for row in csv.DictReader(io.StringIO(text.text))] == ["7", "8"]
    assert "attachment" in text.headers["content-disposition"]
    assert len(documents) == 60
    assert [row["key"] for row in undelivered] == ["7", "8"]
    assert web.get(f"/runs/{run}/rows.xml").status_code == 400


def test_the_config_page_shows_what_changed_since_the_last_run(real: Scene) -> None:
    real.accounts(3)
    real.write(ACCOUNTS, OBJECT_SYNC)
    real.run(ACCOUNTS)
    with served(real) as url:
        same = httpx.get(f"{url}/syncs/{ACCOUNTS}/config", headers=PAGE).text
        real.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": 77})
        changed = httpx.get(f"{url}/syncs/{ACCOUNTS}/config", headers=PAGE).text

    assert "The file says what" in same
    assert re.search(r'class="plus">\+.*77', changed)


def test_a_file_that_cannot_be_read_is_named_on_the_first_page(real: Scene) -> None:
    real.write(ACCOUNTS, OBJECT_SYNC)
    real.write("broken", OBJECT_SYNC, modle="accounts")
    with served(real) as url:
        page = httpx.get(url, headers=PAGE)
        (real.root / "connector.yml").write_text("sources: [", encoding="utf-8")
        unreadable = httpx.get(url, headers=PAGE)

    assert page.status_code == unreadable.status_code == 200
    assert "sync_configs/broken.yml:" in page.text
    assert f"/syncs/{ACCOUNTS}" in page.text
    assert "connector.yml:1" in unreadable.text


def test_a_sync_whose_state_cannot_be_read_is_named_and_the_others_are_shown(real: Scene) -> None:
    real.accounts(3)
    real.write(ACCOUNTS, OBJECT_SYNC)
    real.run(ACCOUNTS)
    real.write("damaged", OBJECT_SYNC)
    (real.state_dir / "syncs" / "damaged.duckdb").write_bytes(b"no database " * 1000)
    with served(real) as url:
        page = httpx.get(url, headers=PAGE)

    assert page.status_code == 200
    assert "damaged.duckdb" in page.text
    assert f"/syncs/{ACCOUNTS}" in page.text


def test_a_run_is_asked_for_taken_back_and_followed(real: Scene) -> None:
    real.write(ACCOUNTS, OBJECT_SYNC)
    with served(real) as url, httpx.Client(base_url=url, headers=PAGE) as web, real.project() as project:
        asked = web.post(f"/syncs/{ACCOUNTS}/run", data={"force": "1"})
        (waiting,) = project.history.triggers.waiting(ACCOUNTS)
        assert asked.headers["hx-redirect"] == f"/runs/{waiting.run_id}"
        assert (waiting.trigger, waiting.options) == ("web", {"force": True})
        assert "begins as soon as it can" in web.get(f"/runs/{waiting.run_id}").text
        assert "waiting" in web.get("/").text
        assert "1 waiting run" in web.post(f"/syncs/{ACCOUNTS}/withdraw").text
        assert "taken back" in web.get(f"/runs/{waiting.run_id}").text
        assert web.post("/syncs/nothing/run").status_code == 404
        assert web.post(f"/syncs/{ACCOUNTS}/pause").status_code == 200
        assert "paused" in web.get("/").text
        assert web.post(f"/syncs/{ACCOUNTS}/resume").status_code == 200


def test_a_run_that_has_ended_is_not_cancelled(real: Scene) -> None:
    real.accounts(2)
    real.write(ACCOUNTS, OBJECT_SYNC)
    run = real.run(ACCOUNTS).run.run_id
    with served(real) as url:
        answer = httpx.post(f"{url}/runs/{run}/cancel")

    assert answer.status_code == 400
    assert answer.json()["error"]["slug"] == "run-has-ended"


def test_a_call_is_replayed_and_shown_beside_the_one_it_repeats(real: Scene) -> None:
    real.accounts(5)
    real.write(ACCOUNTS, OBJECT_SYNC)
    run = real.run(ACCOUNTS).run.run_id
    with served(real) as url, httpx.Client(base_url=url, headers=PAGE) as web:
        (call,) = [line[0] for line in window(web, run)["lines"] if line[7]]
        before = len(real.sandbox.requests)
        again = web.post(f"/calls/{call}/replay", data={"to": "sandbox"})
        page = web.get(again.headers["hx-redirect"]).text

    assert len(real.sandbox.requests) == before + 1
    assert "replay" in page
    assert f"difference?with={call}" in page


def test_whoever_watches_is_told_until_the_run_is_over(real: Scene) -> None:
    real.accounts(200)
    real.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": 5})
    real.point_at(concurrency=1)
    real.sandbox.add_faults({"latency_ms": 40})
    thread = threading.Thread(target=real.run, args=[ACCOUNTS])
    told: list[tuple[str, Any]] = []
    with served(real) as url, httpx.Client(base_url=url, timeout=60) as web:
        thread.start()
        while not real.sandbox.requests:
            pass
        run = run_of(real, ACCOUNTS)
        with web.stream("GET", f"/runs/{run}/live") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            name = ""
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    told.append((name, json.loads(line.removeprefix("data: "))))
        late = web.get(f"/runs/{run}/live").text
        known = web.get(f"/runs/{run}/points").json()
    thread.join()

    names = [name for name, _ in told]
    assert names[-1] == "over"
    assert names.count("run") >= 2
    live = {call for name, value in told if name == "points" for call in value["id"]}
    assert live
    assert live <= set(known["id"])
    assert "event: over" in late


@pytest.fixture
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("real") / "p") as made:
        yield made


@pytest.mark.parametrize(
    ("rows", "outcomes", "waiting", "names"),
    [
        ({}, {}, 0, None),
        ({"queried": 5, "unchanged": 5}, {}, 0, {"queried", "unchanged"}),
        ({"removed": 2}, {"skipped": 2}, 0, {"removed", "planned", "skipped"}),
        (
            {"queried": 10, "null_key": 1, "unchanged": 2, "added": 3, "changed": 4, "removed": 1},
            {"succeeded": 5, "rejected": 1},
            2,
            {"queried", "null_key", "unchanged", "added", "changed", "removed", "planned", "succeeded"}
            | {"rejected", "waiting"},
        ),
        ({"queried": 10**7, "unchanged": 10**7 - 1, "added": 1}, {"succeeded": 1}, 0, None),
    ],
)
def test_a_run_is_drawn_with_everything_that_it_counted(
    rows: dict[str, int], outcomes: dict[str, int], waiting: int, names: set[str] | None
) -> None:
    zero = dict.fromkeys(("queried", "null_key", "duplicate_key", "unchanged", "added", "changed", "removed"), 0)
    drawn = flow(zero | rows, outcomes, waiting)

    if not rows:
        assert drawn is None
        return
    assert drawn is not None
    if names is not None:
        assert {node.name for node in drawn.nodes} == names
    assert all(node.height >= 2 and node.y + node.height <= drawn.height for node in drawn.nodes)
    assert all(band.path.startswith("M") for band in drawn.bands)
