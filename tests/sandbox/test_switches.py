"""Every switch, under each of its values, shows the effect it is described by."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from connector.errors import ConfigError
from connector.sandbox import SWITCHES, Switch, Switches
from tests.sandbox.peer import KEY, NOW_MS, SECRET, Peer, event, spec

DAY_MS = 86_400_000
Effect = Callable[[Peer], Any]


def wrong_key(pendo: Peer) -> Any:
    return pendo.http.get("/api/v1/token/verify").status_code


def read_only_key(pendo: Peer) -> Any:
    pendo.box.add({"write_access": False})
    return pendo.write({"v-1": {"plan": "pro"}}).status_code


def error_body(pendo: Peer) -> Any:
    answer = pendo.post("/api/v1/metadata/visitor/auto/value", [])
    return answer.headers.get("content-type"), answer.text


def third_call_of_a_second(pendo: Peer) -> Any:
    for _ in range(50):
        pendo.box.state.recent_calls.append(pendo.box.now())
    return pendo.get("/api/v1/token/verify").status_code


def retry_after(pendo: Peer) -> Any:
    pendo.box.switch(rate_limit=1)
    pendo.get("/api/v1/token/verify")
    return pendo.get("/api/v1/token/verify").headers.get("retry-after")


def large_body(pendo: Peer) -> Any:
    return pendo.track(event(properties={"text": "x" * 100_000})).status_code


def gzipped(pendo: Peer) -> Any:
    body = gzip.compress(json.dumps(event()).encode())
    return pendo.http.post("/data/track", content=body, headers={**SECRET, "content-encoding": "gzip"}).status_code


def connection_header(pendo: Peer) -> Any:
    return pendo.get("/api/v1/token/verify").headers.get("connection")


def array(pendo: Peer) -> Any:
    return pendo.track([event(), event()]).status_code, len(pendo.box.events)


def long_array(pendo: Peer) -> Any:
    return pendo.track([event()] * 51).status_code


def wrong_secret(pendo: Peer) -> Any:
    status = pendo.http.post("/data/track", json=event(), headers=KEY).status_code
    return status, len(pendo.box.events), len(pendo.box.received_events())


def other_header(pendo: Peer) -> Any:
    headers = {"x-pendo-track-event-secret": SECRET["x-pendo-integration-key"]}
    return pendo.http.post("/data/track", json=event(), headers=headers).status_code


def without_visitor(pendo: Peer) -> Any:
    return pendo.track(event(visitorId=...)).status_code, len(pendo.box.events)


def without_timestamp(pendo: Peer) -> Any:
    return pendo.track(event(timestamp=...)).status_code, [each["timestamp"] for each in pendo.box.events]


def track_body(pendo: Peer) -> Any:
    return pendo.track(event()).text


def old_event(pendo: Peer) -> Any:
    return pendo.track(event(timestamp=NOW_MS - 8 * DAY_MS)).status_code, len(pendo.box.events)


def future_event(pendo: Peer) -> Any:
    return pendo.track(event(timestamp=NOW_MS + DAY_MS)).status_code, len(pendo.box.events)


def same_event_thrice(pendo: Peer) -> Any:
    return [pendo.track(event(visitorId=each)).status_code for each in ("v-1", "v-2", "v-1", "v-1")], len(
        pendo.box.events
    )


def nested_property(pendo: Peer) -> Any:
    return pendo.track(event(properties={"plan": {"name": "pro"}})).status_code


def long_event_name(pendo: Peer) -> Any:
    return pendo.track(event(event="x" * 65)).status_code


def visitors_after_processing(pendo: Peer) -> Any:
    pendo.track(event())
    pendo.box.advance(3600)
    return list(pendo.box.visitors), list(pendo.box.accounts)


def hours_until_processed(pendo: Peer) -> Any:
    pendo.track(event())
    for hours in range(8):
        if pendo.get("/api/v1/tracktype").json():
            return hours
        pendo.box.advance(3600)
    return None


def blank_id(pendo: Peer) -> Any:
    answer = pendo.write({" ": {"plan": "pro"}}, create=True).json()
    return answer["failed"], pendo.track(event(visitorId="::")).status_code


def long_id(pendo: Peer) -> Any:
    return pendo.write({"v" * 129: {"plan": "pro"}}, create=True).json()["failed"]


def upper_case_id(pendo: Peer) -> Any:
    pendo.write({"V-1": {"plan": "pro"}}, create=True)
    return list(pendo.box.visitors)


def parent_account(pendo: Peer) -> Any:
    pendo.box.add_objects("parent_account", ["p-1"])
    written = pendo.write({"p-1": {"plan": "pro"}}, kind="parentAccount").status_code
    return written, pendo.get("/api/v1/metadata/schema/parentAccount").status_code


def unknown_agent_field(pendo: Peer) -> Any:
    pendo.box.add_objects("visitor", ["v-1"])
    return pendo.write({"v-1": {"role": "admin"}}, group="agent").status_code, pendo.values("v-1", "agent")


def invalid_field_name(pendo: Peer) -> Any:
    pendo.box.add_objects("visitor", ["v-1"])
    return pendo.write({"v-1": {"a b": 1, "plan": "pro"}}).status_code, pendo.values("v-1")


def record_without_id(pendo: Peer) -> Any:
    answer = pendo.write_records([{"values": {"plan": "pro"}}])
    return answer.status_code, answer.json().get("errors")


def wrong_types(pendo: Peer) -> Any:
    pendo.box.add_objects("visitor", ["v-1"])
    pendo.box.add_fields("visitor", "custom", {"seats": "integer", "renews": "time"})
    answer = pendo.write({"v-1": {"seats": "12", "renews": "soon"}})
    return answer.status_code, answer.json().get("failed"), pendo.values("v-1")


def date_without_time(pendo: Peer) -> Any:
    pendo.box.switch(metadata_wrong_type="record_error")
    pendo.box.add_objects("visitor", ["v-1"])
    pendo.box.add_fields("visitor", "custom", {"renews": "time"})
    return pendo.write({"v-1": {"renews": "2026-01-02"}}).json()["failed"]


def errors(pendo: Peer) -> Any:
    pendo.box.add({"failing_ids": {"visitor": {"v-1": "is frozen"}}})
    return pendo.write({"v-1": {"plan": "pro"}}, create=True).json()["errors"]


def no_failures(pendo: Peer) -> Any:
    answer = pendo.write({"v-1": {"plan": "pro"}}, create=True).json()
    return answer.get("missing", "absent"), answer.get("errors", "absent")


def created(pendo: Peer) -> Any:
    answer = pendo.write({"v-1": {"plan": "pro"}}, create=True).json()
    return answer["total"], answer["updated"], answer.get("created")


def cleared(pendo: Peer) -> Any:
    pendo.box.add({"visitors": [{"id": "v-1", "metadata": {"custom": {"a": "x", "b": "x"}}}]})
    pendo.write({"v-1": {"a": "", "b": None}})
    return pendo.values("v-1")


def same_id_twice(pendo: Peer) -> Any:
    pendo.box.add_objects("visitor", ["v-1"])
    records = [{"visitorId": "v-1", "values": {"plan": plan}} for plan in ("free", "pro")]
    return pendo.write_records(records).json()["failed"], pendo.values("v-1")["plan"]


def blocked_id(pendo: Peer) -> Any:
    pendo.box.add({"visitors": [{"id": "v-1", "do_not_process": True}]})
    answer = pendo.write({"v-1": {"plan": "pro"}}).json()
    return answer["updated"], answer.get("missing"), pendo.values("v-1")


def slow_records(pendo: Peer) -> Any:
    return pendo.write({f"v-{n}": {"plan": "pro"} for n in range(101)}, create=True).status_code


def applied_before_408(pendo: Peer) -> Any:
    pendo.box.switch(seconds_per_record=100)
    status = pendo.write({f"v-{n}": {"plan": "pro"} for n in range(5)}, create=True).status_code
    return status, len(pendo.box.visitors)


def put_unknown_field(pendo: Peer) -> Any:
    pendo.box.add_objects("visitor", ["v-1"])
    return pendo.put("/api/v1/metadata/visitor/custom/value/v-1/plan", "pro").status_code, pendo.values("v-1")


def more_types(pendo: Peer) -> Any:
    return [pendo.make_fields(spec(f"a_{type_}", type_), group="agent").status_code for type_ in ("integer", "list")]


def number_type(pendo: Peer) -> Any:
    pendo.make_fields(spec("seats", "number"))
    return pendo.get("/api/v1/metadata/schema/visitor").json()["custom"]["seats"]["Type"]


def container(pendo: Peer) -> Any:
    answer = pendo.make_fields(spec("plan")).json()
    return "list" if isinstance(answer, list) else [key for key in answer if key != "summary"]


def one_invalid_field(pendo: Peer) -> Any:
    answer = pendo.make_fields(spec("plan"), spec("1st"))
    return answer.status_code, list(pendo.box.fields("visitor")["custom"])


def new_field(pendo: Peer) -> Any:
    pendo.make_fields(spec("plan"))
    before = "plan" in pendo.get("/api/v1/metadata/schema/visitor").json()["custom"]
    pendo.box.advance(300)
    return before, "plan" in pendo.get("/api/v1/metadata/schema/visitor").json()["custom"]


def deleted_again(pendo: Peer) -> Any:
    pendo.box.switch(bulkdelete_fast_calls="allow")
    pendo.delete("v-1")
    return pendo.delete("v-1", "v-2").status_code, pendo.box.deletions[0].ids


def unknown_deletion(pendo: Peer) -> Any:
    pendo.box.add_objects("visitor", ["v-1"])
    return pendo.delete("v-1", "gone").status_code, pendo.box.do_not_process("visitor")


def two_deletions(pendo: Peer) -> Any:
    first = pendo.delete("v-1").json()["id"]
    pendo.clock.seconds += 2
    return pendo.delete("v-2").json()["id"] == first


def deletion_keys(pendo: Peer) -> Any:
    return {"id", "requestId", "status", "state"} & set(pendo.delete("v-1").json())


def fast_deletions(pendo: Peer) -> Any:
    pendo.delete("v-1")
    return pendo.delete("v-2").status_code


def read_only_aggregation(pendo: Peer) -> Any:
    pendo.box.add({"write_access": False})
    return pendo.aggregate({"source": {"visitors": None}}).status_code


READ_ONLY = "group auto is read-only"
EFFECTS: dict[str, tuple[Effect, dict[Any, Any]]] = {
    "wrong_key_status": (wrong_key, {403: 403, 401: 401}),
    "read_only_key_status": (read_only_key, {403: 403, 401: 401}),
    "error_bodies": (
        error_body,
        {
            "json": ("application/json", f'{{"error":"{READ_ONLY}"}}'),
            "plain": ("text/plain; charset=utf-8", READ_ONLY),
            "html": ("text/html; charset=utf-8", "<html><body><h1>Error 400</h1></body></html>"),
            "empty": (None, ""),
        },
    ),
    "rate_limit": (third_call_of_a_second, {None: 200, 50: 429}),
    "retry_after": (retry_after, {"absent": None, "seconds": "1", "date": "Thu, 09 Oct 2025 08:53:22 GMT"}),
    "body_limit_bytes": (large_body, {None: 200, 100_000: 413}),
    "gzip_requests": (gzipped, {"refuse": 400, "accept": 200}),
    "keep_alive": (connection_header, {"keep": None, "close": "close"}),
    "track_arrays": (array, {"array_atomic": (200, 2), "single_only": (400, 0)}),
    "track_max_events": (long_array, {None: 200, 50: 400}),
    "track_wrong_secret": (wrong_secret, {401: (401, 0, 0), 403: (403, 0, 0), "accept_and_drop": (200, 0, 1)}),
    "track_secret_header": (other_header, {"either": 200, "integration_key_only": 401}),
    "track_missing_field": (without_visitor, {"reject": (400, 0), "accept_and_drop": (200, 0)}),
    "track_missing_timestamp": (
        without_timestamp,
        {"arrival_time": (200, [NOW_MS]), "reject": (400, []), "accept_and_drop": (200, [])},
    ),
    "track_reply_body": (track_body, {"empty": "", "text": "OK", "json": '{"status":"ok"}'}),
    "track_old_events": (old_event, {"store": (200, 1), "drop": (200, 0)}),
    "track_future_events": (future_event, {"store": (200, 1), "drop": (200, 0)}),
    "track_duplicates": (same_event_thrice, {"keep": ([200] * 4, 4), "merge": ([200] * 4, 2)}),
    "track_nested_properties": (nested_property, {"store": 200, "reject": 400}),
    "track_event_name_max": (long_event_name, {None: 200, 64: 400}),
    "track_unknown_ids": (visitors_after_processing, {"create": (["v-1"], ["a-1"]), "ignore": ([], [])}),
    "event_processing": (hours_until_processed, {"after_1h": 1, "after_6h": 6, "at_once": 0}),
    "id_rules": (blank_id, {"none": (0, 200), "agent": (1, 400)}),
    "id_max_length": (long_id, {None: 0, 128: 1}),
    "lower_case_visitor_ids": (upper_case_id, {False: ["V-1"], True: ["v-1"]}),
    "parent_account_routes": (
        parent_account,
        {"served": (200, 200), "not_found": (404, 404), "bad_request": (400, 400)},
    ),
    "agent_unknown_field": (unknown_agent_field, {"refuse_call": (400, {}), "create": (200, {"role": "admin"})}),
    "custom_invalid_name": (invalid_field_name, {"refuse_call": (400, {}), "drop_field": (200, {"plan": "pro"})}),
    "metadata_missing_id": (
        record_without_id,
        {"refuse_call": (400, None), "record_error": (200, [": no visitorId"])},
    ),
    "metadata_wrong_type": (
        wrong_types,
        {
            "store_as_is": (200, 0, {"seats": "12", "renews": "soon"}),
            "coerce": (200, 0, {"seats": 12}),
            "record_error": (200, 1, {}),
            "refuse_call": (400, None, {}),
        },
    ),
    "date_only": (date_without_time, {"wrong_type": 1, "accept": 0}),
    "metadata_errors_shape": (
        errors,
        {
            "strings": ["v-1: is frozen"],
            "objects": [{"visitorId": "v-1", "error": "is frozen"}],
            "objects_other_key": [{"id": "v-1", "message": "is frozen"}],
            "anonymous": ["is frozen"],
        },
    ),
    "missing_when_empty": (
        no_failures,
        {"absent": ("absent", "absent"), "null": (None, None), "empty_list": ([], [])},
    ),
    "created_counted_as": (created, {"updated": (1, 1, None), "created": (1, 0, 1)}),
    "clear_with": (cleared, {"both": {}, "empty_string": {"b": "x"}, "null": {"a": ""}}),
    "duplicate_ids": (same_id_twice, {"last_wins": (0, "pro"), "first_wins": (0, "free"), "error": (1, "free")}),
    "dnp_writes": (blocked_id, {"accepted": (1, None, {}), "missing": (0, ["v-1"], {})}),
    "seconds_per_record": (slow_records, {0.0: 200, 3.0: 408}),
    "after_408": (
        applied_before_408,
        {"nothing_applied": (408, 0), "part_applied": (408, 3), "all_applied": (408, 5)},
    ),
    "put_unknown_custom_field": (put_unknown_field, {"create": (200, {"plan": "pro"}), "not_found": (404, {})}),
    "schema_types": (more_types, {"basic": [422, 422], "extended": [201, 201]}),
    "number_reads_back_as": (number_type, {"float": "float", "integer": "integer"}),
    "schema_reply_container": (
        container,
        {"results": ["results"], "fields": ["fields"], "metadata": ["metadata"], "list": "list"},
    ),
    "schema_invalid_field": (one_invalid_field, {"refuse_call": (422, []), "mixed": (207, ["plan"])}),
    "schema_read_back": (new_field, {"at_once": (True, True), "after_5_min": (False, True)}),
    "bulkdelete_already_queued": (
        deleted_again,
        {"refuse_all": (400, ["v-1"]), "queue_others": (400, ["v-1", "v-2"])},
    ),
    "bulkdelete_unknown_ids": (
        unknown_deletion,
        {"accept": (200, ["v-1", "gone"]), "ignore": (200, ["v-1"]), "refuse_call": (400, [])},
    ),
    "bulkdelete_merging": (two_deletions, {"merge": True, "separate": False}),
    "bulkdelete_reply_id": (deletion_keys, {"id": {"id", "status"}, "requestId": {"requestId", "status"}}),
    "bulkdelete_status_key": (deletion_keys, {"status": {"id", "status"}, "state": {"id", "state"}}),
    "bulkdelete_fast_calls": (fast_deletions, {429: 429, 500: 500, "allow": 200}),
    "aggregation_key": (read_only_aggregation, {"read": 200, "write": 403}),
}
EVERY_VALUE = [(switch.name, value) for switch in SWITCHES for value in switch.values]


@pytest.mark.parametrize(("name", "value"), EVERY_VALUE)
def test_each_value_of_a_switch_has_its_own_effect(pendo: Peer, name: str, value: Any) -> None:
    effect, expected = EFFECTS[name]
    pendo.box.switch(**{name: value})

    assert effect(pendo) == expected[value]


def test_no_switch_has_a_value_without_an_effect_or_an_effect_without_a_value() -> None:
    assert {name: set(expected) for name, (_, expected) in EFFECTS.items()} == {
        switch.name: set(switch.values) for switch in SWITCHES
    }


def test_a_switch_tells_its_values_its_default_and_what_it_decides() -> None:
    for switch in SWITCHES:
        assert switch.values[0] == switch.default
        assert switch.description
        assert len(switch.values) > 1


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"track_wrong_secret": "403"}, 403),
        ({"track_wrong_secret": 401}, 401),
        ({"rate_limit": 7}, 7),
        ({"rate_limit": "none"}, None),
        ({"seconds_per_record": 2}, 2.0),
        ({"lower_case_visitor_ids": "true"}, True),
        ({"bulkdelete_fast_calls": "allow"}, "allow"),
    ],
)
def test_a_value_is_read_as_users_write_it(written: dict[str, Any], read: Any) -> None:
    (name,) = written

    assert getattr(Switches.of(written), name) == read


@pytest.mark.parametrize(
    ("written", "slug", "hint"),
    [
        ({"track_array": "single_only"}, "unknown-switch", "did you mean 'track_arrays'?"),
        ({"zzz": 1}, "unknown-switch", "docs/sandbox.md lists them"),
        ({"track_arrays": "maybe"}, "bad-switch-value", "one of: array_atomic, single_only"),
        ({"rate_limit": -1}, "bad-switch-value", "one of: none, 50, any positive number"),
        ({"rate_limit": True}, "bad-switch-value", "one of: none, 50, any positive number"),
        ({"lower_case_visitor_ids": 0}, "bad-switch-value", "one of: false, true"),
    ],
)
def test_a_wrong_switch_or_value_is_explained(written: dict[str, Any], slug: str, hint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Switches.of(written)

    assert raised.value.problem.slug == slug
    assert raised.value.problem.hint == hint


def test_a_value_that_a_switch_does_not_have_cannot_be_constructed() -> None:
    with pytest.raises(ConfigError, match="track_arrays"):
        Switches(track_arrays="maybe")  # type: ignore[arg-type]


def test_changed_switches_leave_the_others_alone() -> None:
    changed = Switches.of({"track_arrays": "single_only"}).changed({"rate_limit": 5})

    assert changed.as_dict() == {**Switches().as_dict(), "track_arrays": "single_only", "rate_limit": 5}
    assert isinstance(SWITCHES[0], Switch)
