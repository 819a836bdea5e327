"""POST /data/track: receiving Track events, and what becomes of them later.

Source: pendo-api.md 2. The reference shows one event a call; whether arrays are taken is a switch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.sandbox.calls import Answer, Refusal, json_answer, parse
from connector.sandbox.fieldtypes import NAME
from connector.sandbox.state import DAY_S, EVENT_DELAY_S, Event

if TYPE_CHECKING:
    from connector.sandbox.calls import Call
    from connector.sandbox.state import State

UNMARSHAL = "Error unmarshalling track event data"
REQUIRED = ("type", "event", "visitorId")
TOO_OLD_S = 7 * DAY_S
SHOWN_BYTES = 512
LONGEST_PROPERTY = 32

_TEXTS = ("type", "event", "visitorId", "accountId")
_OBJECTS = ("properties", "context")
_LEAST, _MOST = -(2**63), 2**63 - 1


def receive(state: State, call: Call, *, dropped: str | None = None) -> Answer:
    """200 after keeping the call's events; all of them or, with a 400, none.

    `dropped`: why nothing of this call is kept although it is answered with 200.
    """
    batch = _batch(state, call)
    now = state.now()
    events = [_event(state, call, body, len(batch), now) for body in batch]
    for event in events:
        event.dropped = event.dropped or dropped
        _keep(state, event)
    lost = sum(1 for event in events if event.dropped)
    return _answer(state, events, f"{lost} dropped" if lost else None)


def process_due(state: State, now: float) -> None:
    """Nothing, after processing the events whose time has come: now they show, and make what they mention."""
    while state.waiting and state.waiting[0][0] <= now:
        _process(state, state.waiting.popleft()[1])


def shown_as(event: Event) -> list[str]:
    """What Pendo would do to this event's properties when it shows them; the call itself was a 200 all the same."""
    properties = event.body.get("properties") or {}
    notes = [f"property name {name!r} breaks the rule" for name in properties if not _is_property_name(name)]
    if len(json_answer(properties).body) > SHOWN_BYTES:
        notes.append(f"properties of more than {SHOWN_BYTES} bytes show as a too-large marker")
    return notes


def _batch(state: State, call: Call) -> list[Any]:
    try:
        data = parse(call.body)
    except ValueError as error:
        raise _refusal(0, f"not JSON: {error}") from None
    if not isinstance(data, list):
        return [data]
    if state.switches.track_arrays == "single_only":
        raise _refusal(len(data), "an array, and switch track_arrays is single_only")
    most = state.switches.track_max_events
    if most is not None and len(data) > most:
        raise _refusal(len(data), f"more than {most} events")
    return data


def _event(state: State, call: Call, body: Any, rows: int, now: float) -> Event:
    """The event, decoded as a Go program would: null counts as absent, a wrong type is an error."""
    if not _decodes(body):
        raise _refusal(rows, f"a wrong type in {str(body)[:200]}")
    if body.get("visitorId") in state.failing_ids["track_event"]:
        raise _refusal(rows, state.failing_ids["track_event"][body["visitorId"]])
    switches = state.switches
    dropped = None
    problem = _missing(body) or _refused(state, body)
    if problem:
        if switches.track_missing_field == "reject":
            raise _refusal(rows, problem)
        dropped = problem
    if body.get("timestamp") is None:
        if switches.track_missing_timestamp == "reject":
            raise _refusal(rows, "no timestamp")
        if switches.track_missing_timestamp == "accept_and_drop":
            dropped = dropped or "no timestamp"
        body = {**body, "timestamp": int(now * 1000)}
    event = Event(call.number, now, body)
    event.dropped = dropped or _silently_dropped(state, event)
    return event


def _decodes(body: Any) -> bool:
    if not isinstance(body, dict):
        return False
    timestamp = body.get("timestamp")
    return (
        all(isinstance(body.get(name, ""), (str, type(None))) for name in _TEXTS)
        and all(isinstance(body.get(name, {}), (dict, type(None))) for name in _OBJECTS)
        and (timestamp is None or (type(timestamp) is int and _LEAST <= timestamp <= _MOST))
    )


def _missing(body: dict[str, Any]) -> str | None:
    for name in REQUIRED:
        if not body.get(name):
            return f"no {name}"
    return None if body["type"] == "track" else "type is not track"


def _refused(state: State, body: dict[str, Any]) -> str | None:
    """What a switch forbids, although the reference has no rule."""
    switches = state.switches
    if switches.track_event_name_max is not None and len(body["event"]) > switches.track_event_name_max:
        return f"event name is longer than {switches.track_event_name_max} characters"
    if switches.track_nested_properties == "reject" and any(
        isinstance(value, (dict, list)) for value in (body.get("properties") or {}).values()
    ):
        return "nested property"
    return state.bad_id(body["visitorId"])


def _silently_dropped(state: State, event: Event) -> str | None:
    """Why Pendo never shows an event that it answered with 200; None when it does."""
    body, now_ms = event.body, event.received_at * 1000
    if state.canonical("visitor", body.get("visitorId") or "") in state.do_not_process["visitor"]:
        return "visitor is do-not-process"
    if body.get("accountId") in state.do_not_process["account"]:
        return "account is do-not-process"
    if state.switches.track_old_events == "drop" and body["timestamp"] < now_ms - TOO_OLD_S * 1000:
        return "older than 7 days"
    if state.switches.track_future_events == "drop" and body["timestamp"] > now_ms:
        return "in the future"
    return None


def _keep(state: State, event: Event) -> None:
    if event.dropped is None and state.switches.track_duplicates == "merge":
        if state.seen_events is None:
            state.seen_events = {_identity(kept) for kept in state.events if kept.dropped is None}
        if _identity(event) in state.seen_events:
            event.dropped = "same visitor, name and timestamp as an earlier event"
        state.seen_events.add(_identity(event))
    state.events.append(event)
    if event.dropped is not None:
        return
    delay = EVENT_DELAY_S[state.switches.event_processing]
    if delay:
        state.waiting.append((event.received_at + delay, event))
    else:
        _process(state, event)


def _process(state: State, event: Event) -> None:
    event.processed = True
    body = event.body
    state.track_types[body["event"]] = state.track_types.get(body["event"], 0) + 1
    visitor_id, account_id = state.canonical("visitor", body["visitorId"]), body.get("accountId")
    create = state.switches.track_unknown_ids == "create"
    if create or visitor_id in state.objects["visitor"]:
        auto = state.make_object("visitor", visitor_id, seen_ms=body["timestamp"])["auto"]
        if account_id:
            auto["accountid"] = account_id
            auto["accountids"] = sorted({*auto.get("accountids", ()), account_id})
    if account_id and (create or account_id in state.objects["account"]):
        state.make_object("account", account_id, seen_ms=body["timestamp"])


def _refusal(rows: int, reason: str) -> Refusal:
    """The 400 that /data/track knows. The reason is for the sandbox's own log: Pendo does not say it."""
    return Refusal(400, UNMARSHAL, rows=rows, form="plain", note=reason)


def _identity(event: Event) -> tuple[Any, ...]:
    return event.body["visitorId"], event.body["event"], event.body["timestamp"]


def _answer(state: State, events: list[Event], note: str | None) -> Answer:
    match state.switches.track_reply_body:
        case "json":
            answer = json_answer({"status": "ok"})
        case "text":
            answer = Answer(200, b"OK", "text/plain; charset=utf-8")
        case _:
            answer = Answer(200)
    kept = any(event.dropped is None for event in events)
    return Answer(200, answer.body, answer.content_type, applied=kept, rows=len(events), note=note)


def _is_property_name(name: str) -> bool:
    wrapped = name.startswith("__") and name.endswith("__")
    return NAME.fullmatch(name) is not None and len(name) <= LONGEST_PROPERTY and not wrapped
