from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from datetime import time as clock
from decimal import Decimal
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pytest

pytest.importorskip("snowflake.connector", reason="the extra `snowflake` is not installed")
pytest.importorskip("fakesnow", reason="fakesnow is not installed")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError
from snowflake.connector.constants import FIELD_ID_TO_NAME

from connector.errors import SourceError
from connector.ports import Query, Source
from connector.systems import SOURCES
from connector.systems.warehouse import snowflake_errors
from connector.systems.warehouse.snowflake import Settings, Snowflake
from connector.systems.warehouse.snowflake_types import TYPES, folded, type_of
from tests.systems.warehouse.contract import RemoteContract, everything_about, read
from tests.systems.warehouse.snowflake_server import PASSWORD, SnowflakeServer
from tests.systems.warehouse.wire import Wire, wire_to

if TYPE_CHECKING:
    from collections.abc import Iterator

# DuckDB under fakesnow's hood.
pytestmark = pytest.mark.filterwarnings("ignore:Arrow output on a DB-API result")


def source_of(server: SnowflakeServer, root: Path = Path(), **settings: Any) -> Snowflake:
    """The source for the login with a password, or with what `settings` say."""
    given = {name: value for name, value in {**server.settings, **settings}.items() if value is not None}
    return Snowflake(Settings.model_validate(given), root, pauses=(0.0, 0.0), backoff=lambda: repeat(0.0))


@pytest.fixture
def source(snowflake_server: SnowflakeServer) -> Snowflake:
    return source_of(snowflake_server)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """The driver logs each try to fetch a lost part."""
    caplog.set_level(logging.CRITICAL, logger="snowflake.connector")


@pytest.fixture
def wire(snowflake_server: SnowflakeServer) -> Iterator[Wire]:
    with wire_to(snowflake_server.port) as wire:
        yield wire


class TestSnowflake(RemoteContract):
    """The contract, with the real driver over HTTP."""

    secret = "geheim"
    series = "select n, n || ' ' || repeat(md5(n::varchar), 5) as text from numbers where n < {rows}"
    one_row = """
        select 'Grüße, 世界 🌍' as text, null as nothing, 7 as small, 1.5::float as float,
            12.30::number(9, 2) as amount, 9007199254740993 as exact, true as flag,
            '2026-02-28'::date as day, null::timestamp_tz as never,
            '2026-02-28 12:30:00.123456'::timestamp_ntz as naive, '1600-01-01 00:00:00.5'::timestamp_ntz as old,
            '2026-02-28 12:30:00 +02:00'::timestamp_tz as zoned, parse_json('["a", null]') as list,
            object_construct('k', 1) as object, to_binary('78', 'hex') as bytes, '12:30:00'::time as clock,
            5 as "Mixed Case" -- a comment at the end"""
    values: ClassVar[dict[str, object]] = {
        "text": "Grüße, 世界 🌍",
        "nothing": None,
        "small": 7,
        "float": 1.5,
        "amount": Decimal("12.30"),
        "exact": 9007199254740993,
        "flag": True,
        "day": date(2026, 2, 28),
        "never": None,
        "naive": datetime(2026, 2, 28, 12, 30, 0, 123456),  # noqa: DTZ001 - naive on purpose
        "old": datetime(1600, 1, 1, 0, 0, 0, 500000),  # noqa: DTZ001
        "zoned": datetime(2026, 2, 28, 10, 30, tzinfo=UTC),
        "list": '["a",null]',
        "object": '{"k":1}',
        "bytes": b"x",
        "clock": clock(12, 30),
        "Mixed Case": 5,
    }
    same_name = "select 1 as plan, 'x' as plan"
    breaks_midway = "select n, repeat('x', 500) as text from numbers where n < 500000 /* the part at 400000 is lost */"
    endless = "select count(*) as n from numbers a cross join numbers b where (a.n * b.n) % 7 = 3"
    missing_table = "select * from marts.acounts"

    @pytest.fixture
    def source_behind(self, snowflake_server: SnowflakeServer, wire: Wire) -> Snowflake:
        return source_of(snowflake_server, port=wire.port, timeouts={"connect_seconds": 1})

    @pytest.fixture
    def stranger(self, snowflake_server: SnowflakeServer) -> Snowflake:
        return source_of(snowflake_server, password="wrong-geheim")

    @pytest.fixture
    def hasty(self, snowflake_server: SnowflakeServer) -> Snowflake:
        return source_of(snowflake_server, timeouts={"query_seconds": 1})

    @pytest.fixture
    def source(self, snowflake_server: SnowflakeServer) -> Snowflake:
        return source_of(snowflake_server)

    def opened_by(self, source: Source) -> str:
        """Python code that opens the same source."""
        assert isinstance(source, Snowflake)
        port = source._settings.port  # noqa: SLF001 - only a test opens a source twice
        given = {**SnowflakeServer(port or 0).settings}
        return f"""
from connector.systems.warehouse.snowflake import Settings, Snowflake
source = Snowflake(Settings.model_validate({given!r}), Path())
"""


# --- types -----------------------------------------------------------------------------------------------------------


def test_every_type_that_the_driver_knows_is_in_the_table() -> None:
    assert {name for kind in TYPES for name in kind.names} == set(FIELD_ID_TO_NAME.values())


@pytest.mark.parametrize(
    ("precision", "scale", "arrow"),
    [
        (9, 0, pa.int64()),
        (18, 0, pa.int64()),
        (19, 0, pa.decimal128(19, 0)),
        (38, 0, pa.decimal128(38, 0)),
        (9, 2, pa.decimal128(9, 2)),
        (38, 37, pa.decimal128(38, 37)),
        (None, None, pa.decimal128(38, 0)),
    ],
)
def test_a_number_keeps_its_digits(precision: int | None, scale: int | None, arrow: pa.DataType) -> None:
    assert type_of("FIXED", "n", precision, scale) == arrow


@pytest.mark.parametrize("name", ["VECTOR", "INTERVAL_DAY_TIME", "SOMETHING_NEW", ""])
def test_a_type_that_cannot_be_read_is_an_error_with_the_way_out(name: str) -> None:
    with pytest.raises(SourceError, match="column 'v' is of Snowflake's type") as caught:
        type_of(name, "v", None, None)

    assert caught.value.problem.slug == "source-type"


def test_names_are_as_they_were_written_without_quotes() -> None:
    assert folded(["ACCOUNT_ID", "Mixed", "with space", "N$1", "ÜBER"]) == [
        "account_id",
        "Mixed",
        "with space",
        "n$1",
        "über",
    ]


# --- what a session is -----------------------------------------------------------------------------------------------


def test_a_session_carries_its_tag_its_limits_and_where_it_works(snowflake_server: SnowflakeServer) -> None:
    source = source_of(snowflake_server, role="reader", warehouse="small", timeouts={"query_seconds": 7})
    with source.read(Query("select 1 as n", tag="connector:accounts:20260101T000000-abc")) as reader:
        reader.read_all()
    session = snowflake_server.logins[-1]

    assert session.user == "READER"
    assert session.place == {
        "databaseName": "warehouse",
        "schemaName": "marts",
        "warehouse": "small",
        "roleName": "reader",
    }
    assert (
        session.parameters.items()
        >= {
            "QUERY_TAG": "connector:accounts:20260101T000000-abc",
            "TIMEZONE": "UTC",
            "JSON_INDENT": 0,
            "STATEMENT_TIMEOUT_IN_SECONDS": 7,
            "ABORT_DETACHED_QUERY": True,
        }.items()
    )


def test_the_limit_can_be_left_to_the_warehouse(snowflake_server: SnowflakeServer) -> None:
    source_of(snowflake_server, timeouts={"query_seconds": None}).check()

    assert "STATEMENT_TIMEOUT_IN_SECONDS" not in snowflake_server.logins[-1].parameters


def test_the_columns_are_asked_for_without_running_the_query(
    snowflake_server: SnowflakeServer, source: Snowflake
) -> None:
    source.columns(Query("select n from numbers", tag="only described"))

    assert [(sql, only) for tag, sql, only in snowflake_server.asked if tag == "only described"] == [
        ("select n from numbers", True)
    ]


def test_no_session_stays_open(snowflake_server: SnowflakeServer, source: Snowflake) -> None:
    before = dict(snowflake_server.sessions)
    source.check()
    source.columns(Query("select 1 as n"))
    with source.read(Query("select n from numbers")) as reader:
        reader.read_next_batch()
    source.close()

    assert snowflake_server.sessions == before


# --- key pairs -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey, passphrase: str | None = None) -> str:
    algorithm: Any = serialization.NoEncryption()
    if passphrase is not None:
        algorithm = serialization.BestAvailableEncryption(passphrase.encode())
    pkcs8 = serialization.PrivateFormat.PKCS8
    return str(key.private_bytes(serialization.Encoding.PEM, pkcs8, algorithm).decode())


def public(key: rsa.RSAPrivateKey) -> bytes:
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_key().public_bytes(serialization.Encoding.PEM, info))


@pytest.mark.parametrize("passphrase", [None, "pass-geheim"])
@pytest.mark.parametrize("way", ["path", "text", "one line"])
def test_a_key_pair_logs_in(
    snowflake_server: SnowflakeServer, tmp_path: Path, key: rsa.RSAPrivateKey, way: str, passphrase: str | None
) -> None:
    snowflake_server.public_keys["ROBOT"] = public(key)
    text = pem(key, passphrase)
    (tmp_path / "key.p8").write_text(text)
    given = {
        "path": {"private_key_path": "key.p8"},
        "text": {"private_key": text},
        "one line": {"private_key": text.replace("\n", "\\n")},
    }[way]
    source = source_of(
        snowflake_server, tmp_path, user="robot", password=None, private_key_passphrase=passphrase, **given
    )
    source.check()

    assert snowflake_server.logins[-1].user == "ROBOT"


def test_a_key_that_the_user_does_not_have_is_refused(
    snowflake_server: SnowflakeServer, key: rsa.RSAPrivateKey
) -> None:
    snowflake_server.public_keys.pop("ROBOT", None)
    source = source_of(snowflake_server, user="robot", password=None, private_key=pem(key))
    with pytest.raises(SourceError, match="Snowflake refused the login: JWT token is invalid") as caught:
        source.check()

    assert caught.value.problem.slug == "source-login"
    assert "docs/warehouses/snowflake.md" in str(caught.value.problem.hint)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"private_key_path": "nowhere.p8"}, "the private key .*nowhere.p8 cannot be read: No such file"),
        ({"private_key": "not a key: geheim"}, "the private key cannot be read"),
        ({"private_key": "ENCRYPTED"}, "the private key is encrypted: set private_key_passphrase"),
        ({"private_key": "ENCRYPTED", "private_key_passphrase": "wrong-geheim"}, "cannot be read: is the passphrase"),
        ({"private_key": "PLAIN", "private_key_passphrase": "wrong-geheim"}, "is not encrypted: no passphrase"),
    ],
)
def test_a_key_that_cannot_be_used_says_why_without_showing_it(
    snowflake_server: SnowflakeServer, tmp_path: Path, key: rsa.RSAPrivateKey, settings: dict[str, str], message: str
) -> None:
    texts = {"ENCRYPTED": pem(key, "pass-geheim"), "PLAIN": pem(key)}
    given = {name: texts.get(value, value) for name, value in settings.items()}
    with pytest.raises(SourceError, match=message) as caught:
        source_of(snowflake_server, tmp_path, password=None, **given).check()

    assert caught.value.problem.slug == "source-settings"
    assert "geheim" not in everything_about(caught.value)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "slug", "at", "message"),
    [
        (
            "select *\nfrom acounts",
            "source-table-missing",
            "models/m.sql:6:6",
            "Object 'WAREHOUSE.MARTS.ACOUNTS' does not exist or not authorized",
        ),
        (
            "select 'ü' as u,\n  arrr from accounts",
            "source-query",
            "models/m.sql:6:3",
            "the warehouse refused the SQL: invalid identifier 'ARRR'",
        ),
        ("selec 1", "source-query", "models/m.sql:5:1", "syntax error line 1 at position 0 unexpected 'selec'"),
    ],
)
def test_wrong_sql_says_what_and_where(source: Snowflake, sql: str, slug: str, at: str, message: str) -> None:
    query = Query(sql, file="models/m.sql", first_line=5)
    with pytest.raises(SourceError) as columns:
        source.columns(query)
    with pytest.raises(SourceError) as rows, source.read(query):
        pass

    assert columns.value.problem == rows.value.problem
    assert (columns.value.problem.slug, columns.value.problem.at) == (slug, at)
    assert message in columns.value.problem.message


def test_a_value_that_cannot_be_cast_is_named(source: Snowflake) -> None:
    with pytest.raises(SourceError, match=r"the warehouse broke off: .*'acct-0'") as caught:
        read(source, "select account_id::int as n from accounts")

    assert caught.value.problem.slug == "source-read"


def test_the_signed_address_of_a_lost_part_is_not_shown(source: Snowflake) -> None:
    sql = "select n from numbers where n < 100000 /* the part at 40000 is lost */"
    with pytest.raises(SourceError) as caught, source.read(Query(sql)) as reader:
        reader.read_all()

    assert "geheime-unterschrift" not in everything_about(caught.value)
    # Without a handler of somebody's, Python would print the driver's warnings, which hold such addresses.
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("snowflake").handlers)


class DriverError(Exception):
    """An error as the driver raises it."""

    def __init__(self, errno: int, msg: str) -> None:
        super().__init__(msg)
        self.errno, self.msg = errno, msg


@pytest.mark.parametrize(
    ("errno", "said", "slug", "message"),
    [
        (3001, "003001 (42501): SQL access control error:\nInsufficient privileges", "source-denied", "access control"),
        (606, "000606 (57P03): No active warehouse selected in the current session.", "source-settings", "No active w"),
        (
            90105,
            "Cannot perform SELECT. This session does not have a current database.",
            "source-settings",
            "current d",
        ),
        (2140, "SQL compilation error:\nUnknown function NOPE", "source-query", "refused the SQL: Unknown function"),
        (
            630,
            "Statement reached its statement or warehouse timeout of 7 second(s)",
            "source-timeout",
            "longer than 7 s",
        ),
        (250003, "Failed to execute request: timed out", "source-lost", "the connection to Snowflake was lost"),
        (290503, "HTTP 503 https://h/parts?X-Amz-Signature=abc", "source-lost", "HTTP 503 https://h/parts"),
        (290403, "HTTP 403 https://h/parts?X-Amz-Signature=abc", "source-read", "HTTP 403 https://h/parts"),
        (100038, "Numeric value 'geheim' is not recognized", "source-read", "Numeric value '***' is not recognized"),
    ],
)
def test_the_numbers_of_snowflake_mean(errno: int, said: str, slug: str, message: str) -> None:
    problem = snowflake_errors.refused_sql(DriverError(errno, said), Query("select 1"), 7, ("geheim",)).problem

    assert problem.slug == slug
    assert message in problem.message
    assert "Signature" not in problem.message


def test_a_place_outside_of_the_sql_is_no_place() -> None:
    error = DriverError(904, "SQL compilation error: error line 9 at position 3\ninvalid identifier 'X'")

    assert snowflake_errors.refused_sql(error, Query("select 1"), None, ()).problem.at is None


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "needs exactly one of private_key_path, private_key, password; got none"),
        ({"password": "p-geheim", "private_key_path": "k"}, "got private_key_path, password"),
        ({"password": "p-geheim", "shema": "x"}, "Extra inputs"),
        ({"password": "p-geheim", "port": 0}, "greater than or equal to 1"),
    ],
)
def test_wrong_settings_are_refused_without_their_secrets(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SOURCES["snowflake"].settings().model_validate({"type": "snowflake", "account": "a", "user": "u", **wrong})

    told = str([(error["loc"], error["msg"]) for error in caught.value.errors()])
    assert message in told
    assert "geheim" not in told


def test_the_registry_opens_it(snowflake_server: SnowflakeServer) -> None:
    system = SOURCES["snowflake"]
    source = system.open(system.settings().model_validate(snowflake_server.settings), Path())
    source.check()
    source.close()

    assert snowflake_server.passwords == {"READER": PASSWORD}
