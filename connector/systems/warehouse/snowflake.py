"""Snowflake, through its own Python driver: results arrive as Arrow, part by part, and never whole.

Each query logs in for itself, so that its tag can be set for the whole session, as Snowflake's history shows it.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import pyarrow as pa
from pydantic import Field, SecretStr, model_validator

from connector.errors import SourceError
from connector.project.planner_settings import PlannedSource
from connector.systems.warehouse import snowflake_errors as errors
from connector.systems.warehouse.driver import driver
from connector.systems.warehouse.fitting import batch_of
from connector.systems.warehouse.results import PAUSES, Results
from connector.systems.warehouse.snowflake_types import folded, type_of
from connector.systems.warehouse.timeouts import Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from connector.ports import Query
    from connector.systems.warehouse.stream import Reading

EXTRA = "snowflake"
TAG_LENGTH = 2000  # https://docs.snowflake.com/en/sql-reference/parameters#query-tag
# The driver counts a running query as a request without an answer; it must not give up before the query's own limit.
GRACE_S = 60


class Settings(PlannedSource):
    """A Snowflake source."""

    type: Literal["snowflake"]
    account: str = Field(min_length=1, description="the account's identifier: ORGANIZATION-ACCOUNT")
    user: str = Field(min_length=1, description="the login's name")
    private_key_path: str | None = Field(
        None, min_length=1, description="the private key of a key pair (PEM), relative to connector.yml"
    )
    private_key: SecretStr | None = Field(
        None, description="the private key itself (PEM text), such as ${SNOWFLAKE_KEY}"
    )
    private_key_passphrase: SecretStr | None = Field(None, description="what the private key is encrypted with")
    password: SecretStr | None = Field(None, description="a password or a programmatic access token")
    role: str | None = Field(None, description="the role; by default the user's own default")
    warehouse: str | None = Field(None, description="the virtual warehouse that computes; by default the user's own")
    database: str | None = Field(None, description="where unqualified names are looked up")
    schema_: str | None = Field(None, alias="schema", description="where unqualified names are looked up")
    host: str | None = Field(
        None, description="the host, where it is not ACCOUNT.snowflakecomputing.com: a private link"
    )
    port: int | None = Field(None, ge=1, le=65_535, description="the port; 443 by default")
    protocol: Literal["https", "http"] = Field("https", description="http only for a test server on this machine")
    timeouts: Timeouts = Timeouts()

    @model_validator(mode="after")
    def _one_way_to_log_in(self) -> Self:
        ways = ("private_key_path", "private_key", "password")
        given = [name for name in ways if getattr(self, name) is not None]
        if len(given) != 1:
            msg = f"needs exactly one of {', '.join(ways)}; got {', '.join(given) or 'none'}"
            raise ValueError(msg)
        return self


def open(settings: Settings, root: Path) -> Snowflake:  # noqa: A001 - the word that the registry asks for
    """A source that has not connected yet."""
    return Snowflake(settings, root)


class Snowflake:
    """A `ports.Source` on one Snowflake account. `backoff` makes the seconds between two tries to fetch a part."""

    def __init__(
        self,
        settings: Settings,
        root: Path,
        *,
        pauses: tuple[float, ...] = PAUSES,
        backoff: Callable[[], Iterator[float]] | None = None,
    ) -> None:
        """Keep how to log in; nothing is connected to before it is needed."""
        self._settings = settings
        self._root = root
        self._backoff = backoff
        self._results = Results(self._errors, pauses)
        self._limit_s = settings.timeouts.query_seconds

    def check(self) -> None:
        """Nothing, after logging in and asking for one row."""
        with self.connection("connector:check") as con:
            try:
                con.cursor().execute("select 1").fetchall()
            except _driver().Error as error:
                raise self._broke_off(error) from error

    def columns(self, query: Query) -> pa.Schema:
        """The result's columns and types, as Snowflake describes them: no virtual warehouse is started for that."""
        return self._results.ask(lambda reading: self._describe(query, reading), self._broke_off)

    @contextmanager
    def read(self, query: Query) -> Iterator[pa.RecordBatchReader]:
        """The result, streamed. Raises SourceError: at once for wrong SQL, at the end for what broke in between."""
        with self._results.read(lambda reading: self._begin(query, reading), self._broke_off) as reader:
            yield reader

    def cancel(self) -> None:
        """Nothing, after asking Snowflake to stop every query that `read` is running. Safe from another thread."""
        self._results.cancel()

    def close(self) -> None:
        """Nothing: each query ends its own session."""

    # --- asking ------------------------------------------------------------------------------------------------------

    def _describe(self, query: Query, reading: Reading) -> pa.Schema:
        with self.connection(query.tag) as con:
            reading.go_on()
            try:
                return _schema(con.cursor().describe(query.sql))
            except _driver().Error as error:
                raise self._refused(error, query) from error

    @contextmanager
    def _begin(self, query: Query, reading: Reading) -> Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]:
        with self.connection(query.tag) as con, con.cursor() as cursor:
            reading.stops_with(lambda: self._stop(con))
            try:
                cursor.execute(query.sql)
            except _driver().Error as error:
                reading.go_on()
                raise self._refused(error, query) from error
            schema = _schema(cursor.description)
            if cursor.rowcount == 0:  # the driver cannot make a table of no rows
                yield schema, ()
                return
            tables = cursor.fetch_arrow_batches(force_microsecond_precision=True)
            try:
                yield schema, _batches(tables, schema, query.batch_rows)
            finally:
                tables.close()

    def _stop(self, con: Any) -> None:
        """Nothing, after ending what the session runs; the query has no id before its answer."""
        with suppress(_driver().Error, OSError):
            con.cursor().execute(f"select system$cancel_all_queries({int(con.session_id)})")

    def _refused(self, error: Exception, query: Query) -> SourceError:
        return errors.refused_sql(error, query, self._limit_s, self.secrets)

    def _broke_off(self, error: Exception) -> SourceError:
        return errors.broke_off(error, self._limit_s, self.secrets)

    # --- connecting --------------------------------------------------------------------------------------------------

    @contextmanager
    def connection(self, tag: str) -> Iterator[Any]:
        """A session of its own with this tag, until the end of the block. Raises SourceError."""
        connector = _driver()
        arguments = self._arguments(tag)
        try:
            con = connector.connect(**arguments)
        except connector.Error as error:
            raise errors.refused_login(error, self.secrets) from None
        try:
            yield con
        finally:
            with suppress(connector.Error, OSError):
                con.close()

    def _arguments(self, tag: str) -> dict[str, Any]:
        settings, limit = self._settings, self._limit_s
        names = ("account", "user", "role", "warehouse", "database", "host", "port", "protocol")
        given = {name: getattr(settings, name) for name in names} | {"schema": settings.schema_}
        session: dict[str, Any] = {
            "QUERY_TAG": tag[:TAG_LENGTH],
            "TIMEZONE": "UTC",
            "JSON_INDENT": 0,
            "ABORT_DETACHED_QUERY": True,  # a connector that was killed must not leave a query that costs
            "CLIENT_TELEMETRY_ENABLED": False,
        }
        if limit is not None:
            session["STATEMENT_TIMEOUT_IN_SECONDS"] = limit
        if self._backoff is not None:
            given["backoff_policy"] = self._backoff
        return {
            **{name: value for name, value in given.items() if value is not None},
            **self._login(),
            "session_parameters": session,
            "login_timeout": settings.timeouts.connect_seconds,
            "network_timeout": None if limit is None else limit + GRACE_S,
            "arrow_number_to_decimal": True,
            "log_imported_packages_in_telemetry": False,
            # Otherwise each process asks the metadata services of three clouds who they are.
            "platform_detection_timeout_seconds": 0.0,
        }

    def _login(self) -> dict[str, Any]:
        if self._settings.password is not None:
            return {"password": self._settings.password.get_secret_value()}
        return {"private_key": _private_key(self._pem(), self._settings.private_key_passphrase)}

    def _pem(self) -> bytes:
        if self._settings.private_key is not None:
            # One line in a .env file has \n where the key has ends of lines.
            return self._settings.private_key.get_secret_value().replace("\\n", "\n").encode()
        path = self._root / Path(str(self._settings.private_key_path)).expanduser()
        try:
            return path.read_bytes()
        except OSError as error:
            raise SourceError(
                f"the private key {path} cannot be read: {error.strerror}",
                slug="source-settings",
                hint="private_key_path is relative to connector.yml",
            ) from None

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message may hold."""
        own = (self._settings.password, self._settings.private_key_passphrase)
        return tuple(secret.get_secret_value() for secret in own if secret is not None)

    def _errors(self) -> tuple[type[Exception], ...]:
        return (_driver().Error, OSError, pa.ArrowException)


@cache
def _driver() -> Any:
    module = driver("snowflake.connector", extra=EXTRA, package="snowflake-connector-python")
    # Its warnings hold signed addresses, and go to stderr where a program has set up no logging.
    logging.getLogger("snowflake").addHandler(logging.NullHandler())
    return module


def _private_key(pem: bytes, passphrase: SecretStr | None) -> bytes:
    """The key as the driver wants it (DER, PKCS 8). Raises SourceError without a word of it."""
    serialization = driver("cryptography.hazmat.primitives.serialization", extra=EXTRA, package="cryptography")
    secret = passphrase.get_secret_value().encode() if passphrase is not None else None
    try:
        key = serialization.load_pem_private_key(pem, secret)
    except TypeError:
        needs = "is encrypted: set private_key_passphrase" if secret is None else "is not encrypted: no passphrase"
        raise SourceError(f"the private key {needs}", slug="source-settings") from None
    except ValueError:
        raise SourceError(
            "the private key cannot be read" + ("" if secret is None else ": is the passphrase right?"),
            slug="source-settings",
            hint="it is PEM text that starts with -----BEGIN PRIVATE KEY----- or -----BEGIN ENCRYPTED PRIVATE KEY",
        ) from None
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return bytes(key.private_bytes(serialization.Encoding.DER, pkcs8, plain))


def _schema(description: Any) -> pa.Schema:
    names = driver("snowflake.connector.constants", extra=EXTRA, package="snowflake-connector-python").FIELD_ID_TO_NAME
    return pa.schema(
        [
            pa.field(name, type_of(names[column.type_code], name, column.precision, column.scale))
            for name, column in zip(folded([column.name for column in description]), description, strict=True)
        ]
    )


def _batches(tables: Iterable[Any], schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    for table in tables:
        for start in range(0, table.num_rows, batch_rows):
            yield batch_of(table.slice(start, batch_rows).columns, schema)
