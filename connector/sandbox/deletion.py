"""Bulk deletion: requests that wait, run for days, and mark their ids do-not-process at once.

Source: pendo-api.md 4. How long a request waits before it starts is not documented; the sandbox takes a day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.sandbox.calls import Refusal, json_answer, parsed
from connector.sandbox.state import DELETION_ENDS_S, Deletion

if TYPE_CHECKING:
    from connector.sandbox.calls import Answer, Call
    from connector.sandbox.state import State

MAX_IDS = 500
"""Ids in one request (pendo-api.md 4, documented)."""

LEAST_INTERVAL_S = 1.0
"""More than about one call a second tends to fail (pendo-api.md 4, documented)."""


def queue(state: State, call: Call, kind: str) -> Answer:
    """200 with the id of the request that the ids are now in; 400 for too many, none, or one that waits already."""
    if kind not in ("visitor", "account"):
        raise Refusal(404, f"unknown kind {kind}")
    ids = _ids(state, call, kind)
    _refuse_fast_calls(state, len(ids))
    waiting = {each for request in _waiting(state, kind) for each in request.ids}
    again = sum(1 for each in ids if each in waiting)
    new = [each for each in ids if each not in waiting]
    if again and (not new or state.switches.bulkdelete_already_queued == "refuse_all"):
        raise Refusal(400, "BadRequest", rows=len(ids), note=f"{again} queued already")
    request = _request(state, kind, _known(state, kind, new, len(ids)))
    for each in request.ids:
        state.set_do_not_process(kind, each, on=True)
    if again:
        raise Refusal(400, "BadRequest", rows=len(ids), applied=True, note=f"{again} queued already, the others now")
    return json_answer(_shown(state, request), applied=True, rows=len(ids))


def listed(state: State, call: Call) -> Answer:
    """The requests that are not completed."""
    del call
    return json_answer([_shown(state, each) for each in state.deletions.values() if each.completed_at is None])


def read(state: State, call: Call, request_id: str) -> Answer:
    """One request, completed or not: it is kept for ever as a receipt."""
    del call
    if request_id not in state.deletions:
        raise Refusal(404, f"no bulk deletion request {request_id}")
    return json_answer(_shown(state, state.deletions[request_id]))


def complete_due(state: State, now: float) -> None:
    """Nothing, after removing the objects of requests whose 21 days are over. Their ids stay do-not-process."""
    for request in state.deletions.values():
        if request.completed_at is None and now >= request.created_at + DELETION_ENDS_S:
            request.completed_at = request.created_at + DELETION_ENDS_S
            for each in request.ids:
                state.objects[request.kind].held.pop(each, None)


def _ids(state: State, call: Call, kind: str) -> list[str]:
    data = parsed(call)
    ids = data.get(f"{kind}s") if isinstance(data, dict) else None
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str) for each in ids):
        raise Refusal(400, f"no {kind}s")
    if len(ids) > MAX_IDS:
        raise Refusal(400, f"more than {MAX_IDS} {kind}s", rows=len(ids))
    return list(dict.fromkeys(state.canonical(kind, each) for each in ids))


def _refuse_fast_calls(state: State, rows: int) -> None:
    now, status = state.now(), state.switches.bulkdelete_fast_calls
    last = state.last_deletion_call
    if status != "allow" and last is not None and now - last < LEAST_INTERVAL_S:
        raise Refusal(status, "too many bulk deletion calls", rows=rows)
    state.last_deletion_call = now


def _waiting(state: State, kind: str) -> list[Deletion]:
    now = state.now()
    return [each for each in state.deletions.values() if each.kind == kind and each.status(now) == "queued"]


def _known(state: State, kind: str, ids: list[str], rows: int) -> list[str]:
    """The ids to queue, as the switch for unknown ones says."""
    policy = state.switches.bulkdelete_unknown_ids
    if policy == "accept":
        return ids
    known = [each for each in ids if each in state.objects[kind]]
    if policy == "refuse_call" and len(known) < len(ids):
        raise Refusal(400, f"unknown {kind}s", rows=rows)
    return known


def _request(state: State, kind: str, ids: list[str]) -> Deletion:
    """The request that now holds the ids: one that still waits and has room, or a new one."""
    if state.switches.bulkdelete_merging == "merge":
        for request in _waiting(state, kind):
            if len(request.ids) + len(ids) <= MAX_IDS:
                request.ids.extend(ids)
                return request
    request = Deletion(f"bulkdelete-{len(state.deletions) + 1:06d}", kind, ids, state.now())
    state.deletions[request.id] = request
    return request


def _shown(state: State, request: Deletion) -> dict[str, Any]:
    return {
        state.switches.bulkdelete_reply_id: request.id,
        "kind": request.kind,
        state.switches.bulkdelete_status_key: request.status(state.now()),
        "total": len(request.ids),
        "createdAt": int(request.created_at * 1000),
    }
