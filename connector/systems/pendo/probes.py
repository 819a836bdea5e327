"""What nobody has written down about Pendo, asked of a Pendo app that is there for tests.

Each probe is a generator of requests that is given every reply, or the reason why there is none, and ends with what
it found. Probes write: they are meant for a test app only, and each says what it leaves there.

Source: pendo-api.md 9, "what a user with a Pendo account can settle in an hour".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connector.ports import NoReply, Reply, Request
from connector.systems.pendo import facts
from connector.systems.pendo.events import ARRAYS
from connector.systems.pendo.replies import TOO_MANY_REQUESTS, is_success, one_line, parsed, said
from connector.systems.pendo.settings import INTEGRATION_KEY, NO_SECRET, TRACK_EVENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from connector.systems.pendo.settings import PendoSettings

BURST = 200
SHOWN_CHARACTERS = 300
SHOWN_HEADERS = ("content-type", "retry-after", "server")
SHOWN_MEMBERS = ("status", "message", "error", "reason", "kind", "type", "name", "command", "detail")


@dataclass(frozen=True, slots=True)
class Finding:
    """One question, its answer, and the reply it rests on, without secrets and without ids that are not the probe's."""

    question: str
    answer: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything a probe found, and the facts to remember for this destination."""

    findings: tuple[Finding, ...]
    learned: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probe:
    """Something to find out: the secret it needs, what it leaves in the app, and its calls."""

    name: str
    question: str
    needs: str
    leaves: str
    steps: Callable[[], Generator[Request, Reply | NoReply, Findings]]


def probes(settings: PendoSettings, *, mark: str, now_ms: int) -> list[Probe]:
    """The six probes. `mark` is part of every id and name they make; `now_ms` is the time of their events."""
    calls = _Calls(settings, f"connector-probe-{mark}", now_ms)
    names = f"connector_probe_{mark}"
    return [
        Probe(
            "track",
            "does /data/track take arrays, and what does it refuse?",
            TRACK_EVENT_SECRET,
            "up to five events named 'Connector probe' of one visitor",
            lambda: _track(calls),
        ),
        Probe(
            "metadata",
            "what does a metadata call do with unknown ids and fields, wrong types and nulls?",
            INTEGRATION_KEY,
            "one visitor and two custom fields",
            lambda: _metadata(calls, names),
        ),
        Probe(
            "parent-account",
            "can parent accounts be written?",
            INTEGRATION_KEY,
            "nothing, unless Pendo makes the custom field that is written",
            lambda: _parent_account(calls, names),
        ),
        Probe(
            "schema",
            "what does making one new and one existing field answer?",
            INTEGRATION_KEY,
            "two custom fields",
            lambda: _schema(calls, names),
        ),
        Probe(
            "bulk-delete",
            "what does deleting an id twice answer?",
            INTEGRATION_KEY,
            "one made-up visitor id, queued for deletion and marked do-not-process",
            lambda: _bulk_delete(calls),
        ),
        Probe(
            "rate",
            f"are {BURST} calls in a row too fast, and what does the refusal say?",
            INTEGRATION_KEY,
            "nothing",
            lambda: _rate(calls),
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Calls:
    """The requests of the probes, and what to say of their replies."""

    settings: PendoSettings
    identifier: str
    now_ms: int

    def track(self, body: Any, auth: str = TRACK_EVENT_SECRET) -> Request:
        return self._request("POST", self.settings.data_url + facts.TRACK_PATH.value, auth, body)

    def event(self, **changed: Any) -> dict[str, Any]:
        event = {"type": facts.EVENT_TYPE.value, "event": "Connector probe", "visitorId": self.identifier}
        return {name: value for name, value in {**event, "timestamp": self.now_ms, **changed}.items() if value != ""}

    def api(self, method: str, path: str, body: Any = None, **parts: str) -> Request:
        return self._request(method, self.settings.api_url + path.format(**parts), INTEGRATION_KEY, body)

    def values(self, group: str, values: Mapping[str, Any], *, identifier: str = "", query: str = "") -> Request:
        record = {"visitorId": identifier or self.identifier, "values": values}
        return self.api("POST", facts.VALUES_PATH.value + query, [record], kind="visitor", group=group)

    def finding(self, question: str, reply: Reply | NoReply, answer: str | None = None) -> Finding:
        if isinstance(reply, NoReply):
            return Finding(question, "no answer came", reply.reason)
        said_so = answer or ("taken" if is_success(reply) else "refused")
        return Finding(question, said_so, self._evidence(reply))

    def _evidence(self, reply: Reply) -> str:
        headers = [f"{name}: {reply.headers[name]}" for name in SHOWN_HEADERS if name in reply.headers]
        body = parsed(reply)
        shown = said(reply) if body is None else json.dumps(_shape(body, self.identifier))
        for secret in self.settings.secrets:
            shown = shown.replace(secret, "[redacted]")
        return one_line(" | ".join([str(reply.status), *headers, shown[:SHOWN_CHARACTERS]]))

    def _request(self, method: str, url: str, auth: str, body: Any) -> Request:
        encoded = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {"content-type": "application/json"} if encoded else {}
        timeout_s = self.settings.timeouts.read_seconds
        return Request(method, url, auth, "probe", encoded, headers, timeout_s)


def _shape(body: Any, own: str, name: str = "") -> Any:
    """The body with every text left out that may be someone's data; a list shows its first entry."""
    if isinstance(body, dict):
        return {key: _shape(value, own, key) for key, value in body.items()}
    if isinstance(body, list):
        return [_shape(body[0], own, name), f"{len(body)} in all"] if body else []
    if isinstance(body, str) and own not in body and name.lower() not in SHOWN_MEMBERS:
        return f"<text of {len(body)}>"
    return body


def _track(calls: _Calls) -> Generator[Request, Reply | NoReply, Findings]:
    two = yield calls.track([calls.event(), calls.event()])
    mixed = yield calls.track([calls.event(), calls.event(timestamp="not a number")])
    alone = yield calls.track(calls.event())
    nameless = yield calls.track(calls.event(visitorId=""))
    wrong = yield calls.track(calls.event(), NO_SECRET)
    learned = {}
    if _ok(two):
        learned = {ARRAYS: "yes"}
    elif _ok(alone) and isinstance(two, Reply) and two.status in facts.SPLIT_STATUSES.value:
        learned = {ARRAYS: "no"}
    findings = (
        calls.finding("an array of two events", two),
        calls.finding("an array of one good and one bad event", mixed),
        calls.finding("one event as an object", alone),
        calls.finding("an event without visitorId", nameless),
        calls.finding("an event with a wrong secret", wrong, "taken in silence" if _ok(wrong) else None),
    )
    return Findings(findings, learned)


def _metadata(calls: _Calls, names: str) -> Generator[Request, Reply | NoReply, Findings]:
    text, number = f"{names}_text", f"{names}_number"
    fields = [{"name": text, "displayname": text, "type": "string"}, _number_field(number)]
    yield calls.api("POST", facts.CREATE_FIELDS_PATH.value, fields, kind="visitor", group="custom")
    made = yield calls.values("custom", {text: "a", number: 1}, query="?create=true")
    unknown_id = yield calls.values("custom", {text: "a"}, identifier=calls.identifier + "-unknown")
    unknown_field = yield calls.values("agent", {f"{names}_nowhere": "a"})
    wrong_type = yield calls.values("custom", {number: "not a number"})
    empty = yield calls.values("custom", {number: ""})
    null = yield calls.values("custom", {text: None})
    after = yield calls.api("GET", facts.ONE_PATH.value, kind="visitor", id=calls.identifier)
    findings = (
        calls.finding("a new visitor with create=true", made),
        calls.finding("an unknown visitor", unknown_id),
        calls.finding("an unknown agent field", unknown_field),
        calls.finding("a text in a number field", wrong_type),
        calls.finding("an empty text in a number field", empty),
        calls.finding("a null in a text field", null),
        calls.finding("the visitor after that", after, "see the reply"),
    )
    return Findings(findings)


def _parent_account(calls: _Calls, names: str) -> Generator[Request, Reply | NoReply, Findings]:
    kind, member = facts.KINDS.value["parent_account"], facts.ID_MEMBERS.value["parent_account"]
    schema = yield calls.api("GET", facts.SCHEMA_PATH.value, kind=kind)
    record = {member: calls.identifier, "values": {f"{names}_text": "a"}}
    write = yield calls.api("POST", facts.VALUES_PATH.value, [record], kind=kind, group="custom")
    return Findings((calls.finding("the schema of parent accounts", schema), calls.finding("a write to one", write)))


def _schema(calls: _Calls, names: str) -> Generator[Request, Reply | NoReply, Findings]:
    there, new = _number_field(f"{names}_there"), _number_field(f"{names}_new")
    post = facts.CREATE_FIELDS_PATH.value
    first = yield calls.api("POST", post, [there], kind="visitor", group="custom")
    again = yield calls.api("POST", post, [there], kind="visitor", group="custom")
    mixed = yield calls.api("POST", post, [there, new], kind="visitor", group="custom")
    read = yield calls.api("GET", facts.SCHEMA_PATH.value, kind="visitor")
    became = _type_of(read, f"{names}_there")
    findings = (
        calls.finding("a new field", first),
        calls.finding("the same field again", again),
        calls.finding("the same field and a new one", mixed),
        calls.finding("what type `number` reads back as", read, became),
    )
    return Findings(findings)


def _bulk_delete(calls: _Calls) -> Generator[Request, Reply | NoReply, Findings]:
    body = {facts.DELETE_MEMBERS.value["visitor"]: [calls.identifier + "-deleted"]}
    first = yield calls.api("POST", facts.DELETE_PATH.value, body, kind="visitor")
    again = yield calls.api("POST", facts.DELETE_PATH.value, body, kind="visitor")
    queue = yield calls.api("GET", facts.DELETE_LIST_PATH.value)
    findings = (
        calls.finding("deleting an id", first),
        calls.finding("deleting it again at once", again),
        calls.finding("the deletions that are not completed", queue),
    )
    return Findings(findings)


def _rate(calls: _Calls) -> Generator[Request, Reply | NoReply, Findings]:
    question = f"{BURST} calls in a row"
    reply: Reply | NoReply = NoReply("nothing was sent", maybe_applied=False, ms=0.0)
    for number in range(1, BURST + 1):
        reply = yield calls.api("GET", facts.VERIFY_PATH.value)
        if not isinstance(reply, Reply) or reply.status == TOO_MANY_REQUESTS:
            return Findings((calls.finding(question, reply, f"refused at call {number}"),))
    return Findings((calls.finding(question, reply, "none was too fast"),))


def _number_field(name: str) -> dict[str, str]:
    return {"name": name, "displayname": name, "type": "number"}


def _ok(reply: Reply | NoReply) -> bool:
    return isinstance(reply, Reply) and is_success(reply)


def _type_of(reply: Reply | NoReply, name: str) -> str:
    body = parsed(reply) if isinstance(reply, Reply) else None
    custom = body.get("custom") if isinstance(body, dict) else None
    attributes = custom.get(name) if isinstance(custom, dict) else None
    return str(attributes.get("Type") or "no type") if isinstance(attributes, dict) else "the field is not there (yet)"
