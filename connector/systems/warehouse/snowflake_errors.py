"""What Snowflake's errors mean, by their numbers: the server's own, and those of its Python driver."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from connector.errors import SourceError
from connector.systems.warehouse.named import first_line, without_secrets
from connector.systems.warehouse.stream import timed_out

if TYPE_CHECKING:
    from collections.abc import Collection

    from connector.ports import Query

# Of a login that was refused; https://docs.snowflake.com/en/user-guide/key-pair-auth-troubleshooting has some.
LOGIN = range(390_000, 391_000)
NO_SUCH_OBJECT = (2003, 2043)
NO_PRIVILEGE = (3001, 3003)
NO_WAREHOUSE = (606, 57)
NO_DATABASE = (90_105, 90_106)
CANCELLED = 604
TIMEOUTS = (630, 631)
COMPILATION = (904, 979, 1003, 1007, 2028, 2140)
# The driver adds the status of an answer that is no success to this.
HTTP = 290_000
PASSING_STATUSES = (408, 429)

_PLACE = re.compile(r"(?:error )?line (\d+) at position (\d+)")
_OBJECT = re.compile(r"(?:Object|Table|View|Schema|Database) '([^']+)' does not exist")
_ABOUT = re.compile(r"^\d{6}(?: \(\w+\))?: (?:[0-9a-f-]{20,}: )?(?:Failed to connect to DB: \S+ )?")


def refused_login(error: Exception, secrets: Collection[str]) -> SourceError:
    """Why there is no session."""
    said = _said(error, secrets)
    if _number(error) in LOGIN or type(error).__name__ == "ForbiddenError":
        return SourceError(
            f"Snowflake refused the login: {said}",
            slug="source-login",
            hint="check account, user, password or key, and role; docs/warehouses/snowflake.md has the key-pair set-up",
        )
    return SourceError(
        f"Snowflake cannot be reached: {said}",
        slug="source-unreachable",
        hint="check the account's name, the network and the proxy; docs/warehouses/snowflake.md lists the hosts",
    )


def refused_sql(error: Exception, query: Query, limit_s: float | None, secrets: Collection[str]) -> SourceError:
    """What is wrong with the SQL or the session, and where."""
    said, number = _said(error, secrets), _number(error)
    at = _place(str(error), query)
    if number in NO_SUCH_OBJECT:
        return SourceError(
            said,
            slug="source-table-missing",
            at=at or _named_at(said, query),
            hint="the name is wrong, or the role has no select on it: docs/warehouses/snowflake.md has the grants",
        )
    if number in NO_PRIVILEGE:
        hint = "docs/warehouses/snowflake.md has the grants that a role needs"
        return SourceError(said, slug="source-denied", at=at, hint=hint)
    if number in (*NO_WAREHOUSE, *NO_DATABASE):
        key = "warehouse" if number in NO_WAREHOUSE else "database and schema"
        return SourceError(
            said, slug="source-settings", hint=f"name the {key} in the source, and grant its usage to the role"
        )
    if number in COMPILATION or "compilation error" in str(error):
        return SourceError(f"the warehouse refused the SQL: {said}", slug="source-query", at=at)
    return broke_off(error, limit_s, secrets)


def broke_off(error: Exception, limit_s: float | None, secrets: Collection[str]) -> SourceError:
    """What ended the query before its last row."""
    said, number = _said(error, secrets), _number(error)
    if number in TIMEOUTS or "due to a timeout" in said:
        return timed_out(limit_s)
    if _is_network(error):
        return SourceError(
            f"the connection to Snowflake was lost: {said}",
            slug="source-lost",
            hint="run again: what was not sent is sent then",
        )
    return SourceError(f"the warehouse broke off: {said}", slug="source-read")


def _is_network(error: Exception) -> bool:
    """True when no answer came, or one that says "later"; the driver has a few numbers for it, and errors without."""
    if isinstance(error, OSError) or type(error).__name__ in ("RetryRequest", "RequestTimeoutError"):
        return True
    number = _number(error)
    status = number - HTTP
    return number // 1000 in (250, 251) or status in PASSING_STATUSES or 500 <= status < 600  # noqa: PLR2004


def _number(error: Exception) -> int:
    number = getattr(error, "errno", None)
    return number if isinstance(number, int) else -1


def _said(error: Exception, secrets: Collection[str]) -> str:
    """Snowflake's own sentence: without number, query id, host, and the address of a result's part, which is signed."""
    text = _ABOUT.sub("", str(getattr(error, "msg", None) or error))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("SQL compilation error")]
    sentence = lines[0] if lines else first_line(text)
    return without_secrets(sentence, secrets)[:500].rstrip(". ")


def _place(text: str, query: Query) -> str | None:
    found = _PLACE.search(text)
    if found is None:
        return None
    line, column = int(found[1]), int(found[2])
    lines = query.sql.split("\n")
    if not 1 <= line <= len(lines):
        return None
    return query.at(sum(len(before) + 1 for before in lines[: line - 1]) + min(column, len(lines[line - 1])))


def _named_at(said: str, query: Query) -> str | None:
    """Where the SQL names the object that is missing; Snowflake gives its name in full and in upper case."""
    found = _OBJECT.search(said)
    last = found[1].replace('"', "").rpartition(".")[2] if found else ""
    place = re.search(rf"\b{re.escape(last)}\b", query.sql, re.IGNORECASE) if last else None
    return query.at(place.start()) if place else None
