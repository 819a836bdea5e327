"""dev.py makes its environment by itself, reuses it, and starts afresh when it has to.

The project of these tests is tiny and needs no package, so nothing is downloaded; python -m venv and pip are real.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PYPROJECT = """
[build-system]
requires = []
build-backend = "tiny"
backend-path = ["."]
[project]
name = "tiny"
version = "1"
"""

# The build backend of the tiny project, and its only command, which says where it runs.
TINY = """
import json, os, sys, zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    files = {
        "tiny.pth": os.getcwd(),
        "tiny-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n",
        "tiny-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "tiny-1.dist-info/entry_points.txt": "[console_scripts]\\nconnector = tiny:main\\n",
    }
    files["tiny-1.dist-info/RECORD"] = "".join(f"{name},,\\n" for name in files)
    with zipfile.ZipFile(os.path.join(folder, "tiny-1-py3-none-any.whl"), "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return "tiny-1-py3-none-any.whl"
def main():
    print(json.dumps({"prefix": sys.prefix, "args": sys.argv[1:], "path": sys.path}))
    return 7
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a folder with spaces")
    (folder / "requirements").mkdir()
    for lock in ("run.lock", "dev.lock"):
        (folder / "requirements" / lock).write_text("# nothing\n")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "tiny.py").write_text(TINY)
    shutil.copy(ROOT / "dev.py", folder)
    return folder


def dev(project: Path, *args: str, python: str = sys.executable, **env: str) -> subprocess.CompletedProcess[str]:
    offline = {**os.environ, "PIP_NO_INDEX": "1", **env}
    return subprocess.run(
        [python, "dev.py", *args], cwd=project, env=offline, capture_output=True, text=True, check=False
    )


def facts(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 7, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_an_environment_is_made_once_reused_and_made_anew_when_it_has_to_be(project: Path) -> None:
    hostile = {
        "PYTHONPATH": "/nowhere/imports",
        "VIRTUAL_ENV": "/nowhere/venv",
        "PIP_USER": "1",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PIP_TARGET": "/nowhere/target",
    }
    first = dev(project, "demo", "--fast", **hostile)
    assert facts(first)["prefix"] == str(project / ".venv")
    assert facts(first)["args"] == ["demo", "--fast"]
    assert "/nowhere/imports" not in str(facts(first)["path"])
    assert "first run: making" in first.stderr
    assert "ready after" in first.stderr

    again = dev(project, "connector", "runs")
    assert facts(again)["args"] == ["runs"]
    assert again.stderr == ""

    mark = project / ".venv/dev.json"
    made = mark.stat().st_mtime_ns
    (project / "pyproject.toml").write_text(PYPROJECT + "description = 'more'\n")
    mended = dev(project, "connector")
    assert facts(mended)
    assert "making" not in mended.stderr
    assert mark.stat().st_mtime_ns > made

    mark.write_text(mark.read_text().replace('"unfinished": false', '"unfinished": true'))
    facts(afresh := dev(project, "connector"))
    assert "making .venv anew" in afresh.stderr

    (project / "requirements/run.lock").write_text("# nothing at all\n")
    facts(relocked := dev(project, "connector", python=str(project / ".venv/bin/python")))
    assert "making .venv anew" in relocked.stderr


@pytest.mark.slow
def test_an_environment_of_somebody_else_is_left_alone(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns(".venv*"))
    (folder / ".venv").mkdir()
    (folder / ".venv/mine").touch()
    done = dev(folder, "connector")

    assert facts(done)["prefix"] == str(folder / ".venv-dev")
    assert [path.name for path in (folder / ".venv").iterdir()] == ["mine"]
    assert "is not dev.py's own" in done.stderr


def test_a_failing_pip_says_what_to_do_and_the_next_run_starts_afresh(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns(".venv*"))
    (folder / "requirements/run.lock").write_text(f"nothing-like-it==1 --hash=sha256:{'0' * 64}\n")
    done = dev(folder, "connector")

    assert done.returncode == 1
    assert "pip could not install" in done.stderr
    assert "PIP_INDEX_URL" in done.stderr
    assert json.loads((folder / ".venv/dev.json").read_text())["unfinished"] is True


@pytest.mark.parametrize(("args", "code"), [([], 2), (["--help"], 0)])
def test_help_lists_the_commands(project: Path, args: list[str], code: int) -> None:
    done = dev(project, *args)

    assert done.returncode == code
    assert "python3 dev.py demo" in done.stdout


def test_an_unknown_command_names_those_that_are_known(project: Path) -> None:
    done = dev(project, "tests")

    assert done.returncode == 2
    assert "it knows: demo, connector, test, lint, types, nox" in done.stderr


def old_pythons() -> list[str]:
    found = [shutil.which(f"python3.{minor}") for minor in (8, 9, 10)]
    pyenv = sorted(Path(os.environ.get("PYENV_ROOT", "/nowhere")).glob("versions/3.[6-9].*/bin/python3"))
    return [path for path in [*found, *map(str, pyenv)] if path and not path.endswith("shims/" + Path(path).name)]


def test_an_old_python_is_told_what_is_needed(project: Path) -> None:
    if not old_pythons():
        pytest.skip("no Python older than 3.11 is here")
    for python in old_pythons():
        done = dev(project, "test", python=python)

        assert done.returncode == 1
        assert "needs Python 3.11 or newer" in done.stderr


def test_a_python_without_ensurepip_names_the_package_to_install(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns(".venv*"))
    program = (
        "import sys; sys.modules['ensurepip'] = None; sys.argv = ['dev.py', 'test']\n"
        "sys.path.insert(0, '.'); import dev; sys.exit(dev.main(['test']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "sudo apt install python3-venv" in done.stderr
    assert not (folder / ".venv").exists()


def test_the_locks_name_pypi_packages_with_hashes_and_nothing_else() -> None:
    run, dev_lock = (
        dict(line.split(" ")[0].split("==") for line in text.splitlines() if "==" in line.split(" ")[0])
        for text in ((ROOT / "requirements" / name).read_text() for name in ("run.lock", "dev.lock"))
    )
    text = (ROOT / "requirements/dev.lock").read_text()

    assert run.items() <= dev_lock.items(), "an environment made for demo must grow into one for test"
    assert len(run) > 20
    assert "://" not in text
    assert len(re.findall(r"==\S+.*\\\n    --hash=sha256:[0-9a-f]{64}", text)) == len(dev_lock)
