"""The checks, as sessions: `python3 dev.py nox -l` lists them, `python3 dev.py nox -s types` runs one.

`lint` and `types` use the environment that dev.py made; the others make their own, from the same lock files.

`tests` runs on every supported Python that is found and skips the others. With pyenv, name all of them first:
PYENV_VERSION=3.11.7:3.12.1:3.13.0 python3 dev.py nox -s tests
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2026.4"
nox.options.sessions = ["lint", "types", "tests", "package"]
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ["3.11", "3.12", "3.13"]
# The one tool outside the lock, since it writes the lock.
UV = "uv==0.13.9"
# Who stands beside the connector in the benchmark, as measured in docs/performance.md.
BENCH_PEERS = {
    "dlt": ["dlt==1.31.0", "duckdb==2.0.0", "pyarrow", "requests"],
    "orjson": ["orjson", "httpx", "duckdb==2.0.0", "pyarrow"],
}
# Orchestrators, with the clients that others wrote for them, as the tests of tests/orchestrators take them.
ORCHESTRATORS = {
    "airflow": ["apache-airflow==3.3.2", "airflow-provider-hightouch==5.0.0"],
    "dagster": ["dagster-hightouch==0.29.27"],
    # This Prefect calls FastAPI in a way that later ones do not take any more.
    "prefect": ["prefect==3.8.8", "fastapi==0.139.0"],
}
ORCHESTRATOR_TOOLS = ["hypothesis>=6.140", "pytest>=9", "pytest-socket>=0.7", "pytest-timeout>=2.4"]
# What the container image has beside the connector's own needs.
IMAGE_EXTRAS = ("alerts", "postgres", "snowflake", "telemetry")
# Rounds of all end-to-end tests in which every value of every switch has its turn.
SWITCH_ROUNDS = 18
# What a wheel must carry besides the modules.
DATA = (
    "connector/py.typed",
    "connector/sample_project/connector.yml",
    "connector/sample_project/sandbox.yml",
    "connector/sample_project/models/",
    "connector/sample_project/sync_configs/",
    "connector/sandbox/templates/",
    "connector/serve/assets/app.js",
    "connector/serve/assets/vendor/",
    "connector/serve/templates/",
)


@nox.session(python=False)
def lint(session: nox.Session) -> None:
    """Format and lint; `-- --fix` mends what can be mended."""
    fix = "--fix" in session.posargs
    session.run(sys.executable, "-m", "ruff", "format", *([] if fix else ["--check"]))
    session.run(sys.executable, "-m", "ruff", "check", *(["--fix"] if fix else []))


@nox.session(python=False)
def types(session: nox.Session) -> None:
    """Types, strictly, of the package, its tests and the scripts."""
    session.run(sys.executable, "-m", "mypy", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests on each supported Python; arguments after `--` go to pytest."""
    _install_locked(session, "dev.lock")
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")
    session.run("pytest", *(session.posargs or ["-n", "auto"]))


@nox.session(python=False)
def sample(session: nox.Session) -> None:
    """sandbox.yml at the root, written anew after a change of connector/sample/data.py."""
    program = (
        "from connector.sample.data import sandbox_yaml as y; open('sandbox.yml', 'w', encoding='utf-8').write(y())"
    )
    session.run(sys.executable, "-c", program)


@nox.session(python=False)
def build(session: nox.Session) -> None:
    """The wheel and the source archive, in dist/."""
    session.run(sys.executable, "-m", "hatchling", "build", "-d", "dist", env={"SOURCE_DATE_EPOCH": "1577836800"})


@nox.session
def package(session: nox.Session) -> None:
    """The wheel, installed where nothing else is: it holds its data files and its command starts."""
    folder = Path(session.create_tmp())
    for leftover in folder.iterdir():
        shutil.rmtree(leftover)
    session.run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist"), external=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    missing = [data for data in DATA if not any(name.startswith(data) for name in names)]
    if missing:
        session.error(f"{wheel.name} lacks {', '.join(missing)}")

    _install_locked(session, "run.lock")
    session.install("--no-deps", "--force-reinstall", str(wheel))
    session.chdir(folder)
    session.run("connector", "--version")
    session.run("connector", "schema", silent=True)
    session.run("connector", "init", "project", silent=True)
    session.run("connector", "check", "--project", "project")


@nox.session
def image(session: nox.Session) -> None:
    """The build stage of the Dockerfile, carried out in a folder: its packages, its wheel, and a server that starts."""
    folder = Path(session.create_tmp()) / "image"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "tests.ops.dockerfile", str(folder))


@nox.session
def bench(session: nox.Session) -> None:
    """The connector beside other ways to do the same (docs/performance.md); arguments after `--` go to bench/run.py.

    Each peer has an environment of its own; one that cannot be installed is left out, and the report says so.
    """
    _install_locked(session, "run.lock")
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")
    arguments = list(session.posargs)
    for need, packages in BENCH_PEERS.items():
        folder = Path(session.create_tmp()) / need
        python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        if not python.exists():
            session.run("python", "-m", "venv", str(folder))
        # Where it fails, the contender that needs it says so and is left out.
        session.run(str(python), "-m", "pip", "install", "--quiet", *packages, external=True, success_codes=[0, 1])
        arguments += ["--python", f"{need}={python}"]
    session.run("python", "bench/run.py", *arguments)


@nox.session
def scale(session: nox.Session) -> None:
    """What a row costs at each size, and the plot of it; arguments after `--` go to bench/scale.py."""
    _install_locked(session, "run.lock")
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")
    session.install("matplotlib>=3.10")
    session.run("python", "bench/scale.py", *session.posargs)


@nox.session
def lock(session: nox.Session) -> None:
    """New lock files from pyproject.toml; `-- --upgrade` takes the newest versions.

    Universal: one file for 3.11 to 3.13 on Linux, macOS and Windows. run.lock is dev.lock without the tools for
    development, so that an environment made for `demo` grows into one for `test`.
    """
    session.install(UV)
    line = ["uv", "pip", "compile", "--no-config", "--quiet", "--universal", "--python-version", PYTHONS[0]]
    line += ["--generate-hashes", "--no-annotate", "--default-index", "https://pypi.org/simple", "--no-emit-index-url"]
    line += ["--custom-compile-command", "python3 dev.py nox -s lock", "pyproject.toml"]
    dev, run, image = (f"requirements/{name}.lock" for name in ("dev", "run", "image"))
    session.run(*line, "--group", "dev", "--output-file", dev, *session.posargs)
    session.run(*line, "--group", "build", "--constraints", dev, "--output-file", run, *session.posargs)
    extras = [word for extra in IMAGE_EXTRAS for word in ("--extra", extra)]
    session.run(*line, *extras, "--group", "build", "--constraints", dev, "--output-file", image, *session.posargs)
    for name, packages in ORCHESTRATORS.items():
        wanted = Path(session.create_tmp()) / f"{name}.in"
        wanted.write_text("\n".join([*packages, *ORCHESTRATOR_TOOLS]) + "\n", encoding="utf-8")
        output = f"requirements/{name}.lock"
        session.run(*line, str(wanted), "--group", "build", "--output-file", output, *session.posargs)


@nox.session
def snowflake(session: nox.Session) -> None:
    """The Snowflake source with the newest driver below 5, which the lock may not have yet."""
    _install_locked(session, "dev.lock")
    # fakesnow cannot be imported beside the driver's version 5.
    session.install("--upgrade", "fakesnow[server]", "snowflake-connector-python>=4.7,<5")
    _test_warehouse(session, "snowflake", needs="snowflake_server")


@nox.session
def mysql(session: nox.Session) -> None:
    """The SQLAlchemy source on a MariaDB that the tests start; needs `apt install mariadb-server`."""
    places = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"
    if shutil.which("mariadbd", path=places) is None:
        session.error("mariadbd is not installed: apt install mariadb-server")
    _install_locked(session, "dev.lock")
    session.install("pymysql")
    _test_warehouse(session, "mysql", needs="mariadb_server")


@nox.session
def browser(session: nox.Session) -> None:
    """The web debugger in a real Chromium; pictures of every page come into artifacts/browser/.

    A Chromium that is missing is installed with apt, where this may be done. A test that was skipped is an error.
    """
    if shutil.which("chromium") is None:
        session.run("apt-get", "update", "--quiet", external=True)
        session.run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium", external=True)
    _install_locked(session, "dev.lock")
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")
    report = Path(session.create_tmp()) / "browser.xml"
    session.run("pytest", "tests/browser", f"--junitxml={report}", *session.posargs)
    found = re.search(r'skipped="(\d+)" tests="(\d+)"', report.read_text(encoding="utf-8"))
    if found is None or int(found[1]) or not int(found[2]):
        session.error(f"not every test of the browser was run: {found and found[0]}")


@nox.session
def airflow(session: nox.Session) -> None:
    """A real Airflow runs DAGs against the connector: with its provider for Hightouch, and with our operator."""
    _test_orchestrator(session, "airflow")


@nox.session
def dagster(session: nox.Session) -> None:
    """A real Dagster runs jobs against the connector: with its Hightouch library, and with our assets."""
    _test_orchestrator(session, "dagster")


@nox.session
def prefect(session: nox.Session) -> None:
    """A real Prefect runs a flow on the Python API."""
    _test_orchestrator(session, "prefect")


def _test_orchestrator(session: nox.Session, name: str) -> None:
    """Nothing, after the tests with one engine; that it cannot be imported is an error here, and no reason to skip."""
    _install_locked(session, f"{name}.lock")
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")
    own = str(Path(session.create_tmp()).resolve())  # and not the home that the user has
    session.run("python", "-c", f"import {name}", silent=True, env={f"{name.upper()}_HOME": own})
    session.run("pytest", f"tests/orchestrators/test_{name}.py", *session.posargs)


@nox.session
@nox.parametrize(
    ("warehouse", "planner"),
    [
        *(("duckdb", "warehouse"), ("postgres", "local"), ("postgres", "warehouse")),
        *(("snowflake", "local"), ("snowflake", "warehouse"), ("sqlite", "local")),
    ],
)
def e2e(session: nox.Session, warehouse: str, planner: str) -> None:
    """Every test of whole runs on another warehouse, or with its planner; arguments after `--` go to pytest.

    `nox -s "e2e(warehouse='postgres', planner='local')" -- -m "not slow"` is one of them, in minutes.
    """
    _install_locked(session, "dev.lock")
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")
    chosen = {"CONNECTOR_TEST_WAREHOUSE": warehouse, "CONNECTOR_TEST_PLANNER": planner}
    quiet = ["-W", "ignore:Arrow output on a DB-API result"]  # DuckDB under fakesnow's hood
    session.run("pytest", "tests/e2e", *quiet, *(session.posargs or ["-n", "auto"]), env=chosen)


@nox.session
def switches(session: nox.Session) -> None:
    """Whole runs under every guess of how Pendo behaves; `-- NAME=VALUE,NAME=VALUE ...` takes only these rounds.

    Each value has one round of all end-to-end tests, with others that concern other parts of the API, so that none
    hides another: an hour or so for all of them.
    """
    _install_locked(session, "dev.lock")
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")
    program = (
        "from connector.sandbox.switches import SWITCHES\n"
        "print(*(f'{switch.name}={value}' for switch in SWITCHES for value in switch.values[1:]))"
    )
    # The list goes by parts of the API: what stands this far apart concerns different ones.
    every = str(session.run("python", "-c", program, silent=True)).split()
    rounds = [",".join(every[at::SWITCH_ROUNDS]) for at in range(SWITCH_ROUNDS)]
    for chosen in session.posargs or rounds:
        line = ["pytest", "-n", "2", "-m", "not slow", "tests/e2e", "--ignore=tests/e2e/test_kill.py"]
        session.run(*line, env={"CONNECTOR_TEST_SWITCHES": chosen})


def _test_warehouse(session: nox.Session, name: str, *, needs: str) -> None:
    """Nothing, after the tests of one warehouse; a missing package is an error here, and no reason to skip them."""
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")
    session.run("python", "-c", f"import tests.systems.warehouse.{needs}")
    session.run("pytest", f"tests/systems/warehouse/test_{name}.py", *session.posargs)


def _install_locked(session: nox.Session, name: str) -> None:
    session.install("--require-hashes", "--requirement", f"requirements/{name}")
