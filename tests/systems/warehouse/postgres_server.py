"""A real PostgreSQL for the tests, from the operating system's packages."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.systems.warehouse.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = ("listen_addresses=127.0.0.1", "fsync=off", "synchronous_commit=off", "full_page_writes=off", "ssl=off")


@dataclass(frozen=True)
class Server:
    """A running server. Logging in over TCP takes a password, except for `postgres`."""

    port: int

    def url(self, user: str = "postgres", password: str = "", port: int | None = None) -> str:
        """The address for this user."""
        login = f"{user}:{password}" if password else user
        return f"postgresql://{login}@127.0.0.1:{port or self.port}/postgres"

    def run(self, *statements: str) -> None:
        """Nothing, after running these statements as the superuser."""
        with psycopg.connect(self.url(), autocommit=True) as con:
            for statement in statements:
                con.execute(statement)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query, as the superuser."""
        with psycopg.connect(self.url()) as con:
            return list(con.execute(sql).fetchall())


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return Path(found).parent if found else next((each for each in folders if (each / "initdb").exists()), None)


@contextmanager
def running_postgres() -> Iterator[Server]:
    """A new, empty server, until the end of the block. Skips the test where PostgreSQL is not installed."""
    bin_ = programs()
    if bin_ is None:
        pytest.skip("PostgreSQL's server is not installed (initdb, postgres): apt install postgresql")
    as_user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="connector-pg-", dir="/tmp"))
    if as_user:
        os.chown(folder, as_user["user"], as_user["group"])
    data, port = folder / "data", free_port()
    initdb: list[str | Path] = [
        bin_ / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "-A",
        "scram-sha-256",
        "--no-sync",
        "-E",
        "UTF8",
    ]
    (folder / "password").write_text("unused")
    with (folder / "log").open("wb") as log:
        subprocess.run(
            [*initdb, "--locale=C.UTF-8", "--pwfile", folder / "password"], check=True, cwd="/", stdout=log, **as_user
        )
        (data / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256"
        )
        options = [part for setting in (*SETTINGS, f"unix_socket_directories={folder}") for part in ("-c", setting)]
        line: list[str | Path] = [bin_ / "postgres", "-D", data, "-p", str(port), *options]
        process: subprocess.Popen[Any] = subprocess.Popen(line, cwd="/", stdout=log, stderr=log, **as_user)
        try:
            server = Server(port)
            _wait_for(server, process)
            yield server
        finally:
            process.terminate()
            process.wait(20)
            shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("root cannot start PostgreSQL, and there is no user postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _wait_for(server: Server, process: subprocess.Popen[Any]) -> None:
    deadline = monotonic() + 30
    while True:
        try:
            server.ask("select 1")
        except psycopg.OperationalError:
            assert process.poll() is None, "PostgreSQL did not start"
            assert monotonic() < deadline, "PostgreSQL does not answer"
            sleep(0.05)
        else:
            return
