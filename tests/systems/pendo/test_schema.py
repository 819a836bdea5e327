from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from connector.errors import ConfigErrors, DestinationError
from connector.ports import Request, ValueType
from connector.systems.pendo import check
from tests.systems.pendo import given

if TYPE_CHECKING:
    from collections.abc import Sequence

WRITES = given.reply(200, {"valid": True, "writeAccess": True})


def schema(custom: dict[str, str] | None = None, agent: dict[str, str] | None = None, **more: Any) -> Any:
    """A reply to reading the schema, with fields by their type."""
    groups = {"custom": custom or {}, "agent": agent or {}}
    typed = {
        group: {name: {"Type": kind, "DisplayName": name, "isDeleted": False} for name, kind in fields.items()}
        for group, fields in groups.items()
    }
    return given.reply(200, {**typed, "auto": {"id": {"Type": "string"}}, **more})


def prepared(
    fields: dict[str, Any], answers: Sequence[Any], types: dict[str, ValueType] | None = None, obj: str = "account"
) -> list[Request]:
    destination = given.objects(given.object_sync(object=obj, fields=fields), types)
    return given.drive(destination.prepare(), answers)[1]


def refused(fields: dict[str, Any], answers: Sequence[Any], types: dict[str, ValueType] | None = None) -> ConfigErrors:
    with pytest.raises(ConfigErrors) as caught:
        prepared(fields, answers, types)
    return caught.value


def made(name: str, **changed: Any) -> dict[str, Any]:
    return {"column": name, "create": True, **changed}


def test_a_sync_whose_fields_are_there_checks_the_key_and_reads_the_schema() -> None:
    asked = prepared({"custom": {"Plan": "plan"}}, [WRITES, schema({"plan": "string"})])

    assert [(each.method, each.url, each.auth, each.purpose) for each in asked] == [
        ("GET", "https://app.pendo.io/api/v1/token/verify", "integration_key", "key check"),
        ("GET", "https://app.pendo.io/api/v1/metadata/schema/account", "integration_key", "read schema"),
    ]


@pytest.mark.parametrize(
    ("answer", "slug"),
    [
        (given.reply(200, {"valid": True, "writeAccess": False}), "read-only-key"),
        (given.reply(200, {"valid": False}), "pendo-key-refused"),
        (given.reply(403), "pendo-key-refused"),
        (given.reply(404), "pendo-not-found"),
        (given.reply(200, b"<html>log in</html>"), "pendo-unreadable-answer"),
        (given.reply(200, []), "pendo-unreadable-answer"),
    ],
)
def test_a_key_that_may_not_write_stops_the_sync(answer: Any, slug: str) -> None:
    with pytest.raises(DestinationError) as caught:
        prepared({"custom": {"plan": "plan"}}, [answer])

    assert caught.value.problem.slug == slug
    assert caught.value.problem.hint


def test_a_key_that_says_nothing_of_writing_may_try() -> None:
    assert len(prepared({"custom": {"plan": "plan"}}, [given.reply(200, {}), schema({"plan": ""})])) == 2


@pytest.mark.parametrize("answer", [given.reply(200, b"nonsense"), given.reply(404), given.reply(418)])
def test_a_schema_that_cannot_be_read_stops_the_sync(answer: Any) -> None:
    with pytest.raises(DestinationError):
        prepared({"custom": {"plan": "plan"}}, [WRITES, answer])


@pytest.mark.parametrize("status", [400, 404])
def test_parent_accounts_that_pendo_does_not_serve_stop_the_sync_with_the_reason(status: int) -> None:
    with pytest.raises(DestinationError) as caught:
        prepared({"custom": {"plan": "plan"}}, [WRITES, given.reply(status)], obj="parent_account")

    assert caught.value.problem.slug == "parent-accounts-unavailable"


def test_all_missing_fields_are_reported_at_once() -> None:
    fields = {"custom": {"plan_teir": "plan", "seats": "seats", "role": "role"}, "agent": {"tier": "tier"}}
    error = refused(fields, [WRITES, schema({"plan_tier": "string"}, {"role": "string"})])

    assert [(each.slug, each.at) for each in error.problems] == [
        ("unknown-field", "sync.yml:fields.custom.plan_teir"),
        ("unknown-field", "sync.yml:fields.custom.seats"),
        ("unknown-field", "sync.yml:fields.custom.role"),
        ("unknown-field", "sync.yml:fields.agent.tier"),
    ]
    assert [each.hint for each in error.problems] == [
        "did you mean 'plan_tier'? or add `create: true` to make it",
        "add `create: true` to make it",
        "group 'agent' has a field of this name; or add `create: true` to make it",
        "add `create: true` to make it",
    ]
    assert error.exit_code == 1


def test_a_deleted_field_is_a_missing_one() -> None:
    answer = given.reply(200, {"custom": {"plan": {"Type": "string", "isDeleted": True}}})

    assert [each.slug for each in refused({"custom": {"plan": "plan"}}, [WRITES, answer]).problems] == ["unknown-field"]


@pytest.mark.parametrize(
    "answer",
    [
        {"custom": {"Plan": {"type": "STRING", "isdeleted": False}}},
        {"custom": {"plan": None}, "odd": 3},
        {"custom": {"plan": {}}},
    ],
)
def test_a_schema_is_read_in_any_casing(answer: Any) -> None:
    assert len(prepared({"custom": {"plan": "plan"}}, [WRITES, given.reply(200, answer)])) == 2


@pytest.mark.parametrize(
    ("there", "sent", "fits"),
    [
        ("", "string", True),
        ("", "list", True),
        ("string", "integer", True),
        ("string", "boolean", True),
        ("unheard-of", "string", True),
        ("integer", "integer", True),
        ("integer", "float", False),
        ("integer", "string", False),
        ("float", "integer", True),
        ("float", "float", True),
        ("float", "boolean", False),
        ("number", "float", True),
        ("number", "string", False),
        ("boolean", "boolean", True),
        ("boolean", "time", False),
        ("boolean", "integer", False),
        ("time", "date", True),
        ("time", "time", True),
        ("time", "integer", True),
        ("time", "string", False),
        ("time", "boolean", False),
        ("list", "list", True),
        ("list", "string", False),
    ],
)
def test_a_field_takes_what_does_not_damage_it(there: str, sent: str, fits: bool) -> None:
    answers = [WRITES, schema(agent={"f": there})]
    by_type = {"agent": {"f": {"column": "f", "type": sent}}}
    by_column = {"agent": {"f": "f"}}
    types = {"fields.agent.f": ValueType(sent)}

    if fits:
        assert len(prepared(by_type, answers)) == len(prepared(by_column, answers, types)) == 2
    else:
        for error in (refused(by_type, answers), refused(by_column, answers, types)):
            assert [(each.slug, each.at) for each in error.problems] == [
                ("field-type-conflict", "sync.yml:fields.agent.f")
            ]


def test_a_field_that_could_only_be_made_as_a_number_takes_every_number() -> None:
    answers = [WRITES, schema({"score": "integer"})]

    assert len(prepared({"custom": {"score": made("score", type="float")}}, answers)) == 2
    assert refused({"custom": {"score": made("score", type="string")}}, answers).problems


def test_a_constant_has_a_type_too() -> None:
    error = refused({"custom": {"seats": {"value": "many"}}}, [WRITES, schema({"seats": "integer"})])

    assert [each.slug for each in error.problems] == ["field-type-conflict"]


def test_missing_fields_are_made_with_their_types() -> None:
    fields = {
        "custom": {
            "Plan": made("plan"),
            "seats": made("seats", type="integer"),
            "score": made("score", type="float"),
            "paying": made("paying", type="boolean"),
            "renews_at": made("renews_at", type="time"),
            "since": made("since", type="date"),
            "there": "there",
        },
        "agent": {"tier": {"value": "gold", "create": True}},
    }
    after = schema(
        {
            "plan": "string",
            "seats": "float",
            "score": "float",
            "paying": "boolean",
            "renews_at": "time",
            "since": "time",
        },
        {"tier": "string"},
    )
    asked = prepared(
        fields,
        [WRITES, schema({"there": "string"}), given.reply(201), given.reply(201), after],
        {"fields.custom.Plan": ValueType.STRING},
    )

    assert [(each.method, each.url.rpartition("/v1/")[2], each.purpose) for each in asked[2:]] == [
        ("POST", "metadata/schema/account/custom", "create fields"),
        ("POST", "metadata/schema/account/agent", "create fields"),
        ("GET", "metadata/schema/account", "read schema"),
    ]
    assert json.loads(asked[2].body) == [
        {"name": "plan", "displayname": "Plan", "type": "string"},
        {"name": "seats", "displayname": "seats", "type": "number"},
        {"name": "score", "displayname": "score", "type": "number"},
        {"name": "paying", "displayname": "paying", "type": "boolean"},
        {"name": "renews_at", "displayname": "renews_at", "type": "time"},
        {"name": "since", "displayname": "since", "type": "time"},
    ]
    assert json.loads(asked[3].body) == [{"name": "tier", "displayname": "tier", "type": "string"}]


@pytest.mark.parametrize(("count", "calls"), [(24, [24]), (25, [24, 1]), (60, [24, 24, 12])])
def test_fields_are_made_24_a_call(count: int, calls: list[int]) -> None:
    names = [f"f{number}" for number in range(count)]
    fields = {"custom": {name: made(name, type="string") for name in names}}
    after = schema(dict.fromkeys(names, "string"))
    asked = prepared(fields, [WRITES, schema(), *(given.reply(201) for _ in calls), after])

    assert [len(json.loads(each.body)) for each in asked if each.purpose == "create fields"] == calls


def per_field(name: str, status: str, message: str = "") -> dict[str, Any]:
    return {"schema": {"name": name}, "status": status, **({"error": {"message": message}} if message else {})}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, b""),
        (201, {"results": [per_field("plan", "created")], "summary": {"created": 1, "total": 1}}),
        (409, {"results": [per_field("plan", "failed", "exists")]}),
        (409, b""),
        (207, {"fields": [per_field("plan", "undeleted")]}),
        (207, [per_field("plan", "created")]),
        (207, {"any": [{"name": "Plan", "status": "Created"}]}),
        (207, {"any": [per_field("plan", "failed", "already exists")]}),
    ],
)
def test_a_field_that_pendo_says_it_has_need_not_be_in_the_schema_yet(status: int, body: Any) -> None:
    fields = {"custom": {"plan": made("plan", type="string")}}

    assert len(prepared(fields, [WRITES, schema(), given.reply(status, body), schema()])) == 4


@pytest.mark.parametrize("status", [201, 207, 400, 409, 422, 500])
def test_the_schema_read_again_is_the_truth(status: int) -> None:
    fields = {"custom": {"plan": made("plan", type="string")}}
    answers = [WRITES, schema(), given.reply(status, [per_field("plan", "failed", "no")]), schema({"plan": "string"})]

    assert len(prepared(fields, answers)) == 4


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (207, {"results": [per_field("plan", "failed", "name is taken")]}, "name is taken"),
        (207, {"results": [per_field("plan", "failed")]}, "failed"),
        (207, {"results": [per_field("other", "created"), "odd", {"schema": 3}]}, "207: "),
        (422, [per_field("plan", "failed", "bad type")], "bad type"),
        (400, {"message": "wrong format"}, "400: wrong format"),
        (500, b"<html>oops</html>", "500: oops"),
    ],
)
def test_a_field_that_was_not_made_is_reported_in_pendos_words(status: int, body: Any, words: str) -> None:
    fields = {"custom": {"plan": made("plan", type="string")}}
    error = refused(fields, [WRITES, schema(), given.reply(status, body), schema()])

    assert [(each.slug, each.at) for each in error.problems] == [("field-not-created", "sync.yml:fields.custom.plan")]
    assert words in error.problems[0].message


def test_a_list_field_cannot_be_made() -> None:
    fields = {"agent": {"tags": made("tags", type="list"), "plan": made("plan")}}
    error = refused(fields, [WRITES, schema()])

    assert [(each.slug, each.at) for each in error.problems] == [
        ("list-field", "sync.yml:fields.agent.tags"),
        ("untyped-field", "sync.yml:fields.agent.plan"),
    ]


def test_nothing_is_made_while_another_field_stands_in_the_way() -> None:
    fields = {"custom": {"plan": made("plan", type="string"), "tier": "tier", "seats": {"value": "x"}}}
    error = refused(fields, [WRITES, schema({"seats": "integer"})])

    assert [each.slug for each in error.problems] == ["unknown-field", "field-type-conflict"]


@pytest.mark.parametrize(
    ("settings", "answers", "said"),
    [
        (
            {},
            [WRITES],
            "the integration key may write; the Track Event Shared Secret is set; Pendo has no call that checks it",
        ),
        (
            {"track_event_secret": None},
            [given.reply(200, {"valid": True, "writeAccess": False})],
            "the integration key is read-only: it cannot write objects",
        ),
        (
            {"integration_key": None},
            [],
            "the Track Event Shared Secret is set; Pendo has no call that checks it",
        ),
        (
            {"integration_key": None, "track_event_secret": None},
            [],
            "neither integration_key nor track_event_secret is set",
        ),
    ],
)
def test_checking_says_what_the_secrets_may_do(settings: dict[str, Any], answers: list[Any], said: str) -> None:
    assert given.drive(check(given.settings(**settings)), answers)[0] == said


def test_checking_fails_for_a_refused_key_and_hints_at_its_region() -> None:
    with pytest.raises(DestinationError) as refused_key:
        given.drive(check(given.settings()), [given.reply(403)])
    with pytest.raises(DestinationError) as invalid:
        given.drive(check(given.settings(region="us", integration_key="k.eu")), [given.reply(200, {"valid": False})])

    assert refused_key.value.problem.slug == invalid.value.problem.slug == "pendo-key-refused"
    assert "points to region 'eu'" in str(invalid.value.problem.hint)
