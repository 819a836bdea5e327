"""What each command imports. Names, not seconds: a clock says something else on every machine.

`connector --help` is there in a quarter of a second and `connector check` in one as long as these hold: importing
SQLAlchemy takes 0.75 s here, Snowflake's driver 2.1 s, sqlglot 0.4 s.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from connector.cli.group import COMMANDS

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys
from connector.cli import main
code = main(sys.argv[1:])
sys.stderr.write(f"\\nloaded:{code}:{' '.join(sys.modules)}")
"""
DRIVERS = {"adbc_driver_postgresql", "psycopg", "pymysql", "snowflake"}
SERVERS = {"jinja2", "starlette", "uvicorn"}
TOOLS = {"duckdb", "httpx", "pyarrow", "pydantic", "rich", "ruamel", "sqlalchemy", "sqlglot", "tenacity"}
OWN = {"click", "connector"}


def loaded(*line: str) -> tuple[int, set[str]]:
    """The exit code of a command line, and every package that its process has imported."""
    # Coverage would be one of them, and imports more of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "COVERAGE"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *line], capture_output=True, text=True, check=True, env=environment
    )
    code, modules = done.stderr.rpartition("loaded:")[2].split(":", 1)
    return int(code), {name.partition(".")[0] for name in modules.split()}


@pytest.mark.parametrize("line", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_shown_without_importing_what_the_command_will_need(line: list[str]) -> None:
    code, modules = loaded(*line)

    assert code == 0
    assert modules & (DRIVERS | SERVERS | TOOLS) == set()
    foreign = {name for name in modules if not name.startswith("_")} - set(sys.stdlib_module_names) - OWN
    assert foreign <= {"coverage", "site", "sitecustomize", "usercustomize"} | _from_site()


def test_check_imports_no_server_and_no_driver_of_a_warehouse_that_the_project_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "connector.yml").write_text("sources: {}\ndestinations: {}\n")
    code, modules = loaded("check", "--project", str(tmp_path))

    assert code == 0
    assert modules & (DRIVERS | SERVERS) == set()


def test_check_opens_no_history(tmp_path: Path) -> None:
    code, _ = loaded("init", str(tmp_path / "p"))
    assert code == 0

    code, modules = loaded("check", "--project", str(tmp_path / "p"))

    assert code == 0
    assert modules & {"httpx", "sqlalchemy", "tenacity"} == set()


def test_schema_imports_nothing_that_a_run_needs() -> None:
    code, modules = loaded("schema")

    assert code == 0
    assert modules & (DRIVERS | SERVERS | {"sqlalchemy", "tenacity"}) == set()


def _from_site() -> set[str]:
    """What the interpreter of this environment imports before any program does (editable installs, for one)."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.stdout.write(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stdout.split()}
