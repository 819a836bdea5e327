"""Every fact about Pendo that this package relies on, once, with where it comes from and how sure it is.

Nothing else in the package holds a limit, a path, a name or a number of Pendo's. `docs/pendo.md` shows `table()`.

Confidence: D documented by Pendo, L a live answer someone wrote down, C seen in other people's code, I inferred,
U unknown (looked for and not found: the value is a choice of ours). `source` is a section of the wire contract that
was researched from public material, with the key of the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from connector.ports import ValueType

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
Confidence = Literal["D", "L", "C", "I", "U"]


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """One fact: its value, what it means, and how far it can be trusted."""

    value: T
    meaning: str
    source: str
    confidence: Confidence


# --- hosts and secrets ---------------------------------------------------------------------------------------------

API_HOSTS: Fact[Mapping[str, str]] = Fact(
    MappingProxyType(
        {
            "us": "app.pendo.io",
            "us1": "us1.app.pendo.io",
            "eu": "app.eu.pendo.io",
            "jpn": "app.jpn.pendo.io",
            "au": "app.au.pendo.io",
        }
    ),
    "host of the REST API by region",
    "1.1 [PDF]",
    "D",
)
DATA_HOSTS: Fact[Mapping[str, str]] = Fact(
    MappingProxyType(
        {
            "us": "data.pendo.io",
            "us1": "us1.data.pendo.io",
            "eu": "data.eu.pendo.io",
            "jpn": "data.jpn.pendo.io",
            "au": "data.au.pendo.io",
        }
    ),
    "host that takes Track events by region (au: C)",
    "1.1 [PDF, w6w]",
    "D",
)
KEY_SUFFIXES: Fact[Mapping[str, str]] = Fact(
    MappingProxyType({"us": "us", "eu": "eu"}),
    "region that an integration key's ending points to; a hint only",
    "1.2 [snippets, tap]",
    "C",
)
KEY_HEADER: Fact[str] = Fact(
    "x-pendo-integration-key",
    "header for the integration key on /api/v1 and for the Track Event Shared Secret on /data/track",
    "1.2 [PDF, S-track]",
    "D",
)

# --- addresses -------------------------------------------------------------------------------------------------------

VERIFY_PATH: Fact[str] = Fact("/api/v1/token/verify", "says `valid` and `writeAccess` of a key", "1.3 [PDF, w6w]", "D")
SCHEMA_PATH: Fact[str] = Fact("/api/v1/metadata/schema/{kind}", "the fields of a kind, by group", "3.2 [PDF]", "D")
CREATE_FIELDS_PATH: Fact[str] = Fact("/api/v1/metadata/schema/{kind}/{group}", "makes fields", "3.3 [PDF]", "D")
VALUES_PATH: Fact[str] = Fact("/api/v1/metadata/{kind}/{group}/value", "sets fields of many ids", "3.4 [PDF]", "D")
ONE_PATH: Fact[str] = Fact("/api/v1/{kind}/{id}", "everything about one visitor or account", "5.1 [PDF]", "D")
DELETE_PATH: Fact[str] = Fact("/api/v1/bulkdelete/{kind}", "queues ids for deletion", "4 [PDF]", "D")
DELETE_LIST_PATH: Fact[str] = Fact("/api/v1/bulkdelete", "the deletions that are not completed", "4 [PDF]", "D")
TRACK_PATH: Fact[str] = Fact("/data/track", "takes Track events", "2.1 [PDF]", "D")
KINDS: Fact[Mapping[str, str]] = Fact(
    MappingProxyType({"visitor": "visitor", "account": "account", "parent_account": "parentAccount"}),
    "kind in an address by object (parentAccount: I, its routes are not in the reference)",
    "3.1 [PDF, agent, HT]",
    "D",
)
ID_MEMBERS: Fact[Mapping[str, str]] = Fact(
    MappingProxyType({"visitor": "visitorId", "account": "accountId", "parent_account": "parentAccountId"}),
    "member that holds the id in a metadata record (parentAccountId: I)",
    "3.4 [PDF]",
    "D",
)
DELETE_MEMBERS: Fact[Mapping[str, str]] = Fact(
    MappingProxyType({"visitor": "visitors", "account": "accounts"}),
    "member that holds the ids of a bulk delete; there is none for parent accounts",
    "4 [PDF]",
    "D",
)

# --- how much, how fast, how long ------------------------------------------------------------------------------------

METADATA_ROWS: Fact[int] = Fact(500, "rows a metadata call by default; Pendo states no limit", "3.4 [rh-hbi]", "C")
BODY_BYTES: Fact[int] = Fact(1_000_000, "bytes a request body by default; Pendo states no limit", "3.4", "U")
CREATE_FIELDS: Fact[int] = Fact(24, "fields that one call may make", "3.3 [PDF]", "D")
DELETE_IDS: Fact[int] = Fact(500, "ids that one bulk delete may hold", "4 [PDF, S-bulk]", "D")
DELETE_INTERVAL_S: Fact[float] = Fact(1.0, "seconds between two bulk deletes; faster ones fail", "4 [S-bulk]", "D")
DELETE_DAYS: Fact[int] = Fact(21, "days until a bulk delete is complete, at most", "4 [PDF, S-bulk]", "D")
METADATA_TIME_LIMIT_S: Fact[float] = Fact(300.0, "seconds after which a metadata call ends in 408", "3.4 [PDF]", "D")
METADATA_TIMEOUT_S: Fact[float] = Fact(310.0, "seconds to wait for a metadata call: its limit and a little", "9", "I")
TIMEOUT_S: Fact[float] = Fact(30.0, "seconds to wait for every other answer", "9", "I")
CONNECT_TIMEOUT_S: Fact[float] = Fact(10.0, "seconds to wait for a connection", "9", "I")
SERVER_ERROR_WAIT_S: Fact[float] = Fact(1.0, "least seconds before a retry after a 5xx", "1.5 [PDF]", "D")

# --- fields ----------------------------------------------------------------------------------------------------------

GROUPS: Fact[tuple[str, ...]] = Fact(("custom", "agent"), "groups whose fields can be made and set", "3.1 [PDF]", "D")
LIST_GROUPS: Fact[tuple[str, ...]] = Fact(("agent",), "groups that can hold lists", "3.6 [S-types, S-custom]", "D")
FIELD_NAME: Fact[str] = Fact("[A-Za-z_][A-Za-z0-9_]*", "what a field's name looks like", "3.6 [S-meta]", "D")
FIELDS_FOLD: Fact[bool] = Fact(True, "Pendo keeps field names in lower case", "3.2 [tap]", "I")
RESERVED_FIELDS: Fact[tuple[str, ...]] = Fact(("id",), "field names that belong to the identity", "3.6", "I")
FIELD_TYPES: Fact[tuple[str, ...]] = Fact(
    ("string", "time", "boolean", "integer", "float", "list", ""),
    "types in a schema; empty: not set yet",
    "3.2 [airbyte, zendo]",
    "C",
)
CREATE_TYPES: Fact[Mapping[ValueType, str]] = Fact(
    MappingProxyType(
        {
            ValueType.STRING: "string",
            ValueType.INTEGER: "number",
            ValueType.FLOAT: "number",
            ValueType.BOOLEAN: "boolean",
            ValueType.DATE: "time",
            ValueType.TIME: "time",
        }
    ),
    "type to make a field with; none is known for lists, and what `number` becomes is unknown",
    "3.3 [PDF]",
    "D",
)
CREATED: Fact[tuple[str, ...]] = Fact(("created", "undeleted"), "a field's status after it was made", "3.3 [PDF]", "D")
TEXT_LENGTH: Fact[int] = Fact(1_500, "characters a text field should not exceed", "3.6 [S-meta]", "D")
CLEARED: Fact[str] = Fact("", "value that clears a field; JSON null is the other candidate", "3.4 [snippets]", "U")

# --- ids -------------------------------------------------------------------------------------------------------------

REFUSED_IDS: Fact[tuple[str, ...]] = Fact(
    ("::", "VISITOR-UNIQUE-ID"), "ids that Pendo's own agent refuses, besides blank ones", "3.7 [agent]", "D"
)

# --- events ----------------------------------------------------------------------------------------------------------

EVENT_TYPE: Fact[str] = Fact("track", "`type` of every event", "2.1 [PDF]", "D")
CONTEXT_MEMBERS: Fact[Mapping[str, str]] = Fact(
    MappingProxyType({"ip": "ip", "user_agent": "userAgent", "url": "url", "title": "title"}),
    "members of an event's context",
    "2.1 [PDF]",
    "D",
)
TRACK_ARRAYS: Fact[str] = Fact("auto", "whether /data/track takes an array of events", "2.3 [HT]", "U")
PROPERTY_NAME: Fact[str] = Fact(
    "[A-Za-z_][A-Za-z0-9_]*", "what a property's name looks like; not __in_double_underscores__", "2.4 [S-track]", "D"
)
PROPERTY_NAME_LENGTH: Fact[int] = Fact(32, "characters of a property's name", "2.4 [S-track]", "D")
PROPERTIES_BYTES: Fact[int] = Fact(
    512, "bytes of an event's properties above which Pendo's UI shows a marker instead", "2.4 [S-track]", "D"
)
EVENT_AGE_DAYS: Fact[int] = Fact(7, "days after which a past event may never be processed", "2.5 [PDF, S-track]", "D")
EVENT_AHEAD_S: Fact[int] = Fact(
    300, "seconds an event's time may be ahead of ours; beyond, it is not sent", "2.5, 9", "U"
)
EVENT_NAMES: Fact[int] = Fact(5_000, "distinct event names an app", "2.4 [S-track]", "D")
PROPERTY_NAMES: Fact[int] = Fact(10_000, "distinct property names a subscription", "2.4 [S-track]", "D")

# --- answers ---------------------------------------------------------------------------------------------------------

SPLIT_STATUSES: Fact[tuple[int, ...]] = Fact((400, 422), "the body was refused as a whole", "1.5, 2.2, 3.4 [PDF]", "D")
TOO_LARGE_STATUSES: Fact[tuple[int, ...]] = Fact((413,), "the body was too large", "3.4", "U")
AUTH_STATUSES: Fact[tuple[int, ...]] = Fact((401, 403), "the key was refused; often an empty body", "1.4 [w6w]", "L")
MISSING_MAPPING: Fact[str] = Fact(
    "missing field mapping", "text of a 400 that means: an agent field does not exist", "3.4 [PDF]", "D"
)
ALREADY_QUEUED: Fact[str] = Fact(
    "queued|already|bad ?request", "text of a 400 that means: an id waits for its deletion already", "4 [PDF]", "D"
)
UNKNOWN_ID: Fact[str] = Fact(
    "unknown|not found|no such|not exist", "text of a 400 that would mean: the id to delete is not there", "4", "U"
)
CREATE_STATUSES: Fact[tuple[int, ...]] = Fact(
    (201, 207, 400, 409, 422, 500), "answers to making fields that say something about each field", "3.3 [PDF]", "D"
)
RECEIPT_MEMBERS: Fact[tuple[str, ...]] = Fact(
    ("id", "requestId"), "member that holds a bulk delete's request id", "4 [w6w, slates]", "C"
)
ERROR_ID_MEMBERS: Fact[tuple[str, ...]] = Fact(
    ("visitorId", "accountId", "parentAccountId", "id"), "where an entry of `errors` may name its id", "3.4, 9", "U"
)


def facts() -> Mapping[str, Fact[Any]]:
    """Every fact by its name, in the order of this file."""
    return {name: fact for name, fact in globals().items() if isinstance(fact, Fact)}


def table() -> str:
    """The facts as a Markdown table, as docs/pendo.md shows them."""
    head = "| name | value | meaning | source | confidence |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{name}` | {_shown(fact.value)} | {_escaped(fact.meaning)} | {fact.source} | {fact.confidence} |\n"
        for name, fact in facts().items()
    )


def _shown(value: Any) -> str:
    if isinstance(value, MappingProxyType):
        return "<br>".join(f"{_code(key)}: {_code(inner)}" for key, inner in value.items())
    if isinstance(value, tuple):
        return ", ".join(_code(inner) for inner in value)
    return _code(value)


def _code(value: Any) -> str:
    return f"`{_escaped(str(value))}`" if str(value) else "(empty)"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
