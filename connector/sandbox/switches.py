"""Every behaviour of Pendo that nobody has written down, as a named switch with all its values.

The defaults are the most likely values. A client that works under every value works whatever Pendo does.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields, replace
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, Self, get_args, get_type_hints

from connector.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


def _switch(default: Any, description: str, *, try_with: tuple[float, ...] = ()) -> Any:
    """One switch. `try_with`: for a switch that is any number, the ones worth testing."""
    return field(default=default, metadata={"description": description, "try_with": try_with})


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """One value for each unknown. A value that a switch does not have raises ConfigError."""

    # --- keys, limits and the form of errors ---
    wrong_key_status: Literal[403, 401] = _switch(
        403, "the status for a missing or wrong integration key; 403 was seen live, the reference says 401"
    )
    read_only_key_status: Literal[403, 401] = _switch(403, "the status when a key without write access writes")
    error_bodies: Literal["json", "plain", "html", "empty"] = _switch(
        "json", "what the body of an error is, where Pendo's own text is not known"
    )
    rate_limit: int | None = _switch(None, "requests a second before 429; none: no limit", try_with=(50,))
    retry_after: Literal["absent", "seconds", "date"] = _switch("absent", "the Retry-After header of the sandbox's 429")
    body_limit_bytes: int | None = _switch(None, "body size above which 413 comes; none: no limit", try_with=(100_000,))
    gzip_requests: Literal["refuse", "accept"] = _switch("refuse", "whether a body with Content-Encoding: gzip is read")
    keep_alive: Literal["keep", "close"] = _switch("keep", "whether a connection stays open after its answer")

    # --- Track events ---
    track_arrays: Literal["array_atomic", "single_only"] = _switch(
        "array_atomic",
        "whether /data/track takes an array (refused as a whole when one event is bad) or one event only",
    )
    track_max_events: int | None = _switch(None, "events in an array before 400; none: no limit", try_with=(50,))
    track_wrong_secret: Literal[401, 403, "accept_and_drop"] = _switch(
        401, "what a missing or wrong Track Event Shared Secret gets: a status, or 200 and nothing is kept"
    )
    track_secret_header: Literal["either", "integration_key_only"] = _switch(
        "either", "whether the secret may also come in x-pendo-track-event-secret"
    )
    track_missing_field: Literal["reject", "accept_and_drop"] = _switch(
        "reject", "an event without type, event or visitorId: 400, or 200 and nothing is kept"
    )
    track_missing_timestamp: Literal["arrival_time", "reject", "accept_and_drop"] = _switch(
        "arrival_time", "an event without timestamp: takes the time of arrival, 400, or 200 and nothing is kept"
    )
    track_reply_body: Literal["empty", "text", "json"] = _switch("empty", "the body of a 200 from /data/track")
    track_old_events: Literal["store", "drop"] = _switch(
        "store", "what becomes of events older than 7 days (always 200)"
    )
    track_future_events: Literal["store", "drop"] = _switch(
        "store", "what becomes of events of the future (always 200)"
    )
    track_duplicates: Literal["keep", "merge"] = _switch(
        "keep", "whether a second event with the same visitor, name and timestamp counts (always 200)"
    )
    track_nested_properties: Literal["store", "reject"] = _switch("store", "objects and arrays among the properties")
    track_event_name_max: int | None = _switch(
        None, "characters of an event name before 400; none: no limit", try_with=(64,)
    )
    track_unknown_ids: Literal["create", "ignore"] = _switch(
        "create", "whether an event makes its unknown visitor and account once it is processed"
    )
    event_processing: Literal["after_1h", "after_6h", "at_once"] = _switch(
        "after_1h",
        "when an event shows: in trackEvents, tracktype and by the visitors it makes (on the sandbox's clock)",
    )

    # --- ids ---
    id_rules: Literal["none", "agent"] = _switch(
        "none", "whether the API refuses the ids that the web agent refuses: blank, `::`, VISITOR-UNIQUE-ID"
    )
    id_max_length: int | None = _switch(
        None, "characters of an id before it is refused; none: no limit", try_with=(128,)
    )
    lower_case_visitor_ids: Literal[False, True] = _switch(
        False, "the subscription setting that lower-cases visitor ids"
    )

    # --- metadata values ---
    parent_account_routes: Literal["served", "not_found", "bad_request"] = _switch(
        "served", "whether the metadata routes take the kind parentAccount"
    )
    agent_unknown_field: Literal["refuse_call", "create"] = _switch(
        "refuse_call", "a bulk write to an agent field that does not exist: 400 for the call, or the field is made"
    )
    custom_invalid_name: Literal["refuse_call", "drop_field"] = _switch(
        "refuse_call",
        "a bulk write to a custom field whose name breaks the rule: 400 for the call, or the value is lost",
    )
    metadata_missing_id: Literal["refuse_call", "record_error"] = _switch(
        "refuse_call", "a record without its id: 400 for the call, or an entry of `errors`"
    )
    metadata_wrong_type: Literal["store_as_is", "coerce", "record_error", "refuse_call"] = _switch(
        "store_as_is", "a value that does not fit its field: kept, made to fit or lost, an entry of `errors`, or 400"
    )
    date_only: Literal["wrong_type", "accept"] = _switch(
        "wrong_type", "whether 2006-01-02 without a time fits a field of type time"
    )
    metadata_errors_shape: Literal["strings", "objects", "objects_other_key", "anonymous"] = _switch(
        "strings",
        "an entry of `errors`: text with the id, an object with visitorId, one with id, or text without the id",
    )
    missing_when_empty: Literal["absent", "null", "empty_list"] = _switch(
        "absent", "how `missing` and `errors` look when there are none"
    )
    created_counted_as: Literal["updated", "created"] = _switch(
        "updated", "whether create=true counts new ids in `updated` or in a member of their own"
    )
    clear_with: Literal["both", "empty_string", "null"] = _switch(
        "both", "which value clears a field; the other one is kept as text (empty string) or changes nothing (null)"
    )
    duplicate_ids: Literal["last_wins", "first_wins", "error"] = _switch("last_wins", "the same id twice in one call")
    dnp_writes: Literal["accepted", "missing"] = _switch(
        "accepted", "a write to a do-not-process id: counted as updated though nothing is kept, or reported missing"
    )
    seconds_per_record: float = _switch(
        0.0, "simulated cost of a record; a call of more than 300 simulated seconds gets 408", try_with=(3.0,)
    )
    after_408: Literal["part_applied", "nothing_applied", "all_applied"] = _switch(
        "part_applied", "what a call that got 408 has changed"
    )
    put_unknown_custom_field: Literal["create", "not_found"] = _switch(
        "create", "a single-value write to a custom field that does not exist; the reference says both"
    )

    # --- metadata schema ---
    schema_types: Literal["basic", "extended"] = _switch(
        "basic",
        "the types for new fields: string, number, time, boolean; extended adds integer, float and (agent) list",
    )
    number_reads_back_as: Literal["float", "integer"] = _switch(
        "float", "the type that a field created as number has in the schema"
    )
    schema_reply_container: Literal["results", "fields", "metadata", "list"] = _switch(
        "results", "the member that holds the answer per field; list: the body is that list, without a summary"
    )
    schema_invalid_field: Literal["refuse_call", "mixed"] = _switch(
        "refuse_call", "an invalid field among good ones: 422 and nothing is made, or 207 and the good ones are"
    )
    schema_read_back: Literal["at_once", "after_5_min"] = _switch(
        "at_once", "when a new field shows in the schema (on the sandbox's clock); it can be written to at once"
    )

    # --- bulk deletion ---
    bulkdelete_already_queued: Literal["refuse_all", "queue_others"] = _switch(
        "refuse_all", "what becomes of the other ids of a call that got 400 because one is queued already"
    )
    bulkdelete_unknown_ids: Literal["accept", "ignore", "refuse_call"] = _switch(
        "accept", "ids that do not exist: queued and marked do-not-process, left out, or 400 for the call"
    )
    bulkdelete_merging: Literal["merge", "separate"] = _switch(
        "merge", "whether a call joins the waiting request of its kind (up to 500 ids) and gets the same id back"
    )
    bulkdelete_reply_id: Literal["id", "requestId"] = _switch("id", "the member that holds the request's id")
    bulkdelete_status_key: Literal["status", "state"] = _switch("status", "the member that says how far a request is")
    bulkdelete_fast_calls: Literal[429, 500, "allow"] = _switch(
        429, "a second call within a second: the status it gets, or nothing happens"
    )

    # --- aggregation ---
    aggregation_key: Literal["read", "write"] = _switch("read", "the access that POST /api/v1/aggregation needs")

    def __post_init__(self) -> None:
        """Refuse what a switch does not have."""
        for switch in SWITCHES:
            switch.check(getattr(self, switch.name))

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Self:
        """The defaults, with these changes."""
        return cls().changed(written)

    def changed(self, written: Mapping[str, Any]) -> Self:
        """These switches, with what someone wrote (in YAML, JSON or Python) for some of them."""
        return replace(self, **{name: _named(name).read(value) for name, value in written.items()})

    def as_dict(self) -> dict[str, Any]:
        """Every switch's value by its name."""
        return {switch.name: getattr(self, switch.name) for switch in SWITCHES}


@dataclass(frozen=True, slots=True)
class Switch:
    """What one switch is: its values (for a number: the default and those worth testing) and what it decides."""

    name: str
    values: tuple[Any, ...]
    default: Any
    description: str
    number: type[int | float] | None = None

    def check(self, value: object) -> None:
        """Nothing; ConfigError when the switch does not have the value."""
        if any(value == allowed and type(value) is type(allowed) for allowed in self.values) or self._is_number(value):
            return
        raise ConfigError(
            f"switch {self.name} cannot be {value!r}",
            slug="bad-switch-value",
            hint=f"one of: {', '.join(self.words())}",
        )

    def read(self, written: object) -> Any:
        """The value that someone wrote: `401` and "401" are the same, and so are null, none and true, True."""
        for value in self.values:
            if str(value).casefold() == str(written).casefold():
                return value
        if self.number is float and type(written) is int:
            return float(written)
        self.check(written)
        return written

    def words(self) -> list[str]:
        """The values as a user writes them."""
        listed = [str(value).lower() if value in (None, True, False) else str(value) for value in self.values]
        return [*listed, "any positive number"] if self.number else listed

    def _is_number(self, value: object) -> bool:
        return self.number is not None and type(value) is self.number and value > 0


def _introspect() -> tuple[Switch, ...]:
    hints = get_type_hints(Switches)
    found = []
    for each in fields(Switches):
        values = get_args(hints[each.name])
        number: type[int | float] | None = None
        if hints[each.name] is float or NoneType in values:
            number = float if hints[each.name] is float else int
            values = (each.default, *each.metadata["try_with"])
        found.append(Switch(each.name, values, each.default, each.metadata["description"], number))
    return tuple(found)


def _named(name: str) -> Switch:
    for switch in SWITCHES:
        if switch.name == name:
            return switch
    near = difflib.get_close_matches(name, [switch.name for switch in SWITCHES], n=1)
    raise ConfigError(
        f"the sandbox has no switch {name!r}",
        slug="unknown-switch",
        hint=f"did you mean {near[0]!r}?" if near else "docs/sandbox.md lists them",
    )


SWITCHES: tuple[Switch, ...] = _introspect()
