"""A Snowflake on this machine: fakesnow's engine behind a front that keeps the rules which matter to a source.

fakesnow takes every login, sends each result in one piece and stops nothing. This front checks passwords and key pairs,
sends a result in parts that have an address of their own, ends queries on request or after their limit, and can lose
a part. The real driver talks to it over HTTP.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import secrets
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import jwt
import pyarrow as pa
import pyarrow.compute as pc
import snowflake.connector.errors
import uvicorn
from cryptography.hazmat.primitives import serialization
from fakesnow.arrow import to_ipc, to_sf_schema
from fakesnow.dialect import parse_one
from fakesnow.instance import FakeSnow
from fakesnow.rowtype import describe_as_rowtype
from fakesnow.statement_type import statement_type_id
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.systems.warehouse.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

PASSWORD = "sn0w-geheim"
PART_ROWS = 20_000
CANCEL = re.compile(r"system\$cancel_all_queries\((\d+)\)", re.IGNORECASE)
TEMPORARY = re.compile(r"create temporary (table|stage) (\S+)(.*)", re.IGNORECASE | re.DOTALL)
LOST = re.compile(r"the part at (\d+) is lost", re.IGNORECASE)


@dataclass
class Session:
    """A login: what it was asked to be, its connection, and how its running query ended early."""

    number: int
    user: str
    parameters: dict[str, Any]
    place: dict[str, str | None]
    con: Any
    ended_by: str | None = None
    temporary: list[str] = field(default_factory=list)

    def named(self, sql: str) -> str:
        """The SQL with names of their own for the session's temporary tables: fakesnow shares them with everybody."""
        for table in self.temporary:
            sql = re.sub(rf"\b{re.escape(table)}\b", f"{table}_{self.number}", sql, flags=re.IGNORECASE)
        return sql


@dataclass
class Result:
    """A result that waits to be fetched."""

    table: pa.Table
    rowtype: list[Any]
    lost_from: int | None


@dataclass
class SnowflakeServer:
    """The server's state, for tests to look at and to change."""

    port: int
    engine: FakeSnow = field(default_factory=FakeSnow)
    passwords: dict[str, str] = field(default_factory=lambda: {"READER": PASSWORD})
    public_keys: dict[str, bytes] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    logins: list[Session] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    asked: list[tuple[str, str, bool]] = field(default_factory=list)  # query tag, SQL, only described

    @property
    def settings(self) -> dict[str, Any]:
        """What a source needs to log in with a password."""
        return {
            "type": "snowflake",
            "account": "org-test",
            "user": "reader",
            "password": PASSWORD,
            "host": "127.0.0.1",
            "port": self.port,
            "protocol": "http",
            "database": "warehouse",
            "schema": "marts",
        }

    def run(self, *statements: str, schema: str = "marts") -> None:
        """Nothing, after running these statements as nobody in particular."""
        con = self.engine.connect("warehouse", schema)
        for statement in statements:
            con.cursor().execute(statement)
        con.close()

    # --- login -------------------------------------------------------------------------------------------------------

    async def login(self, request: Request) -> JSONResponse:
        """A session, or the refusal as Snowflake words it."""
        data = (await _body(request))["data"]
        user = data["LOGIN_NAME"].upper()
        if data.get("AUTHENTICATOR") == "SNOWFLAKE_JWT":
            if not self._key_is_right(user, data["TOKEN"]):
                return _failure("390144", f"JWT token is invalid. [{secrets.token_hex(16)}]")
        elif self.passwords.get(user) != data.get("PASSWORD"):
            return _failure("390100", "Incorrect username or password was specified.")
        query = request.query_params
        place = {key: query.get(key) for key in ("databaseName", "schemaName", "warehouse", "roleName")}
        con = self.engine.connect(query.get("databaseName"), query.get("schemaName"))
        session = Session(len(self.logins) + 1, user, data["SESSION_PARAMETERS"], place, con)
        token = secrets.token_urlsafe(32)
        self.sessions[token] = session
        self.logins.append(session)
        parameters = [
            {"name": "AUTOCOMMIT", "value": True},
            {"name": "TIMEZONE", "value": session.parameters.get("TIMEZONE", "America/Los_Angeles")},
        ]
        info = {"databaseName": place["databaseName"], "schemaName": place["schemaName"]}
        data = {"token": token, "masterToken": token, "sessionId": session.number, "parameters": parameters}
        return JSONResponse({"success": True, "data": {**data, "sessionInfo": info}})

    def _key_is_right(self, user: str, token: str) -> bool:
        known = self.public_keys.get(user)
        if known is None:
            return False
        key: Any = serialization.load_pem_public_key(known)
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        fingerprint = "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()
        try:
            claims = jwt.decode(token, key, algorithms=["RS256"])
        except jwt.InvalidTokenError:
            return False
        return bool(claims["iss"].endswith(f".{user}.{fingerprint}") and claims["sub"].endswith(f".{user}"))

    async def session(self, request: Request) -> JSONResponse:
        """The end of a session, when that is asked for."""
        ended = self.sessions.pop(_token(request), None) if request.query_params.get("delete") else None
        if ended is not None:
            with suppress(duckdb.TransactionException):  # none was open
                ended.con._duck_conn.rollback()  # noqa: SLF001
            for table in ended.temporary:
                ended.con.cursor().execute(f"drop table if exists {ended.named(table)}")
        return JSONResponse({"success": True, "data": None, "code": None, "message": None})

    # --- queries -----------------------------------------------------------------------------------------------------

    async def query(self, request: Request) -> JSONResponse:
        """The first part of a result with the addresses of the others, or what is wrong with the query."""
        session = self.sessions.get(_token(request))
        if session is None:
            return _failure("390104", "User must login again to access the service.")
        body = await _body(request)
        sql, only = body["sqlText"], bool(body.get("describeOnly"))
        self.asked.append((str(session.parameters.get("QUERY_TAG")), sql, only))
        cancel = CANCEL.search(sql)
        if cancel is not None:
            self._end(int(cancel[1]), "cancel")
            sql = "select 'query [] terminated.' as status"
        try:
            if only:
                return await run_in_threadpool(self._described, session, sql)
            return await run_in_threadpool(self._run, session, sql, request.headers["host"])
        except snowflake.connector.errors.Error as error:
            return _failure(*_worded(error, sql))
        except duckdb.InterruptException:
            return self._ended(session)
        except duckdb.Error as error:
            return _failure("100038", str(error).split("\n", 1)[0], "22018")
        except Exception as error:  # noqa: BLE001 - a status of 500 would make the driver ask again for an hour
            return _failure("370001", f"Internal error: {error!r}")

    def _described(self, session: Session, sql: str) -> JSONResponse:
        cursor = session.con.cursor()
        rowtype = describe_as_rowtype(cursor._describe_only(session.named(sql)))  # noqa: SLF001 - as fakesnow's own server does
        return self._answer(sql, rowtype, pa.table({}), cursor.sfqid, [])

    def _run(self, session: Session, sql: str, host: str) -> JSONResponse:
        limit_s = session.parameters.get("STATEMENT_TIMEOUT_IN_SECONDS")
        timer = threading.Timer(float(limit_s or 3600), self._end, (session.number, "limit"))
        timer.daemon = True
        timer.start()
        cursor = session.con.cursor()
        temporary = TEMPORARY.match(sql)
        if temporary is not None:
            # fakesnow copies no file into a temporary table, and its stages outlive their session.
            sql = f"create or replace {temporary[1]} {temporary[2]} {temporary[3]}"
            session.temporary += [temporary[2]] if temporary[1] == "table" else []
        try:
            cursor.execute(session.named(sql), server=True)
        finally:
            timer.cancel()
        upload = cursor._last_transformed.args.get("put_stage_data")  # noqa: SLF001 - the driver copies the file itself
        if upload is not None:
            return JSONResponse({"success": True, "data": upload})
        rowtype = describe_as_rowtype(cursor._describe_last_sql())  # noqa: SLF001
        table, name = cursor._arrow_table, secrets.token_hex(8)  # noqa: SLF001
        lost = LOST.search(sql)
        self.results[name] = Result(table, rowtype, int(lost[1]) if lost else None)
        parts = [
            {
                "url": f"http://{host}/parts/{name}/{start}?X-Amz-Signature=geheime-unterschrift",
                "rowCount": min(PART_ROWS, table.num_rows - start),
                "uncompressedSize": 1,
                "compressedSize": 1,
            }
            for start in range(PART_ROWS, table.num_rows, PART_ROWS)
        ]
        return self._answer(sql, rowtype, table, cursor.sfqid, parts)

    def _answer(
        self, sql: str, rowtype: list[Any], table: pa.Table, query: str | None, parts: list[Any]
    ) -> JSONResponse:
        first = base64.b64encode(_part(table, rowtype, 0)).decode() if table.num_columns else ""
        data = {
            "parameters": [{"name": "TIMEZONE", "value": "UTC"}],
            "rowtype": rowtype,
            "total": table.num_rows,
            "returned": table.num_rows,
            "queryId": query or secrets.token_hex(8),
            "statementTypeId": statement_type_id(parse_one(sql)),
            "queryResultFormat": "arrow",
            "rowsetBase64": first,
            "finalDatabaseName": None,
            "finalSchemaName": None,
        }
        return JSONResponse({"success": True, "data": {**data, "chunks": parts} if parts else data})

    async def part(self, request: Request) -> Response:
        """One part of a result, compressed as the cloud's storage serves it."""
        result, start = self.results[request.path_params["name"]], request.path_params["start"]
        if result.lost_from is not None and start >= result.lost_from:
            return Response("<Error><Code>AccessDenied</Code></Error>", status_code=403)
        content = await run_in_threadpool(_part, result.table, result.rowtype, start)
        return Response(gzip.compress(content, 0))

    def _end(self, number: int, why: str) -> None:
        for session in list(self.sessions.values()):
            if session.number == number:
                session.ended_by = why
                session.con._duck_conn.interrupt()  # noqa: SLF001

    def _ended(self, session: Session) -> JSONResponse:
        if session.ended_by == "limit":
            limit = session.parameters["STATEMENT_TIMEOUT_IN_SECONDS"]
            said = f"Statement reached its statement or warehouse timeout of {limit} second(s) and was canceled."
            return _failure("000630", said, "57014")
        return _failure("000604", "SQL execution canceled", "57014")


def _worded(error: Any, sql: str) -> tuple[str, str, str]:
    """Number, sentence and state as Snowflake has them; fakesnow passes on what DuckDB says."""
    said = str(error.raw_msg or error.msg)
    missing, unknown = re.search(r'Table with name "?([\w.]+)', said), re.search(r'column "(\w+)" not found', said)
    if missing:
        name = ".".join(["WAREHOUSE", *(["MARTS"] if "." not in missing[1] else []), missing[1].upper()])
        return "002003", f"SQL compilation error:\nObject '{name}' does not exist or not authorized.", "02000"
    if unknown:
        before = sql[: sql.lower().index(unknown[1].lower())]
        place = f"error line {before.count(chr(10)) + 1} at position {len(before) - before.rfind(chr(10)) - 1}"
        return "000904", f"SQL compilation error: {place}\ninvalid identifier '{unknown[1]}'", "42000"
    if error.errno == 1003:
        place = "syntax error line 1 at position 0"
        return "001003", f"SQL compilation error:\n{place} unexpected '{sql.split(maxsplit=1)[0]}'.", "42000"
    return f"{error.errno:06d}", said, error.sqlstate


def _part(table: pa.Table, rowtype: list[Any], start: int) -> bytes:
    """The rows from `start` on, as the driver expects them: times are structs of seconds and nanoseconds."""
    rows = table.slice(start, PART_ROWS)
    columns = [_column(column.combine_chunks()) for column in rows.columns]
    schema = pa.schema([field.with_type(column.type) for field, column in zip(rows.schema, columns, strict=True)])
    fields = [new.with_type(column.type) for new, column in zip(to_sf_schema(schema, rowtype), columns, strict=True)]
    return bytes(to_ipc(pa.Table.from_arrays(columns, schema=pa.schema(fields))))


def _column(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type):
        return _struct_of(column)
    if pa.types.is_time(column.type):
        return pc.multiply(column.cast(pa.int64()), 1000)
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    return column.cast(pa.int64()) if pa.types.is_uint64(column.type) else column


def _struct_of(times: pa.Array) -> pa.Array:
    zone = times.type.tz
    exact = times.cast(pa.timestamp("us", tz=zone))
    micros = pc.fill_null(exact.cast(pa.int64()), 0)
    whole = pc.fill_null(pc.floor_temporal(exact, unit="second").cast(pa.int64()), 0)
    seconds = pc.divide(whole, 1_000_000)
    rest = pc.multiply(pc.subtract(micros, pc.multiply(seconds, 1_000_000)), 1000).cast(pa.int32())
    columns, names = [seconds, rest], [("epoch", pa.int64()), ("fraction", pa.int32())]
    if zone:
        columns.append(pa.array([1440] * len(times), pa.int32()))  # minutes, 1440 for none
        names.append(("timezone", pa.int32()))
    fields = [pa.field(name, kind, nullable=False) for name, kind in names]
    return pa.StructArray.from_arrays(columns, fields=fields, mask=pc.is_null(times))


def _token(request: Request) -> str:
    return request.headers.get("Authorization", "")[17:-1]


async def _body(request: Request) -> Any:
    body = await request.body()
    return json.loads(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)


def _failure(code: str, message: str, sqlstate: str | None = None) -> JSONResponse:
    data = {"errorCode": code, "sqlState": sqlstate}
    return JSONResponse({"success": False, "code": code, "message": message, "data": data})


@contextmanager
def running_snowflake() -> Iterator[SnowflakeServer]:
    """A new, empty account whose server runs until the end of the block."""
    server = SnowflakeServer(free_port())
    done = lambda _: JSONResponse({"success": True, "data": None})  # noqa: E731 - what needs no more than this
    routes = [
        Route("/session/v1/login-request", server.login, methods=["POST"]),
        Route("/session", server.session, methods=["POST"]),
        Route("/session/heartbeat", server.session, methods=["POST"]),
        Route("/queries/v1/query-request", server.query, methods=["POST"]),
        Route("/queries/v1/abort-request", done, methods=["POST"]),
        Route("/telemetry/send", done, methods=["POST"]),
        Route("/parts/{name}/{start:int}", server.part),
    ]
    config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=server.port, log_config=None)
    web = uvicorn.Server(config)
    thread = threading.Thread(target=web.run, name="snowflake", daemon=True)
    thread.start()
    while not web.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        yield server
    finally:
        web.should_exit = True
        thread.join(10)
