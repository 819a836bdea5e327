"""Each route against the local Pendo, over a real port and under every value of every behaviour nobody wrote down."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

import pytest

from connector.errors import ConfigErrors, DestinationError
from connector.ports import (
    Batch,
    Cell,
    Constant,
    Fault,
    Judged,
    Members,
    NoReply,
    Outcome,
    Refused,
    Reply,
    SendTime,
    Template,
    TryAgain,
    Unknown,
)
from connector.sandbox import INTEGRATION_KEY, SWITCHES, TRACK_EVENT_SECRET, RunningSandbox, Sandbox, running
from connector.systems.pendo import check, connect
from connector.systems.pendo.probes import probes
from tests.systems.pendo import given

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connector.ports import Destination, Verdict
    from connector.systems.pendo.events import EventDestination
    from connector.systems.pendo.objects import ObjectDestination

FIELDS = {"custom": {"Plan": {"column": "plan", "type": "string", "create": True}}, "agent": {"tier": "tier"}}
ROWS = [{"id": f"acct-{number:04d}", "plan": "pro", "tier": "gold", "at": 1_000 + number} for number in range(8)]
EVERY_SWITCH = [(switch.name, value) for switch in SWITCHES for value in switch.values]
SENDINGS = 5


@pytest.fixture(scope="module")
def serving() -> Iterator[RunningSandbox]:
    with running(Sandbox()) as server:
        yield server


@pytest.fixture
def pendo(serving: RunningSandbox) -> RunningSandbox:
    """A sandbox with eight accounts but one, and the agent field."""
    serving.sandbox.reset()
    for kind in ("account", "visitor", "parent_account"):
        serving.sandbox.add_objects(kind, [str(row["id"]) for row in ROWS if row["id"] != "acct-0005"])
        serving.sandbox.add_fields(kind, "agent", {"tier": "string"})
    return serving


def secrets(pendo: RunningSandbox) -> dict[str, Any]:
    return {
        "region": ...,
        "base_url": pendo.url,
        "integration_key": INTEGRATION_KEY,
        "track_event_secret": TRACK_EVENT_SECRET,
    }


def objects(pendo: RunningSandbox, settings: Mapping[str, Any] | None = None, **changed: Any) -> ObjectDestination:
    sync = given.object_sync(**{"match": "id", "fields": FIELDS, **changed})
    return given.objects(sync, **secrets(pendo), **(settings or {}))


def events(pendo: RunningSandbox, **settings: Any) -> EventDestination:
    sync = given.event_sync(visitor_id="id", account_id=..., timestamp="at")
    return given.events(sync, **secrets(pendo), **settings)


# --- a run in small --------------------------------------------------------------------------------------------------


def is_empty(template: Template) -> bool:
    return isinstance(template, Members) and template.drop_empty and not template.members


def rendered(template: Template, row: Mapping[str, Any]) -> Any:
    match template:
        case Cell():
            return row[str(template.column)]
        case Constant(value):
            return value
        case SendTime():
            return 1_000
        case Members(members):
            return {name: rendered(inner, row) for name, inner in members if not is_empty(inner)}


def prepare(destination: Destination) -> None:
    steps = destination.prepare()
    try:
        request = next(steps)
        while True:
            reply = destination.send(request)
            assert isinstance(reply, Reply)
            verdict = destination.judge(request, reply)
            if isinstance(verdict, Fault):
                raise DestinationError(verdict.message, slug=verdict.slug, hint=verdict.hint)
            assert verdict == Judged()
            request = steps.send(reply)
    except StopIteration:
        return


@dataclass
class Run:
    """Delivers batches as simply as can be: sends again, probes once, halves."""

    pendo: RunningSandbox
    destination: Destination
    sent: int = 0

    def all(self, name: str, rows: Sequence[Mapping[str, Any]] = ROWS) -> list[Outcome]:
        route = next(each for each in self.destination.routes if each.name == name)
        fragments = given.Rows(tuple((row["id"], json.dumps(rendered(route.template, row))) for row in rows))
        found: dict[int, Outcome] = {}
        for start in range(0, len(rows), route.max_rows):
            stop = min(len(rows), start + route.max_rows)
            self.deliver(Batch(route, start, stop, fragments.part(start, stop)), found)
        return [found[number] for number in range(len(rows))]

    def deliver(self, batch: Batch, found: dict[int, Outcome]) -> None:
        verdict = self.attempt(batch)
        if isinstance(verdict, Refused) and len(batch) > 1:
            batch = self.probed(batch, found)
            size = min(self.destination.limits()[batch.route.name], (len(batch) + 1) // 2)
            for start in range(0, len(batch), size):
                self.deliver(batch.part(start, min(len(batch), start + size)), found)
            return
        self.settle(batch, verdict, found)

    def attempt(self, batch: Batch) -> Verdict:
        request = self.destination.build(batch)
        verdict: Verdict = Unknown("not sent")
        for _ in range(SENDINGS):
            self.pendo.sandbox.advance(2)
            self.sent += 1
            reply = self.destination.send(request)
            assert isinstance(reply, Reply), reply
            verdict = self.destination.judge(request, reply)
            if not isinstance(verdict, (TryAgain, Unknown)):
                break
        return verdict

    def probed(self, batch: Batch, found: dict[int, Outcome]) -> Batch:
        steps = self.destination.probe(batch)
        if steps is None:
            return batch
        request = next(steps)
        try:
            while True:
                self.sent += 1
                reply = self.destination.send(request)
                assert isinstance(reply, Reply)
                request = steps.send(self.destination.judge(request, reply))
        except StopIteration as end:
            self.settle(batch.part(0, 1), end.value.first_row, found)
        return batch.part(1, len(batch))

    def settle(self, batch: Batch, verdict: Verdict, found: dict[int, Outcome]) -> None:
        match verdict:
            case Judged(failures):
                for offset in range(len(batch)):
                    failure = failures.get(offset)
                    found[batch.first + offset] = failure.outcome if failure else Outcome.SUCCEEDED
            case Refused():
                found[batch.first] = Outcome.REJECTED
            case TryAgain() | Unknown() | Fault():
                pytest.fail(f"not settled: {verdict}")
            case _:
                assert_never(verdict)


def outcomes(**others: Outcome) -> list[Outcome]:
    """Success for every row but those that are named by their number (n3=...)."""
    return [others.get(f"n{number}", Outcome.SUCCEEDED) for number in range(len(ROWS))]


# --- each route ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "held"), [("account", "accounts"), ("visitor", "visitors"), ("parent_account", "parent_accounts")]
)
def test_fields_are_made_and_set_for_every_known_object(pendo: RunningSandbox, kind: str, held: str) -> None:
    with closing(objects(pendo, object=kind)) as destination:
        prepare(destination)
        run = Run(pendo, destination)
        custom, agent = run.all("custom"), run.all("agent")

    assert custom == agent == outcomes(n5=Outcome.SKIPPED)
    assert pendo.sandbox.fields(kind)["custom"] == {"plan": "string"}
    now = getattr(pendo.sandbox, held)
    assert len(now) == 7
    assert all(each["custom"] == {"plan": "pro"} and each["agent"] == {"tier": "gold"} for each in now.values())


def test_clearing_empties_what_was_written(pendo: RunningSandbox) -> None:
    with closing(objects(pendo, on_removed="clear")) as destination:
        prepare(destination)
        run = Run(pendo, destination)
        run.all("custom")
        run.all("agent")
        cleared = [run.all("clear-custom", ROWS[:2]), run.all("clear-agent", ROWS[:2])]

    assert cleared == [[Outcome.SUCCEEDED] * 2] * 2
    held = pendo.sandbox.accounts
    assert not any(held["acct-0000"]["custom"].values())
    assert not any(held["acct-0001"]["agent"].values())
    assert held["acct-0002"]["custom"] == {"plan": "pro"}


@pytest.mark.parametrize(("kind", "held"), [("account", "accounts"), ("visitor", "visitors")])
def test_deleting_twice_is_deleting_once(pendo: RunningSandbox, kind: str, held: str) -> None:
    with closing(objects(pendo, object=kind, on_removed="delete")) as destination:
        run = Run(pendo, destination)
        first = run.all("delete", ROWS[:2])
        both = run.all("delete", ROWS[:4])

    pendo.sandbox.advance(22 * 86_400)
    pendo.sandbox.requests  # noqa: B018 - reading lets the sandbox catch up with its clock
    assert first == [Outcome.SUCCEEDED] * 2
    assert both == [Outcome.SUCCEEDED] * 4
    assert [row["id"] for row in ROWS if row["id"] in getattr(pendo.sandbox, held)] == [
        "acct-0004",
        "acct-0006",
        "acct-0007",
    ]


@pytest.mark.parametrize("batching", ["auto", "array", "single"])
def test_events_arrive_in_order(pendo: RunningSandbox, batching: str) -> None:
    with closing(events(pendo, batching=batching)) as destination:
        run = Run(pendo, destination)
        found = run.all("track")

    assert found == outcomes()
    assert run.sent == (8 if batching == "single" else 1)
    assert pendo.sandbox.events == [
        {
            "type": "track",
            "event": "Plan Upgraded",
            "visitorId": row["id"],
            "timestamp": row["at"],
            "properties": {"plan": "pro"},
        }
        for row in ROWS
    ]


def test_an_endpoint_without_arrays_is_found_out_with_two_calls(pendo: RunningSandbox) -> None:
    pendo.sandbox.switch(track_arrays="single_only")
    with closing(events(pendo)) as destination:
        run = Run(pendo, destination)
        found = run.all("track")

    assert found == outcomes()
    assert run.sent == 1 + 2 + 7
    assert len(pendo.sandbox.events) == 8


@pytest.mark.parametrize("arrays", ["array_atomic", "single_only"])
def test_bad_events_are_found_and_the_others_arrive(pendo: RunningSandbox, arrays: str) -> None:
    pendo.sandbox.switch(track_arrays=arrays)
    rows = [{**row, "at": "not a number"} if row["id"] in ("acct-0000", "acct-0003") else row for row in ROWS]
    with closing(events(pendo)) as destination:
        found = Run(pendo, destination).all("track", rows)

    assert found == outcomes(n0=Outcome.REJECTED, n3=Outcome.REJECTED)
    assert len(pendo.sandbox.events) == 6


# --- under every value of every unknown ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), EVERY_SWITCH)
def test_objects_settle_alike_whatever_pendo_does(pendo: RunningSandbox, name: str, value: Any) -> None:
    pendo.sandbox.switch(**{name: value})
    pendo.sandbox.add({"failing_ids": {"account": {"acct-0003": "this account is locked"}}})
    for _ in range(2):  # a second run meets the fields that the first one made
        with closing(objects(pendo)) as destination:
            prepare(destination)
            run = Run(pendo, destination)
            custom, agent = run.all("custom"), run.all("agent")

        assert custom == agent == outcomes(n3=Outcome.REJECTED, n5=Outcome.SKIPPED)
    assert pendo.sandbox.accounts["acct-0007"]["custom"] == {"plan": "pro"}
    assert pendo.sandbox.accounts["acct-0003"]["custom"] == {}
    assert pendo.sandbox.fields("account")["custom"] == {"plan": "string"}


@pytest.mark.parametrize(("name", "value"), EVERY_SWITCH)
def test_events_settle_alike_whatever_pendo_does(pendo: RunningSandbox, name: str, value: Any) -> None:
    pendo.sandbox.switch(**{name: value})
    rows = [{**row, "at": "not a number"} if row["id"] == "acct-0003" else row for row in ROWS]
    with closing(events(pendo)) as destination:
        found = Run(pendo, destination).all("track", rows)

    assert found == outcomes(n3=Outcome.REJECTED)
    assert len(pendo.sandbox.received_events()) == 7


@pytest.mark.parametrize(("name", "value"), EVERY_SWITCH)
def test_deletes_settle_alike_whatever_pendo_does(pendo: RunningSandbox, name: str, value: Any) -> None:
    known = [row for row in ROWS if row["id"] != "acct-0005"]
    pendo.sandbox.switch(**{name: value})
    with closing(objects(pendo, on_removed="delete")) as destination:
        run = Run(pendo, destination)
        run.all("delete", known[:1])
        found = run.all("delete", known)

    # A page of HTML may come from a proxy: it is no word of Pendo's that the id was queued before.
    again = Outcome.REJECTED if value == "html" else Outcome.SUCCEEDED
    assert found == [again] + [Outcome.SUCCEEDED] * 6
    assert sorted(pendo.sandbox.do_not_process("account")) == [row["id"] for row in known]


@pytest.mark.parametrize("value", ["float", "integer"])
def test_a_field_made_for_a_number_is_accepted_by_the_next_run(pendo: RunningSandbox, value: str) -> None:
    pendo.sandbox.switch(number_reads_back_as=value)
    fields = {"custom": {"score": {"column": "plan", "type": "float", "create": True}}}
    for _ in range(2):
        with closing(objects(pendo, fields=fields)) as destination:
            prepare(destination)

    assert pendo.sandbox.fields("account")["custom"] == {"score": value}


# --- before the first row --------------------------------------------------------------------------------------------


def test_a_missing_field_stops_the_sync_before_anything_is_written(pendo: RunningSandbox) -> None:
    with (
        closing(objects(pendo, fields={"agent": {"teir": "tier"}})) as destination,
        pytest.raises(ConfigErrors) as caught,
    ):
        prepare(destination)

    assert "did you mean 'tier'?" in str(caught.value)
    assert [each.method for each in pendo.sandbox.requests] == ["GET", "GET"]


@pytest.mark.parametrize(
    ("switches", "settings", "slug"),
    [
        ({}, {"integration_key": "not-the-integration-key"}, "pendo-key-refused"),
        ({"wrong_key_status": 401}, {"integration_key": "not-the-integration-key"}, "pendo-key-refused"),
        ({"parent_account_routes": "not_found"}, {}, "parent-accounts-unavailable"),
        ({"parent_account_routes": "bad_request"}, {}, "parent-accounts-unavailable"),
    ],
)
def test_what_cannot_work_stops_the_sync_with_a_reason(
    pendo: RunningSandbox, switches: dict[str, Any], settings: dict[str, Any], slug: str
) -> None:
    pendo.sandbox.switch(**switches)
    sync = given.object_sync(match="id", object="parent_account", fields=FIELDS)
    destination = given.objects(sync, **{**secrets(pendo), **settings})
    with closing(destination), pytest.raises(DestinationError) as caught:
        prepare(destination)

    assert caught.value.problem.slug == slug


def test_a_read_only_key_stops_the_sync_and_is_said_to_be_one() -> None:
    with running(Sandbox(write_access=False)) as pendo, closing(objects(pendo)) as destination:
        with pytest.raises(DestinationError) as caught:
            prepare(destination)
        settings = given.settings(**secrets(pendo))
        with closing(connect(settings)) as connection:
            said = answered(check(settings), connection)

    assert caught.value.problem.slug == "read-only-key"
    assert said.startswith("the integration key is read-only")


@pytest.mark.parametrize("connection", ["reset_before", "reset_after", "close_after", "truncate"])
def test_a_broken_connection_leaves_it_open_whether_the_rows_arrived(pendo: RunningSandbox, connection: str) -> None:
    with closing(objects(pendo)) as destination:
        prepare(destination)
        pendo.sandbox.add_faults({"path": "*/value", "connection": connection, "last": 1})
        route = destination.routes[1]
        rows = given.Rows((("acct-0000", json.dumps(rendered(route.template, ROWS[0]))),))
        reply = destination.send(destination.build(Batch(route, 0, 1, rows)))

    assert isinstance(reply, NoReply)
    assert reply.maybe_applied


# --- probes ----------------------------------------------------------------------------------------------------------


def answered(steps: Any, connection: Any) -> Any:
    """What the generator ends with, its requests answered over the connection."""
    try:
        request = next(steps)
        while True:
            request = steps.send(connection.send(request))
    except StopIteration as end:
        return end.value


@pytest.mark.parametrize(("arrays", "learned"), [("array_atomic", "yes"), ("single_only", "no")])
def test_every_probe_gets_its_answers(pendo: RunningSandbox, arrays: str, learned: str) -> None:
    pendo.sandbox.switch(track_arrays=arrays, rate_limit=50)
    settings = given.settings(**secrets(pendo))
    with closing(connect(settings)) as connection:
        found = {each.name: answered(each.steps(), connection) for each in probes(settings, mark="t1", now_ms=1_000)}

    answers = {name: [each.answer for each in one.findings] for name, one in found.items()}
    assert found["track"].learned == {"track.arrays": learned}
    assert answers["metadata"] == ["taken", "taken", "refused", "taken", "taken", "taken", "see the reply"]
    assert answers["parent-account"] == ["taken", "taken"]
    assert answers["schema"] == ["taken", "refused", "taken", "float"]
    assert answers["bulk-delete"][:2] == ["taken", "refused"]
    assert answers["rate"][0].startswith("refused at call")
