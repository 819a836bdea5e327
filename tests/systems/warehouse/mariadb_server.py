"""A real MariaDB for the tests, from the operating system's packages."""

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

import pymysql
import pytest

from tests.systems.warehouse.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "r3ader:/%@!"


@dataclass(frozen=True)
class Server:
    """A running server with the database `warehouse`; root has no password."""

    port: int

    def run(self, *statements: str) -> None:
        """Nothing, after running these statements as root."""
        con = pymysql.connect(host="127.0.0.1", port=self.port, user="root", autocommit=True)
        with con, con.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin")


@contextmanager
def running_mariadb() -> Iterator[Server]:
    """A new server until the end of the block. Skips the test where MariaDB is not installed."""
    install, program = _program("mariadb-install-db"), _program("mariadbd")
    if install is None or program is None:
        pytest.skip("MariaDB's server is not installed: apt install mariadb-server")
    folder = Path(tempfile.mkdtemp(prefix="connector-mariadb-", dir="/tmp"))
    user: list[str] = []
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam("mysql").pw_uid, -1)
        user = ["--user=mysql"]
    data, port = folder / "data", free_port()
    with (folder / "log").open("wb") as log:
        make = [install, "--no-defaults", *user, f"--datadir={data}", "--auth-root-authentication-method=normal"]
        subprocess.run([*make, "--skip-test-db"], check=True, stdout=log, stderr=log)
        line = [program, "--no-defaults", *user, f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1"]
        line += [f"--socket={folder}/socket", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0"]
        process: subprocess.Popen[Any] = subprocess.Popen(line, stdout=log, stderr=log)
        try:
            server = Server(port)
            _wait_for(server, process)
            yield server
        finally:
            process.terminate()
            process.wait(30)
            shutil.rmtree(folder, ignore_errors=True)


def _wait_for(server: Server, process: subprocess.Popen[Any]) -> None:
    deadline = monotonic() + 30
    while True:
        try:
            server.run("create database if not exists warehouse character set utf8mb4")
        except pymysql.OperationalError:
            assert process.poll() is None, "MariaDB did not start"
            assert monotonic() < deadline, "MariaDB does not answer"
            sleep(0.05)
        else:
            return
