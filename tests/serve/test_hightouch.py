"""The REST API in the shapes of Hightouch's v1, over a real port; every answer is held against the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from connector.errors import Problem
from connector.sandbox import INTEGRATION_KEY, TRACK_EVENT_SECRET
from connector.serve.openapi import merge, openapi
from connector.state.runs import Finish, NewRun
from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, Scene, scene
from tests.serve.api import Api, api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

V1 = "/api/v1"
NOWHERE = "1234567"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path / "p") as found:
        found.accounts(20)
        found.write("account_health", OBJECT_SYNC, schedule={"every": "90m"}, description="Health per account")
        found.write("plan_upgrades", EVENT_SYNC, schedule={"cron": "0 6 * * *", "timezone": "Europe/Berlin"})
        yield found


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server for tests that only look."""
    with scene(tmp_path_factory.mktemp("shown") / "p") as found:
        found.write("account_health", OBJECT_SYNC, schedule={"every": "90m"}, description="Health per account")
        found.write("plan_upgrades", EVENT_SYNC, schedule={"cron": "0 6 * * *", "timezone": "Europe/Berlin"})
        with api(found) as served:
            yield served


@pytest.fixture
def served(made: Scene) -> Iterator[Api]:
    with api(made) as found:
        yield found


def counts(added: int = 0, changed: int = 0, removed: int = 0) -> dict[str, int]:
    return {"addedCount": added, "changedCount": changed, "removedCount": removed}


# --- what there is ----------------------------------------------------------------------------------------------------


def test_a_sync_is_shown_with_its_model_destination_schedule_and_state(shown: Api) -> None:
    listed = shown.get(f"{V1}/syncs")
    one, other = listed["data"]

    assert listed["hasMore"] is False
    assert (one["slug"], other["slug"]) == ("account_health", "plan_upgrades")
    assert one["configuration"]["object"] == "account"
    assert one["schedule"] == {"type": "interval", "schedule": {"interval": {"unit": "minute", "quantity": 90}}}
    assert other["schedule"] == {"type": "cron", "schedule": {"expression": "0 6 * * *"}}
    assert (one["status"], one["disabled"], one["lastRunAt"]) == ("pending", False, None)
    assert one["primaryKey"] == "account_id"
    assert one["referencedColumns"] == ["account_id", "health", "plan"]
    assert shown.get(f"{V1}/models/{one['modelId']}")["slug"] == ACCOUNTS
    assert shown.get(f"{V1}/destinations/{one['destinationId']}")["syncs"] == [one["id"], other["id"]]


def test_columns_in_expressions_are_referenced_too(served: Api) -> None:
    fields = {"custom": {"band": {"sql": "case when health > 10 then 'high' else plan end"}, "fix": {"value": "plan"}}}
    served.scene.write("banded", OBJECT_SYNC, fields=fields)

    assert served.get(f"{V1}/syncs/banded")["referencedColumns"] == ["account_id", "health", "plan"]


def test_a_model_is_shown_with_its_sql_source_and_syncs(shown: Api) -> None:
    found = shown.get(f"{V1}/models/{EVENTS}")

    assert found["raw"] == {"sql": "select * from events"}
    assert shown.get(f"{V1}/sources/{found['sourceId']}")["type"] == "duckdb"
    assert [shown.get(f"{V1}/syncs/{number}")["slug"] for number in found["syncs"]] == ["plan_upgrades"]
    assert found["lastRunSize"] is None


def test_a_model_knows_the_size_of_its_last_good_run(served: Api) -> None:
    served.scene.run("account_health")

    assert served.get(f"{V1}/models/{ACCOUNTS}")["lastRunSize"] == 20


@pytest.mark.parametrize("kind", ["syncs", "models", "sources", "destinations"])
def test_nothing_secret_is_shown(shown: Api, kind: str) -> None:
    text = shown.client.get(f"{V1}/{kind}").text

    assert '"configuration"' in text or kind == "models"
    assert INTEGRATION_KEY not in text
    assert TRACK_EVENT_SECRET not in text


@pytest.mark.parametrize("kind", ["syncs", "models", "sources", "destinations"])
def test_everything_is_found_by_its_number_and_by_its_name(shown: Api, kind: str) -> None:
    for listed in shown.get(f"{V1}/{kind}")["data"]:
        assert shown.get(f"{V1}/{kind}/{listed['id']}") == listed
        assert shown.get(f"{V1}/{kind}/{listed['slug']}") == listed
        assert shown.get(f"{V1}/{kind}", slug=listed["slug"])["data"] == [listed]


@pytest.mark.parametrize("kind", ["syncs", "models", "sources", "destinations"])
@pytest.mark.parametrize("wanted", [NOWHERE, "0", "-1", "no_such_thing"])
def test_what_there_is_not_is_not_found(shown: Api, kind: str, wanted: str) -> None:
    refused = shown.get(f"{V1}/{kind}/{wanted}", status=404)

    assert refused["message"] == "Not found"
    assert wanted in refused["details"]


def test_a_list_is_cut_into_pages(served: Api) -> None:
    for number in range(5):
        served.scene.write(f"more_{number}", OBJECT_SYNC)
    pages = [served.get(f"{V1}/syncs", limit=3, offset=offset, orderBy="slug") for offset in (0, 3, 6, 9)]

    assert [len(page["data"]) for page in pages] == [3, 3, 1, 0]
    assert [page["hasMore"] for page in pages] == [True, True, False, False]
    slugs = [one["slug"] for page in pages for one in page["data"]]
    assert slugs == sorted(slugs)
    assert len(set(slugs)) == 7


def test_syncs_are_filtered_by_model_and_by_their_last_run(served: Api) -> None:
    served.scene.run("account_health")
    model = served.get(f"{V1}/models/{EVENTS}")["id"]

    def slugs(**query: Any) -> list[str]:
        return [one["slug"] for one in served.get(f"{V1}/syncs", **query)["data"]]

    assert slugs(modelId=model) == ["plan_upgrades"]
    assert slugs(after="2020-01-01T00:00:00Z") == ["account_health"]
    assert slugs(before="2020-01-01T00:00:00") == []
    assert slugs(name="plan_upgrades", slug="plan_upgrades") == ["plan_upgrades"]
    assert slugs(name="plan_upgrades", slug="account_health") == []


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        ("syncs", {"limit": "many"}, "query.limit"),
        ("syncs", {"limit": 0}, "query.limit"),
        ("models", {"offset": -1}, "query.offset"),
        ("syncs", {"modelId": "accounts"}, "query.modelId"),
        ("syncs", {"after": "yesterday"}, "query.after"),
        ("sources", {"orderBy": "size"}, "query.orderBy"),
        ("syncs/account_health/runs", {"orderBy": "size"}, "query.orderBy"),
        ("syncs/account_health/runs", {"within": "soon"}, "query.within"),
    ],
)
def test_a_query_that_cannot_be_is_refused_by_name(shown: Api, path: str, query: dict[str, Any], name: str) -> None:
    shown.get(f"{V1}/syncs")

    refused = shown.get(f"{V1}/{path}", status=422, **query)

    assert refused["message"] == "Validation failed"
    assert list(refused["details"]) == [name]


def test_a_number_stays_when_the_server_starts_again_and_other_syncs_come(served: Api) -> None:
    before = {one["slug"]: one["id"] for one in served.get(f"{V1}/syncs")["data"]}
    served.scene.write("aaa_first_by_name", OBJECT_SYNC)

    with api(served.scene) as again:
        after = {one["slug"]: one["id"] for one in again.get(f"{V1}/syncs")["data"]}

    assert after == before | {"aaa_first_by_name": 3}


def test_a_number_is_never_given_again(served: Api) -> None:
    served.get(f"{V1}/syncs")
    (served.scene.root / "sync_configs" / "account_health.yml").unlink()
    served.scene.write("another", OBJECT_SYNC)

    assert [one["id"] for one in served.get(f"{V1}/syncs")["data"]] == [2, 3]
    served.get(f"{V1}/syncs/1", status=404)


def test_a_sync_that_runs_after_another_has_no_schedule_of_hightouch_s(served: Api) -> None:
    served.scene.write("plan_upgrades", EVENT_SYNC, schedule={"after": "account_health"})

    assert served.get(f"{V1}/syncs/plan_upgrades")["schedule"] is None


def test_a_paused_sync_is_disabled_and_can_still_be_asked_to_run(served: Api) -> None:
    served.history.pauses.pause("account_health")
    paused = served.get(f"{V1}/syncs/account_health")
    served.trigger("account_health")

    assert (paused["disabled"], paused["status"]) == (True, "disabled")
    assert served.get(f"{V1}/syncs/account_health")["status"] == "queued"


# --- asking for a run -------------------------------------------------------------------------------------------------


def test_a_run_is_followed_from_the_queue_to_its_counts(served: Api) -> None:
    sync = served.get(f"{V1}/syncs", slug="account_health")["data"][0]["id"]
    number = served.post(f"{V1}/syncs/{sync}/trigger")["id"]

    queued = served.run("account_health", int(number))
    assert (queued["status"], queued["startedAt"], queued["completionRatio"]) == ("queued", None, 0)
    assert served.get(f"{V1}/syncs/{sync}")["status"] == "queued"

    served.work_off()
    done = served.run("account_health", int(number))

    assert number == str(done["id"])
    assert done["status"] == "success"
    assert (done["querySize"], done["completionRatio"], done["error"]) == (20, 1, None)
    assert (done["plannedRows"], done["successfulRows"], done["failedRows"]) == (counts(20), counts(20), counts())
    assert queued["createdAt"] == done["createdAt"] <= done["startedAt"] <= done["finishedAt"]
    assert served.get(f"{V1}/syncs/{sync}")["lastRunAt"] == done["startedAt"]


@pytest.mark.parametrize("form", ["json", "data"])
@pytest.mark.parametrize("by", ["syncId", "syncSlug"])
def test_a_run_is_asked_for_by_number_or_name_in_json_or_as_a_form(served: Api, form: str, by: str) -> None:
    number = served.get(f"{V1}/syncs/account_health")["id"]
    options: dict[str, Any] = {form: {by: number if by == "syncId" else "account_health"}}

    asked = served.ask("POST", f"{V1}/syncs/trigger", **options)

    assert served.run("account_health", int(asked["id"]))["status"] == "queued"
    assert [each.sync for each in served.history.triggers.waiting()] == ["account_health"]


def test_a_second_one_while_one_waits_is_the_same_run(served: Api) -> None:
    first = served.trigger("account_health")
    again = served.trigger("account_health", fullResync=True)

    assert first == again
    (waiting,) = served.history.triggers.waiting("account_health")
    assert waiting.options == {"full_resync": True}


@pytest.mark.parametrize("by_schedule", [False, True])
def test_a_run_that_waits_is_newer_than_those_that_nobody_had_numbered(served: Api, by_schedule: bool) -> None:
    earlier = [served.scene.run("account_health").json()["run_id"] for _ in range(2)]
    if by_schedule:
        served.history.triggers.ask("account_health", trigger="schedule")
    else:
        served.trigger("account_health")
    waiting, *begun = served.get(f"{V1}/syncs/account_health/runs")["data"]
    served.work_off()
    listed = served.get(f"{V1}/syncs/account_health/runs")["data"]

    assert waiting["status"] == "queued"
    assert [each["id"] for each in listed] == [waiting["id"], *(each["id"] for each in begun)] == [3, 2, 1]
    assert served.get(f"{V1}/runs/1")["run_id"] == earlier[0]


def test_a_full_resync_sends_rows_that_did_not_change(served: Api) -> None:
    served.scene.run("account_health")
    plain = served.trigger("account_health")
    served.work_off()
    full = served.trigger("account_health", fullResync="true")
    served.work_off()

    assert served.run("account_health", plain)["plannedRows"] == counts()
    assert served.run("account_health", full)["successfulRows"] == counts(changed=20)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({}, "body.syncId"),
        ({"syncId": "account_health"}, "body.syncId"),
        ({"syncId": 1, "syncSlug": "account_health"}, "body.syncSlug"),
        ({"syncId": 1, "fullResync": "perhaps"}, "body.fullResync"),
        ({"syncSlug": ["account_health"]}, "body.syncSlug"),
        ({"syncSlug": "account_health", "resetCDC": True}, "body.resetCDC"),
        ({"syncSlug": "account_health", "clearAndFill": True}, "body.clearAndFill"),
        ({"syncSlug": "plan_upgrades", "fullResync": True}, "body.fullResync"),
    ],
)
def test_a_body_that_cannot_be_is_refused_by_name(shown: Api, body: dict[str, Any], name: str) -> None:
    refused = shown.post(f"{V1}/syncs/trigger", body, status=422)

    assert list(refused["details"]) == [name]
    assert shown.history.triggers.waiting() == ()


@pytest.mark.parametrize("content", [b"{", b"[1]", b'"account_health"', b"\xff\xfe"])
def test_a_body_that_cannot_be_read_is_a_bad_request(shown: Api, content: bytes) -> None:
    for path in (f"{V1}/syncs/trigger", f"{V1}/syncs/account_health/trigger"):
        refused = shown.ask("POST", path, status=400, content=content)
        assert refused["message"] == "Bad request"


@pytest.mark.parametrize("body", [{"syncId": NOWHERE}, {"syncSlug": "no_such_sync"}])
def test_nothing_is_asked_of_a_sync_that_there_is_not(shown: Api, body: dict[str, str]) -> None:
    shown.post(f"{V1}/syncs/trigger", body, status=404)
    shown.post(f"{V1}/syncs/{NOWHERE}/trigger", status=404)
    shown.get(f"{V1}/syncs/no_such_sync/runs", status=404)

    assert shown.history.triggers.waiting() == ()


# --- how runs end -----------------------------------------------------------------------------------------------------


def test_refused_rows_make_a_warning_and_unknown_ones_do_not(served: Api) -> None:
    served.scene.sandbox.add({"failing_ids": {"account": {"acct-3": "no good", "acct-7": "no good"}}})
    served.scene.sql("INSERT INTO accounts VALUES ('nobody', 1.0, 'plan-0')")
    number = served.trigger("account_health")
    served.work_off()
    done = served.run("account_health", number)

    assert done["status"] == "warning"
    assert (done["plannedRows"], done["successfulRows"], done["failedRows"]) == (counts(21), counts(18), counts(2))


def test_a_held_run_has_failed_and_says_why(served: Api) -> None:
    served.scene.write("account_health", OBJECT_SYNC, guardrails={"max_changed": 5})
    served.scene.run("account_health")
    served.scene.sql("UPDATE accounts SET health = health + 1")
    number = served.trigger("account_health")
    served.work_off()
    done = served.run("account_health", number)

    assert done["status"] == "failed"
    assert "max_changed" in done["error"]
    assert (done["plannedRows"], done["successfulRows"]) == (counts(changed=20), counts())
    assert served.get(f"{V1}/runs/{number}")["status"] == "held"


STATES: list[tuple[str, str]] = [
    ("querying", "querying"),
    ("processing", "processing"),
    ("reporting", "reporting"),
    ("cancelled", "cancelled"),
    ("interrupted", "interrupted"),
    ("failed", "failed"),
]


@pytest.mark.parametrize(("ours", "theirs"), STATES)
def test_each_state_has_its_word(served: Api, ours: str, theirs: str) -> None:
    served.history.triggers.ask("account_health", trigger="api")
    (asked,) = served.history.triggers.claim("test", limit=1)
    begin(served, asked.run_id)
    if ours in ("querying", "processing", "reporting"):
        served.history.runs.stage(asked.run_id, ours)  # type: ignore[arg-type]  # the words are the stages
    else:
        served.history.runs.finish(asked.run_id, Finish(ours, error=Problem("it broke", "broken", hint="mend it")))
    number = served.history.numbers.one("run", asked.run_id).number
    found = served.run("account_health", number)

    assert found["status"] == theirs == served.get(f"{V1}/syncs/account_health")["status"]
    assert (found["finishedAt"] is None) == (ours == theirs and ours.endswith("ing"))
    assert found["error"] == (None if ours.endswith("ing") else "it broke (mend it)")


def test_a_run_that_goes_on_tells_how_far_it_is(served: Api) -> None:
    asked = served.history.triggers.ask("account_health", trigger="api")
    begin(served, asked.run_id)
    served.history.runs.plan(asked.run_id, {"queried": 30, "added": 15, "changed": 5, "removed": 0})
    served.history.runs.stage(asked.run_id, "processing")
    found = served.run("account_health", served.history.numbers.one("run", asked.run_id).number)

    assert (found["querySize"], found["plannedRows"]) == (30, counts(15, 5))
    assert found["completionRatio"] == 0


def test_a_run_that_could_not_begin_has_failed_with_its_reason(served: Api) -> None:
    number = served.trigger("account_health")
    (claimed,) = served.history.triggers.claim("test", limit=1)
    assert served.run("account_health", number)["status"] == "queued"
    served.history.triggers.settle(claimed.id, Problem("the warehouse does not answer", "source-unreachable"))
    found = served.run("account_health", number)

    assert (found["status"], found["error"]) == ("failed", "the warehouse does not answer")
    assert found["finishedAt"] is not None
    assert served.get(f"{V1}/runs/{number}")["error"]["slug"] == "source-unreachable"


def test_a_run_whose_process_died_is_interrupted(served: Api) -> None:
    number = served.trigger("account_health")
    (claimed,) = served.history.triggers.claim("test", limit=1)
    begin(served, claimed.run_id)
    assert served.run("account_health", number)["status"] == "querying"
    served.history.triggers.settle(claimed.id, Problem("its process ended with -9", "interrupted"))

    found = served.run("account_health", number)
    (listed,) = served.get(f"{V1}/syncs/account_health/runs")["data"]

    assert (found["status"], found["error"]) == ("interrupted", "its process ended with -9")
    assert listed == found


def begin(served: Api, run_id: str) -> None:
    served.get(f"{V1}/syncs")
    new = NewRun(run_id, "account_health", "api", ACCOUNTS, "pendo", "account", {}, pid=1, host="elsewhere")
    served.history.runs.start(new)


# --- lists of runs ----------------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_with_those_that_wait_on_top(served: Api) -> None:
    for _ in range(5):
        served.scene.run("account_health")
    waiting = served.trigger("account_health")
    path = f"{V1}/syncs/account_health/runs"
    pages = [served.get(path, limit=4, offset=offset) for offset in (0, 4, 8)]
    found = [run["id"] for page in pages for run in page["data"]]

    assert [page["hasMore"] for page in pages] == [True, False, False]
    assert [len(page["data"]) for page in pages] == [4, 2, 0]
    assert found[0] == waiting
    assert found[1:] == sorted(found[1:], reverse=True)
    assert len(set(found)) == 6
    for order in ("createdAt", "startedAt", "finishedAt"):
        assert [run["id"] for run in served.get(path, orderBy=order)["data"]] == found


def test_runs_are_filtered_by_when_they_started(served: Api) -> None:
    served.scene.run("account_health")
    served.trigger("account_health")
    path = f"{V1}/syncs/account_health/runs"

    assert len(served.get(path)["data"]) == 2
    assert len(served.get(path, within=60)["data"]) == 1
    assert len(served.get(path, after="2020-01-01T00:00:00+02:00")["data"]) == 1
    assert served.get(path, before="2020-01-01")["data"] == []


def test_a_run_is_found_by_our_own_name_and_only_under_its_sync(served: Api) -> None:
    run_id = served.scene.run("account_health").run.run_id
    served.get(f"{V1}/syncs")
    (found,) = served.get(f"{V1}/syncs/account_health/runs", runId=run_id)["data"]

    assert served.run("account_health", found["id"]) == found
    assert served.get(f"{V1}/syncs/plan_upgrades/runs", runId=run_id) == {"data": [], "hasMore": False}
    assert served.get(f"{V1}/syncs/account_health/runs", runId=NOWHERE)["data"] == []
    assert served.get(f"{V1}/syncs/account_health/runs", runId="nothing")["data"] == []


# --- a run by itself --------------------------------------------------------------------------------------------------


def test_a_run_by_itself_is_what_the_command_line_prints(served: Api) -> None:
    result = served.scene.run("account_health")
    number = served.get(f"{V1}/syncs/account_health/runs")["data"][0]["id"]

    assert served.get(f"{V1}/runs/{number}") == result.json() | {"id": number}
    assert served.get(f"{V1}/runs/{result.run.run_id}") == result.json() | {"id": number}
    served.get(f"{V1}/runs/{NOWHERE}", status=404)
    served.post(f"{V1}/runs/nothing/cancel", status=404)


def test_a_run_that_waits_is_taken_out_of_the_queue(served: Api) -> None:
    number = served.trigger("account_health")

    assert served.get(f"{V1}/runs/{number}")["status"] == "queued"
    assert served.post(f"{V1}/runs/{number}/cancel")["status"] == "cancelled"
    assert served.run("account_health", number)["status"] == "cancelled"
    assert served.history.triggers.waiting() == ()
    assert served.post(f"{V1}/runs/{number}/cancel", status=409)["message"] == "Conflict"


def test_a_run_that_goes_on_is_told_to_stop(served: Api) -> None:
    asked = served.history.triggers.ask("account_health", trigger="api")
    (claimed,) = served.history.triggers.claim("test", limit=1)
    begin(served, claimed.run_id)
    stopped = served.post(f"{V1}/runs/{asked.run_id}/cancel")

    assert stopped["status"] == "running"
    assert served.history.cancels.asked(asked.run_id)
    served.history.runs.finish(asked.run_id, Finish("cancelled"))
    served.post(f"{V1}/runs/{asked.run_id}/cancel", status=409)


# --- who may ask ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic c2VjcmV0OnRva2Vu"}, 401),
        ({"authorization": "Bearer secret-token"}, 200),
    ],
)
def test_a_token_is_needed_where_one_is_set(made: Scene, headers: dict[str, str], status: int) -> None:
    with api(made, token="secret-token") as served:
        found = served.ask("GET", f"{V1}/syncs", status=status, headers=headers)
        served.ask("POST", f"{V1}/syncs/account_health/trigger", status=status, headers=headers)

    assert ("data" in found) == (status == 200)


def test_a_server_that_only_shows_starts_and_stops_nothing(made: Scene) -> None:
    with api(made, read_only=True) as served:
        run_id = served.history.triggers.ask("account_health", trigger="web").run_id
        served.get(f"{V1}/syncs")
        served.post(f"{V1}/syncs/account_health/trigger", status=403)
        served.post(f"{V1}/runs/{run_id}/cancel", status=403)

        assert [each.run_id for each in served.history.triggers.waiting()] == [run_id]


# --- everything else --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/sync-sequences/1/trigger", 404),
        ("POST", "/syncs", 405),
        ("PATCH", "/syncs/1", 405),
        ("DELETE", "/models/1", 405),
        ("GET", "/syncs/1/trigger", 405),
    ],
)
def test_what_the_api_does_not_have_is_refused_in_its_own_form(shown: Api, method: str, path: str, status: int) -> None:
    refused = shown.client.request(method, V1 + path)

    assert refused.status_code == status
    assert set(refused.json()) == {"message", "details"}
    assert ("allow" in refused.headers) == (status == 405)


def test_a_project_that_is_gone_is_told_in_the_api_s_own_form(served: Api) -> None:
    (served.scene.root / "connector.yml").unlink()
    refused = served.client.get(f"{V1}/syncs")

    assert refused.status_code == 409
    assert "connector.yml" in refused.json()["details"]


def test_a_sync_with_an_error_leaves_the_others_as_they_are(served: Api) -> None:
    (served.scene.root / "sync_configs" / "account_health.yml").write_text("model: [", encoding="utf-8")

    assert [one["slug"] for one in served.get(f"{V1}/syncs")["data"]] == ["plan_upgrades"]
    served.post(f"{V1}/syncs/account_health/trigger", status=404)


def test_the_openapi_document_is_served_and_valid(shown: Api) -> None:
    document = shown.client.get("/openapi.json").json()

    assert document == openapi()
    assert document["openapi"].startswith("3.1")
    assert {f"{V1}/syncs/trigger", f"{V1}/syncs/{{id}}/runs"} <= set(document["paths"])
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_parts_of_the_document_may_not_contradict_each_other() -> None:
    document = {"paths": {"/one": {"get": {"summary": "a"}}}, "tags": [{"name": "a"}]}
    merge(document, {"paths": {"/two": {}}, "tags": [{"name": "b"}]})

    assert list(document["paths"]) == ["/one", "/two"]
    assert document["tags"] == [{"name": "a"}, {"name": "b"}]
    with pytest.raises(ValueError, match="summary"):
        merge(document, {"paths": {"/one": {"get": {"summary": "b"}}}})


def test_many_ask_at_once_and_get_the_same_numbers(shown: Api) -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: httpx.get(f"{shown.client.base_url}{V1}/syncs").json(), range(16)))

    assert all(answer == found[0] for answer in found)
    assert [one["id"] for one in found[0]["data"]] == [1, 2]
