"""What the errors of any database mean, by what its driver says: an SQLSTATE, a number, or words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from connector.errors import SourceError
from connector.systems.warehouse.named import first_line, without_secrets
from connector.systems.warehouse.stream import timed_out

if TYPE_CHECKING:
    from collections.abc import Collection

    from connector.ports import Query

# In this order: the first that fits. Numbers are MySQL's and MariaDB's, where they are the first argument.
LOGIN = re.compile(
    r"access denied for user|authentication|login failed|logon denied|invalid (user|password)|unknown database|"
    r"no password supplied|ORA-01017|cannot open database",
    re.IGNORECASE,
)
LOGIN_NUMBERS = (1044, 1045, 1049, 1698)
TABLE = re.compile(
    r"no such table|relation \S+ does not exist|table or view|table '\S+' doesn't exist|invalid object name|"
    r"unknown table|table \S+ (not found|does not exist)|TABLE_OR_VIEW_NOT_FOUND|ORA-00942",
    re.IGNORECASE,
)
TABLE_NUMBERS = (1146,)
DENIED = re.compile(r"permission (was )?denied|command denied|not authori[sz]ed|insufficient privilege", re.IGNORECASE)
DENIED_NUMBERS = (1142, 1143, 1227)
TIMEOUT = re.compile(r"max_statement_time|maximum statement execution time|statement timeout", re.IGNORECASE)
TIMEOUT_NUMBERS = (1969, 3024)
LOST = re.compile(
    r"lost connection|gone away|connection (was )?(refused|reset|closed|aborted|killed)|can't connect|broken pipe|"
    r"server closed|timed out|unreachable|name or service not known|not resolve|unable to connect|network|"
    r"08S01|08001|08006|ORA-03113|ORA-12\d{3}|adaptive server",
    re.IGNORECASE,
)
LOST_NUMBERS = (1053, 1077, 1152, 1927, 2002, 2003, 2006, 2013, 2055)
_TABLE_NAME = re.compile(r"(?:no such table: |table |relation |object name )['\"]?([^\s'\"]+)", re.IGNORECASE)


def refused_login(error: Exception, secrets: Collection[str]) -> SourceError:
    """Why there is no connection."""
    said, number = _said(error, secrets), _number(error)
    if number in LOGIN_NUMBERS or LOGIN.search(said):
        return SourceError(
            f"the database refused the login: {said}",
            slug="source-login",
            hint="check user, password and database of the source's url",
        )
    return SourceError(
        f"the database cannot be reached: {said}",
        slug="source-unreachable",
        hint="check host, port and network of the source's url",
    )


def refused_sql(error: Exception, query: Query, limit_s: float | None, secrets: Collection[str]) -> SourceError:
    """What is wrong with the SQL."""
    said, number = _said(error, secrets), _number(error)
    if number in TABLE_NUMBERS or TABLE.search(said):
        return SourceError(said, slug="source-table-missing", at=query.at(0))
    if number in DENIED_NUMBERS or DENIED.search(said):
        hint = "grant the login select on what the model reads"
        return SourceError(said, slug="source-denied", at=query.at(0), hint=hint)
    failure = broke_off(error, limit_s, secrets)
    if failure.problem.slug != "source-read":
        return failure
    return SourceError(f"the warehouse refused the SQL: {said}", slug="source-query", at=query.at(0))


def broke_off(error: Exception, limit_s: float | None, secrets: Collection[str]) -> SourceError:
    """What ended the result before its last row."""
    said, number = _said(error, secrets), _number(error)
    if number in TIMEOUT_NUMBERS or TIMEOUT.search(said):
        return timed_out(limit_s)
    if getattr(error, "connection_invalidated", False) or number in LOST_NUMBERS or LOST.search(said):
        return SourceError(
            f"the connection to the database was lost: {said}",
            slug="source-lost",
            hint="run again: what was not sent is sent then",
        )
    return SourceError(f"the warehouse broke off: {said}", slug="source-read")


def is_denied(error: Exception, said: str) -> bool:
    """Whether the login lacks a grant, or the file cannot be written to."""
    return _number(error) in DENIED_NUMBERS or DENIED.search(said) is not None or "readonly database" in said


def table_named(message: str) -> str:
    """The name of the table in a message about a missing one; empty when it cannot be told."""
    found = _TABLE_NAME.search(message)
    return found[1].strip("'\"`[].,") if found else ""


def _driver_error(error: Exception) -> Any:
    return getattr(error, "orig", None) or error


def _number(error: Exception) -> int | None:
    arguments = getattr(_driver_error(error), "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _said(error: Exception, secrets: Collection[str]) -> str:
    """The database's own sentence, without what the driver and SQLAlchemy wrote around it."""
    arguments = getattr(_driver_error(error), "args", ())
    texts = [argument for argument in arguments if isinstance(argument, str)]
    return without_secrets(first_line(texts[-1] if texts else str(_driver_error(error))), secrets)[:500].rstrip(". ")
