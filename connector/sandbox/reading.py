"""What can be read back: the key's rights, one object, a visitor's history, the names of Track events.

Source: pendo-api.md 1.3, 2.5 and 5.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.sandbox.calls import Refusal, decoded_id, json_answer
from connector.sandbox.state import DAY_S
from connector.sandbox.values import shown

if TYPE_CHECKING:
    from connector.sandbox.calls import Answer, Call
    from connector.sandbox.state import State

LONGEST_HISTORY_S = 180 * DAY_S


def one_object(state: State, call: Call, written_id: str) -> Answer:
    """The object with its metadata; 404 when there is none of that id."""
    kind = call.segments[2]
    object_id = state.canonical(kind, decoded_id(call, written_id))
    return json_answer(_object(state, kind, object_id))


def history(state: State, call: Call, written_id: str) -> Answer:
    """The visitor's events of the 24 hours from `starttime` (epoch milliseconds), in the order of time."""
    visitor_id = state.canonical("visitor", decoded_id(call, written_id))
    _object(state, "visitor", visitor_id)
    try:
        start = int(call.query["starttime"])
    except (KeyError, ValueError):
        raise Refusal(400, "starttime is not a number") from None
    if start < (state.now() - LONGEST_HISTORY_S) * 1000:
        raise Refusal(400, "starttime is more than 180 days back")
    found = [
        event.body
        for event in state.events
        if event.processed
        and state.canonical("visitor", event.body["visitorId"]) == visitor_id
        and start <= event.body["timestamp"] < start + DAY_S * 1000
    ]
    return json_answer(sorted(found, key=lambda body: int(body["timestamp"])))


def track_types(state: State, call: Call) -> Answer:
    """The names of the events processed so far, each with its id; `?id=` leaves one of them."""
    wanted = call.query.get("id")
    every = [{"id": track_type_id(name), "name": name, "kind": "TrackType"} for name in state.track_types]
    return json_answer([each for each in every if wanted in (None, each["id"])])


def track_type_id(name: str) -> str:
    """The id of an event name; the same for the same name."""
    return "track-" + name.encode().hex()


def _object(state: State, kind: str, object_id: str) -> dict[str, Any]:
    metadata = state.objects[kind].held.get(object_id)
    if metadata is None:
        raise Refusal(404, f"no {kind} {object_id}")
    document: dict[str, Any] = {"id": object_id}
    if kind == "visitor":
        document["accountIds"] = metadata["auto"].get("accountids", [])
    return {**document, "metadata": shown(state, kind, metadata)}
