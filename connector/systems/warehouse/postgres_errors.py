"""What PostgreSQL's errors mean, by their SQLSTATE; https://www.postgresql.org/docs/current/errcodes-appendix.html."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from connector.errors import SourceError
from connector.systems.warehouse.named import first_line, without_secrets
from connector.systems.warehouse.stream import timed_out

if TYPE_CHECKING:
    from collections.abc import Collection

    from connector.ports import Query

LOGIN = ("28000", "28P01", "3D000")
TABLE_MISSING = ("42P01", "3F000")
DENIED = ("42501",)
CANCELLED = "57014"
# A login that may work a moment later: too many connections, starting up, shutting down.
BUSY = ("53300", "57P03", "57P01", "57P02", "57P05")
# On a replica: the primary removed what the query still needed.
RECOVERY = "40001"

_STATE = re.compile(r"SQLSTATE: (\w{5})")
_BROKEN = re.compile(
    r"connection|server closed|SSL SYSCALL|terminating|could not receive|could not send|EOF detected|PQconsumeInput",
    re.IGNORECASE,
)
_TIMEOUT = "statement timeout"
_ADBC = re.compile(r"^(?:[A-Z_]+: )?(?:\[libpq\] )?(?:[^\n]*?ERROR:\s+)?")


def refused_login(error: Exception, secrets: Collection[str]) -> SourceError:
    """Why there is no connection."""
    said = _said(error, secrets)
    state = sqlstate(error) or ""
    if state in LOGIN or re.search(r"authentication failed|does not exist|no password supplied|pg_hba", said):
        return SourceError(
            f"PostgreSQL refused the login: {said}",
            slug="source-login",
            hint="check user, password and database of the source",
        )
    return SourceError(
        f"PostgreSQL cannot be reached: {said}",
        slug="source-unreachable",
        hint="check host, port, network and sslmode of the source",
    )


def refused_sql(error: Exception, query: Query, prefix: int, secrets: Collection[str]) -> SourceError:
    """What is wrong with the SQL, and where; `prefix` characters were put before it."""
    message, state, at = _said(error, secrets), sqlstate(error), _place(error, query, prefix)
    hint = getattr(getattr(error, "diag", None), "message_hint", None)
    if state in TABLE_MISSING:
        return SourceError(message, slug="source-table-missing", at=at, hint=hint)
    if state in DENIED:
        return denied(message, at)
    if state is None or state.startswith("08") or state in BUSY or state == CANCELLED:
        return broke_off(error, None, secrets)
    return SourceError(
        f"the warehouse refused the SQL: {message}", slug="source-query", at=at or query.at(0), hint=hint
    )


def denied(message: str, at: str | None) -> SourceError:
    """The login may not read what the model asks for."""
    return SourceError(
        message,
        slug="source-denied",
        at=at,
        hint="grant usage on schema ... to the role, and select on its tables: docs/warehouses/postgres.md has both",
    )


def broke_off(error: Exception, limit_s: float | None, secrets: Collection[str]) -> SourceError:
    """What ended the result before its last row."""
    said, state = _said(error, secrets), sqlstate(error)
    if _TIMEOUT in str(error):
        return timed_out(limit_s)
    if state in DENIED:
        return denied(said, None)
    if (state or "").startswith("08") or state in BUSY or (state is None and _BROKEN.search(said)):
        return SourceError(
            f"the connection to PostgreSQL was lost: {said}",
            slug="source-lost",
            hint="run again: what was not sent is sent then",
        )
    if state == RECOVERY or "conflict with recovery" in said:
        hint = "the replica dropped the query: raise max_standby_streaming_delay there, or read the primary"
        return SourceError(f"the warehouse broke off: {said}", slug="source-read", hint=hint)
    return SourceError(f"the warehouse broke off: {said}", slug="source-read")


def sqlstate(error: Exception) -> str | None:
    """The five characters that name the error, where the driver passes them on."""
    state = getattr(error, "sqlstate", None)
    found = _STATE.search(str(error)) if state is None else None
    return found[1] if found else state


def _said(error: Exception, secrets: Collection[str]) -> str:
    """PostgreSQL's own sentence, without what the driver wrote around it."""
    diagnosis: Any = getattr(error, "diag", None)
    primary = getattr(diagnosis, "message_primary", None)
    detail = getattr(diagnosis, "message_detail", None)
    if primary:
        return without_secrets(f"{primary} ({detail})" if detail else primary, secrets)
    text = _ADBC.sub("", str(error).split("\nQuery was:", 1)[0])
    return without_secrets(first_line(_STATE.sub("", text)), secrets).rstrip(". ")


def _place(error: Exception, query: Query, prefix: int) -> str | None:
    position = getattr(getattr(error, "diag", None), "statement_position", None)
    if position is None:
        return None
    offset = int(position) - 1 - prefix
    return query.at(offset) if 0 <= offset <= len(query.sql) else None
