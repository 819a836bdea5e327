"""Visitors, accounts and parent accounts: their routes, their requests, and what the replies mean."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from connector.ports import (
    Cell,
    Change,
    Constant,
    Failure,
    Fault,
    Judged,
    Members,
    NoReply,
    Outcome,
    Refused,
    Reply,
    Request,
    Route,
    Unknown,
    ValueType,
)
from connector.project.settings import OnRemoved
from connector.systems.pendo import facts
from connector.systems.pendo.attribution import metadata_verdict
from connector.systems.pendo.cells import constant_type, is_constant, is_left_out, template
from connector.systems.pendo.replies import (
    BAD_REQUEST,
    NOT_FOUND,
    NOT_PENDO,
    REQUEST_TIMEOUT,
    common_verdict,
    is_page,
    is_success,
    parsed,
    said,
)
from connector.systems.pendo.schema import (
    CREATE_PURPOSE,
    READ_PURPOSE,
    Field,
    is_about_fields,
    is_no_kind,
    no_parent_accounts,
    prepare_fields,
)
from connector.systems.pendo.settings import INTEGRATION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from connector.ports import Batch, Connection, Flight, ProbeAnswer, Template, Verdict
    from connector.project.settings import FieldSpec, ObjectSync
    from connector.systems.pendo.settings import PendoSettings

CLEAR = "clear-"
DELETE = "delete"
MARGIN = 1.1  # a call that travels faster than the one before it must not come too early
UPSERTS = frozenset({Change.ADDED, Change.CHANGED})
REMOVALS = frozenset({Change.REMOVED})


class ObjectDestination:
    """One object sync's view of Pendo."""

    def __init__(
        self,
        settings: PendoSettings,
        sync: ObjectSync,
        client: Connection,
        *,
        at: Callable[..., str],
        types: Mapping[str, ValueType],
        now: Callable[[], float] = time.time,
    ) -> None:
        """Draw up the routes; nothing is sent before `prepare`."""
        self._settings = settings
        self._sync = sync
        self._client = client
        self._at = at
        self._types = types
        self._now = now
        self._kind = facts.KINDS.value[sync.object]
        self._routes = tuple(self._drawn_routes())

    @property
    def routes(self) -> tuple[Route, ...]:
        """One route a metadata group with fields, and one a group to clear or one to delete from."""
        return self._routes

    @property
    def secrets(self) -> tuple[str, ...]:
        """The integration key and the Track Event Shared Secret."""
        return self._client.secrets

    def limits(self) -> Mapping[str, int]:
        """Each route's own limit: nothing that Pendo answers lowers it."""
        return {route.name: route.max_rows for route in self._routes}

    def prepare(self) -> Generator[Request, Reply, None]:
        """The key check, and the schema with the fields that are still to be made.

        Raises DestinationError or ConfigErrors; nothing has been sent then.
        """
        return prepare_fields(self._settings, self._sync.object, tuple(self._fields()))

    def build(self, batch: Batch) -> Request:
        """The call that carries this batch."""
        if batch.route.name == DELETE:
            head, tail = self._delete_frame()
            path = facts.DELETE_PATH.value.format(kind=self._kind)
            body = batch.fragments.joined(head, tail)
            return self._request(path, body, self._settings.timeouts.read_seconds, batch)
        group = batch.route.name.removeprefix(CLEAR)
        path = facts.VALUES_PATH.value.format(kind=self._kind, group=group)
        body = batch.fragments.joined(b"[", b"]")
        return self._request(path, body, self._settings.timeouts.metadata_seconds, batch)

    def judge(self, request: Request, reply: Reply) -> Verdict:
        """What the reply means for each row of the request.

        A metadata call's 200 can still hold failures, so its body is read; a body that cannot be read leaves it
        unknown what happened. A delete's 200 is judged by its status.

        Source: pendo-api.md 3.4, 4.
        """
        batch = request.batch
        if batch is None:
            return self._judged_preparation(request, reply)
        if batch.route.name == DELETE:
            return self._judged_delete(request, reply, batch)
        if is_success(reply):
            body = parsed(reply)
            return Unknown("the answer was cut off or is not JSON") if body is None else metadata_verdict(batch, body)
        if reply.status == REQUEST_TIMEOUT and len(batch) > 1:
            return Refused(f"{reply.status}: {said(reply)}", too_large=True)
        if reply.status == NOT_FOUND and self._is_parent():
            return no_parent_accounts(request, reply)
        if reply.status == BAD_REQUEST and _lacks_a_field(said(reply)):
            return Fault(
                f"Pendo does not have a field of group {batch.route.name.removeprefix(CLEAR)}: {said(reply)}",
                "pendo-unknown-field",
                "a field was removed from Pendo since the run began: run again, with `create: true` to make it anew",
            )
        return self._common(request, reply)

    def probe(self, batch: Batch) -> Generator[Request, Verdict, ProbeAnswer] | None:
        """None: there is nothing to find out about metadata calls."""
        del batch
        return None

    def send(self, request: Request) -> Reply | NoReply:
        """The answer, or why there is none."""
        return self._client.send(request)

    def flight(self, most: int) -> Flight | None:
        """What carries so many requests of one thread at once."""
        return self._client.flight(most)

    def close(self) -> None:
        """Nothing, after closing the connections."""
        self._client.close()

    # --- routes ------------------------------------------------------------------------------------------------------

    def _drawn_routes(self) -> Iterator[Route]:
        for group, fields in self._groups():
            values = ((name.lower(), self._value(group, name, spec)) for name, spec in fields.items())
            yield self._metadata_route(group, UPSERTS, tuple(values))
        match self._sync.on_removed:
            case OnRemoved.DO_NOTHING:
                return
            case OnRemoved.CLEAR:
                for group, fields in self._groups():
                    cleared = ((name.lower(), self._cleared(group, name, spec)) for name, spec in fields.items())
                    yield self._metadata_route(CLEAR + group, REMOVALS, tuple(cleared))
            case OnRemoved.DELETE:
                frame = sum(len(part) for part in self._delete_frame())
                rows = min(self._sync.batch.rows, facts.DELETE_IDS.value)
                size = self._sync.batch.bytes - frame
                yield Route(
                    DELETE, REMOVALS, self._id(), rows, size, min_interval_s=MARGIN * facts.DELETE_INTERVAL_S.value
                )

    def _groups(self) -> Iterator[tuple[str, Mapping[str, FieldSpec]]]:
        for group in facts.GROUPS.value:
            fields = {name: spec for name, spec in getattr(self._sync.fields, group).items() if not is_left_out(spec)}
            if fields:
                yield group, fields

    def _metadata_route(self, name: str, changes: frozenset[Change], values: tuple[tuple[str, Template], ...]) -> Route:
        id_member = facts.ID_MEMBERS.value[self._sync.object]
        row = Members(((id_member, self._id()), ("values", Members(values))))
        return Route(name, changes, row, self._sync.batch.rows, self._sync.batch.bytes - len("[]"))

    def _id(self) -> Cell:
        never = facts.REFUSED_IDS.value
        return Cell("match", self._sync.match, type=ValueType.ID, required=True, at=self._at("match"), never=never)

    def _value(self, group: str, name: str, spec: FieldSpec) -> Template:
        return template(spec, ("fields", group, name), self._at)

    def _cleared(self, group: str, name: str, spec: FieldSpec) -> Constant:
        if self._settings.clear_with == "null":
            return Constant(None)
        return Constant([] if self._type(group, name, spec) is ValueType.LIST else facts.CLEARED.value)

    def _type(self, group: str, name: str, spec: FieldSpec) -> ValueType | None:
        """What the field's values are sent as, or None when only the model's columns could say."""
        if is_constant(spec):
            return constant_type(spec)
        return ValueType(spec.type.value) if spec.type else self._types.get(f"fields.{group}.{name}")

    def _fields(self) -> Iterator[Field]:
        for group, fields in self._groups():
            for name, spec in fields.items():
                yield Field(group, name, self._type(group, name, spec), spec.create, self._at("fields", group, name))

    # --- requests and replies ----------------------------------------------------------------------------------------

    def _delete_frame(self) -> tuple[bytes, bytes]:
        return f'{{"{facts.DELETE_MEMBERS.value[self._sync.object]}":['.encode(), b"]}"

    def _request(self, path: str, body: bytes, timeout_s: float, batch: Batch) -> Request:
        return Request(
            "POST",
            self._settings.api_url + path,
            INTEGRATION_KEY,
            "send",
            body,
            {"content-type": "application/json"},
            timeout_s,
            batch,
        )

    def _judged_preparation(self, request: Request, reply: Reply) -> Verdict:
        if request.purpose == CREATE_PURPOSE and is_about_fields(reply):
            return Judged()
        if request.purpose == READ_PURPOSE and self._is_parent() and is_no_kind(reply):
            return no_parent_accounts(request, reply)
        verdict = self._common(request, reply)
        if isinstance(verdict, Refused):
            return Fault(
                f"Pendo refused the {request.purpose}: {verdict.reason}",
                "pendo-unexpected-status",
                "the call is in the API call log: connector log --calls",
            )
        return verdict

    def _judged_delete(self, request: Request, reply: Reply, batch: Batch) -> Verdict:
        if is_success(reply):
            return Unknown(NOT_PENDO) if is_page(reply) else Judged(note=_receipt(reply))
        if reply.status == BAD_REQUEST and len(batch) == 1 and not is_page(reply):
            text = said(reply)
            if re.search(facts.UNKNOWN_ID.value, text, re.IGNORECASE):
                return Judged({0: Failure(Outcome.SKIPPED, text)})
            if not reply.body or re.search(facts.ALREADY_QUEUED.value, text, re.IGNORECASE):
                return Judged(note=f"was queued for deletion before: {text}")
        return self._common(request, reply)

    def _is_parent(self) -> bool:
        return self._sync.object == "parent_account"

    def _common(self, request: Request, reply: Reply) -> Verdict:
        return common_verdict(request, reply, self._settings, self._now) or Judged()


def _lacks_a_field(text: str) -> bool:
    """True when a 400 can only mean a missing field: the reference's own sentence names malformed JSON, too."""
    text = text.lower()
    return facts.MISSING_MAPPING.value in text and "malformed" not in text


def _receipt(reply: Reply) -> str:
    body = parsed(reply)
    named = [body[name] for name in facts.RECEIPT_MEMBERS.value if body.get(name)] if isinstance(body, dict) else []
    if not named:
        return "queued for deletion; Pendo named no request id"
    return f"queued for deletion as request {named[0]}"
