from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from connector.ports import (
    Cell,
    Change,
    Constant,
    Failure,
    Fault,
    Judged,
    Members,
    Nulls,
    Outcome,
    Refused,
    Request,
    Route,
    Template,
    TryAgain,
    Unknown,
    ValueType,
)
from connector.systems.pendo.replies import NOT_PENDO
from connector.systems.pendo.settings import INTEGRATION_KEY
from tests.systems.pendo import given

if TYPE_CHECKING:
    from connector.systems.pendo.objects import ObjectDestination

UPSERTS = frozenset({Change.ADDED, Change.CHANGED})
REMOVALS = frozenset({Change.REMOVED})
BOTH = {"custom": {"Plan": "plan"}, "agent": {"tier": {"column": "tier", "nulls": "empty", "type": "integer"}}}


def match_cell() -> Cell:
    return Cell(
        "match",
        "account_id",
        type=ValueType.ID,
        required=True,
        at="sync.yml:match",
        never=("::", "VISITOR-UNIQUE-ID"),
    )


def members(template: Template) -> dict[str, Template]:
    assert isinstance(template, Members)
    return dict(template.members)


def route(destination: ObjectDestination, name: str) -> Route:
    return next(each for each in destination.routes if each.name == name)


def test_there_is_a_route_for_each_group_with_fields() -> None:
    routes = given.objects(given.object_sync(fields=BOTH)).routes

    assert [(each.name, each.changes, each.repeatable) for each in routes] == [
        ("custom", UPSERTS, True),
        ("agent", UPSERTS, True),
    ]


@pytest.mark.parametrize(
    ("obj", "member"), [("visitor", "visitorId"), ("account", "accountId"), ("parent_account", "parentAccountId")]
)
def test_a_record_is_an_id_and_values_under_lower_case_names(obj: str, member: str) -> None:
    routes = given.objects(given.object_sync(object=obj, fields=BOTH)).routes
    custom, agent = (members(each.template) for each in routes)
    tier = Cell(
        "fields.agent.tier",
        "tier",
        type=ValueType.INTEGER,
        nulls=Nulls.EMPTY,
        at="sync.yml:fields.agent.tier",
    )

    assert custom == {
        member: match_cell(),
        "values": Members((("plan", Cell("fields.custom.Plan", "plan", at="sync.yml:fields.custom.Plan")),)),
    }
    assert agent == {member: match_cell(), "values": Members((("tier", tier),))}


def test_constants_and_expressions_are_fields_like_columns() -> None:
    fields = {"custom": {"segment": {"value": "enterprise"}, "band": {"sql": "upper(plan)"}, "none": {"value": None}}}
    values = members(members(given.objects(given.object_sync(fields=fields)).routes[0].template)["values"])

    assert values == {
        "segment": Constant("enterprise"),
        "band": Cell("fields.custom.band", sql="upper(plan)", at="sync.yml:fields.custom.band"),
    }


@pytest.mark.parametrize(
    ("clear_with", "types", "cleared"),
    [
        ("empty", {}, {"plan": "", "tags": [], "seen": ""}),
        ("empty", {"fields.agent.seen": ValueType.LIST}, {"plan": "", "tags": [], "seen": []}),
        ("null", {}, {"plan": None, "tags": None, "seen": None}),
    ],
)
def test_clearing_empties_every_field_of_the_sync(
    clear_with: str, types: dict[str, ValueType], cleared: dict[str, Any]
) -> None:
    fields = {
        "custom": {"Plan": {"value": "pro"}},
        "agent": {"tags": {"column": "tags", "type": "list"}, "seen": "seen"},
    }
    sync = given.object_sync(fields=fields, on_removed="clear")
    custom, agent = given.objects(sync, types, clear_with=clear_with).routes[2:]
    values = {**members(members(custom.template)["values"]), **members(members(agent.template)["values"])}

    assert [(each.name, each.changes) for each in (custom, agent)] == [
        ("clear-custom", REMOVALS),
        ("clear-agent", REMOVALS),
    ]
    assert members(custom.template)["accountId"] == match_cell()
    assert values == {name: Constant(value) for name, value in cleared.items()}


def test_deleting_sends_bare_ids_slowly_and_few_at_a_time() -> None:
    sync = given.object_sync(on_removed="delete", batch={"rows": 1_000, "bytes": 10_000})
    delete = given.objects(sync).routes[-1]

    assert (delete.name, delete.changes, delete.template) == ("delete", REMOVALS, match_cell())
    assert (delete.max_rows, delete.max_bytes) == (500, 10_000 - len('{"accounts":[]}'))
    assert delete.min_interval_s >= 1.0
    assert delete.repeatable


def test_a_batch_is_as_large_as_the_sync_says() -> None:
    destination = given.objects(given.object_sync(batch={"rows": 700, "bytes": 5_000}))

    assert (destination.routes[0].max_rows, destination.routes[0].max_bytes) == (700, 4_998)
    assert destination.limits() == {"custom": 700}


@pytest.mark.parametrize(
    ("obj", "name", "path", "body", "timeout_s"),
    [
        ("account", "custom", "/api/v1/metadata/account/custom/value", [{"id": "a"}, {"id": "b"}], 310.0),
        ("visitor", "agent", "/api/v1/metadata/visitor/agent/value", [{"id": "a"}, {"id": "b"}], 310.0),
        (
            "parent_account",
            "clear-agent",
            "/api/v1/metadata/parentAccount/agent/value",
            [{"id": "a"}, {"id": "b"}],
            310.0,
        ),
    ],
)
def test_a_metadata_batch_is_one_array(obj: str, name: str, path: str, body: Any, timeout_s: float) -> None:
    destination = given.objects(given.object_sync(object=obj, fields=BOTH, on_removed="clear"))
    batch = given.batch(route(destination, name), "a", "b")

    request = destination.build(batch)

    assert (request.method, request.url, request.auth) == ("POST", "https://app.pendo.io" + path, INTEGRATION_KEY)
    assert (request.purpose, request.timeout_s, request.batch) == ("send", timeout_s, batch)
    assert request.headers == {"content-type": "application/json"}
    assert json.loads(request.body) == body


@pytest.mark.parametrize(("obj", "member"), [("visitor", "visitors"), ("account", "accounts")])
def test_a_delete_is_an_object_with_the_ids(obj: str, member: str) -> None:
    destination = given.objects(given.object_sync(object=obj, on_removed="delete"))
    batch = given.batch(route(destination, "delete"), "a", "b")

    request = destination.build(batch)

    assert request.url == f"https://app.pendo.io/api/v1/bulkdelete/{obj}"
    assert request.timeout_s == 30.0
    assert json.loads(request.body) == {member: [{"id": "a"}, {"id": "b"}]}


def judged(status: int, body: Any = b"", *, rows: int = 2, name: str = "custom", obj: str = "account") -> Any:
    on_removed = "delete" if name == "delete" else "do_nothing"
    destination = given.objects(given.object_sync(object=obj, fields=BOTH, on_removed=on_removed))
    identifiers = [f"acct-{row:04d}" for row in range(rows)]
    request = destination.build(given.batch(route(destination, name), *identifiers))
    return destination.judge(request, given.reply(status, body))


@pytest.mark.parametrize(
    ("status", "body", "rows", "verdict"),
    [
        (400, b"bad json", 2, Refused("400: bad json")),
        (422, b"no", 2, Refused("422: no")),
        (413, b"", 2, Refused("413: (empty body)", too_large=True)),
        (408, b"slow", 2, Refused("408: slow", too_large=True)),
        (408, b"slow", 1, TryAgain("408: slow")),
        (429, b"", 2, TryAgain("429: (empty body)", slow_down=True)),
        (503, b"", 2, TryAgain("503: (empty body)", 1.0)),
        (400, b"malformed JSON or missing field mappings", 2, Refused("400: malformed JSON or missing field mappings")),
        (200, b"", 2, Unknown("the answer was cut off or is not JSON")),
    ],
)
def test_a_metadata_reply_has_a_verdict(status: int, body: bytes, rows: int, verdict: Any) -> None:
    assert judged(status, body, rows=rows) == verdict


@pytest.mark.parametrize(
    ("status", "body", "name", "obj", "slug"),
    [
        (400, {"message": "Missing field mappings: tier"}, "agent", "account", "pendo-unknown-field"),
        (403, b"", "custom", "account", "pendo-key-refused"),
        (403, b"", "delete", "account", "pendo-key-refused"),
        (404, b"", "custom", "account", "pendo-not-found"),
        (404, b"", "custom", "parent_account", "parent-accounts-unavailable"),
        (302, b"", "custom", "account", "pendo-unexpected-status"),
    ],
)
def test_a_fault_stops_the_sync(status: int, body: Any, name: str, obj: str, slug: str) -> None:
    verdict = judged(status, body, name=name, obj=obj)

    assert isinstance(verdict, Fault)
    assert verdict.slug == slug
    assert verdict.hint


@pytest.mark.parametrize(
    ("status", "body", "rows", "verdict"),
    [
        (200, {"id": "bd-1"}, 2, Judged(note="queued for deletion as request bd-1")),
        (200, {"requestId": "bd-2"}, 2, Judged(note="queued for deletion as request bd-2")),
        (200, {"status": "queued"}, 2, Judged(note="queued for deletion; Pendo named no request id")),
        (200, b'{"id": "bd', 2, Judged(note="queued for deletion; Pendo named no request id")),
        (400, b"BadRequest", 2, Refused("400: BadRequest")),
        (400, b"BadRequest", 1, Judged(note="was queued for deletion before: BadRequest")),
        (
            400,
            {"message": "id is already queued"},
            1,
            Judged(note="was queued for deletion before: id is already queued"),
        ),
        (400, b"", 1, Judged(note="was queued for deletion before: (empty body)")),
        (400, b"unknown visitors", 1, Judged({0: Failure(Outcome.SKIPPED, "unknown visitors")})),
        (400, b"unknown visitors", 2, Refused("400: unknown visitors")),
        (400, b"ids must be short", 1, Refused("400: ids must be short")),
        (400, b"<html><body>Bad Request</body></html>", 1, Refused("400: Bad Request")),
        (200, b"<html><body>Log in</body></html>", 1, Unknown(NOT_PENDO)),
        (422, b"BadRequest", 1, Refused("422: BadRequest")),
        (408, b"", 2, TryAgain("408: (empty body)")),
        (429, b"", 2, TryAgain("429: (empty body)", slow_down=True)),
        (500, b"", 2, TryAgain("500: (empty body)", 1.0)),
    ],
)
def test_a_delete_reply_has_a_verdict(status: int, body: Any, rows: int, verdict: Any) -> None:
    assert judged(status, body, rows=rows, name="delete") == verdict


@pytest.mark.parametrize(
    ("purpose", "status", "body", "verdict"),
    [
        ("key check", 200, b"", Judged()),
        ("key check", 429, b"", TryAgain("429: (empty body)", slow_down=True)),
        ("read schema", 503, b"", TryAgain("503: (empty body)", 1.0)),
        ("create fields", 201, b"", Judged()),
        ("create fields", 207, b"", Judged()),
        ("create fields", 400, b"", Judged()),
        ("create fields", 409, b"", Judged()),
        ("create fields", 422, b"", Judged()),
        ("create fields", 500, [{"name": "plan", "status": "failed"}], Judged()),
        ("create fields", 500, b"", TryAgain("500: (empty body)", 1.0)),
    ],
)
def test_replies_before_the_first_row_are_judged_without_rows(
    purpose: str, status: int, body: Any, verdict: Any
) -> None:
    request = Request("GET", "https://app.pendo.io/x", INTEGRATION_KEY, purpose)

    assert given.objects().judge(request, given.reply(status, body)) == verdict


@pytest.mark.parametrize(
    ("purpose", "status", "obj", "slug"),
    [
        ("key check", 403, "account", "pendo-key-refused"),
        ("key check", 400, "account", "pendo-unexpected-status"),
        ("create fields", 403, "account", "pendo-key-refused"),
        ("read schema", 404, "account", "pendo-not-found"),
        ("read schema", 404, "parent_account", "parent-accounts-unavailable"),
        ("read schema", 400, "parent_account", "parent-accounts-unavailable"),
        ("key check", 404, "parent_account", "pendo-not-found"),
    ],
)
def test_a_fault_before_the_first_row_stops_the_sync(purpose: str, status: int, obj: str, slug: str) -> None:
    request = Request("GET", "https://app.pendo.io/x", INTEGRATION_KEY, purpose)
    verdict = given.objects(given.object_sync(object=obj)).judge(request, given.reply(status))

    assert isinstance(verdict, Fault)
    assert verdict.slug == slug


def test_metadata_has_nothing_to_probe() -> None:
    destination = given.objects()

    assert destination.probe(given.batch(destination.routes[0], "a", "b")) is None


def test_no_secret_is_in_a_request() -> None:
    destination = given.objects()
    request = destination.build(given.batch(destination.routes[0], "a"))

    assert given.KEY not in repr(request)
