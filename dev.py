"""The project's own environment, made when it is missing, and the commands that run in it.

python3 dev.py demo              the main job on sample data, on this machine alone
python3 dev.py test [ARGS]       all the tests, on all cores, well over an hour; with ARGS: pytest ARGS
python3 dev.py lint              format and lint, as CI does
python3 dev.py types             types, as CI does
python3 dev.py nox [ARGS]        any session of noxfile.py; -l lists them
python3 dev.py connector [ARGS]  the connector itself

Everything goes into .venv in this folder, from the lock files in requirements/; the system's Python is only read.
When a .venv is here that this script did not make, it is left alone and .venv-dev is used.
"""

# Only the standard library, and only syntax that Python 3.6 parses: an old Python must get as far as the message.
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

OLDEST = (3, 11)
if sys.version_info < OLDEST:
    # A name on the PATH may be a shim that leads nowhere, so each is tried.
    names = [name for name in ("python3.13", "python3.12", "python3.11", "python3.14") if shutil.which(name)]
    newer = [name for name in names if subprocess.call([name, "-c", ""], stderr=subprocess.DEVNULL) == 0]
    sys.exit(
        "dev.py needs Python 3.11 or newer; this is {} ({}).\n{}".format(
            ".".join(map(str, sys.version_info[:3])),
            sys.executable,
            f"A newer one is here: {newer[0]} dev.py {' '.join(sys.argv[1:])}"
            if newer
            else "Install one from your system's packages, python.org, pyenv or uv, and start dev.py with it.",
        )
    )

ROOT = Path(__file__).resolve().parent
REQUIREMENTS = ROOT / "requirements"
MARK = "dev.json"
# Settings of the caller's shell that would send packages, or imports, somewhere else.
FOREIGN = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONUSERBASE",
    "PYTHONSTARTUP",
    "__PYVENV_LAUNCHER__",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_PYTHON",
    "PIP_REQUIREMENT",
    "PIP_NO_DEPS",
    "PIP_DRY_RUN",
    "PIP_REQUIRE_HASHES",
)


def main(args: list[str]) -> int:
    """The exit code of the command that was asked for."""
    if not args or args[0] in ("-h", "--help", "help"):
        print(__doc__)
        return 0 if args else 2
    command, rest = args[0], args[1:]
    commands: dict[str, tuple[str, list[str]]] = {
        "demo": ("run.lock", ["connector", "demo", *rest]),
        "connector": ("run.lock", ["connector", *rest]),
        "test": ("dev.lock", ["pytest", *(rest or ["-n", "auto"])]),
        "lint": ("dev.lock", ["nox", "-s", "lint", *rest]),
        "types": ("dev.lock", ["nox", "-s", "types", *rest]),
        "nox": ("dev.lock", ["nox", *rest]),
    }
    if command not in commands:
        print(f"dev.py does not know {command!r}; it knows: {', '.join(commands)}", file=sys.stderr)
        return 2
    lock, line = commands[command]
    try:
        venv = prepare(own_venv(), lock)
    except KeyboardInterrupt:
        say("stopped. Nothing is broken: the same command starts afresh.")
        return 130
    return start(venv, line)


# --- the environment -------------------------------------------------------------------------------------------------


def own_venv() -> Path:
    """The folder of the environment: .venv, unless somebody else's is there."""
    venv = ROOT / ".venv"
    if venv.exists() and not (venv / MARK).exists():
        return ROOT / ".venv-dev"
    return venv


def prepare(venv: Path, lock: str) -> Path:
    """The environment, holding what the lock names and this project; made, completed or made anew where needed."""
    began = time.monotonic()
    project = digest(ROOT / "pyproject.toml")
    mark = read_mark(venv)
    busy = False
    if mark is None:
        busy = True
        mark = create(venv)
    if lock not in mark["locks"] and not (lock == "run.lock" and "dev.lock" in mark["locks"]):
        busy = True
        install_lock(venv, mark, lock)
    if mark["project"] != project:
        busy = True
        pip(venv, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
        mark["project"] = project
        write_mark(venv, mark)
    if busy:
        say(f"ready after {time.monotonic() - began:.0f} s")
    return venv


def create(venv: Path) -> dict[str, Any]:
    """The mark of a new, empty environment."""
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"{sys.executable} cannot make virtual environments: its ensurepip is missing.\n"
            "On Debian and Ubuntu it is a package of its own: sudo apt install python3-venv; then run this again."
        )
    if venv.exists():
        say(f"making {venv.name} anew: it is unfinished, or the lock, the Python or the folder changed")
        shutil.rmtree(venv)
    else:
        say(f"first run: making {venv} with Python {sys.version.split()[0]}; the system's own is not touched")
        if venv.name != ".venv":
            say("(the .venv that is here is not dev.py's own; it stays as it is)")
    venv.mkdir()
    mark = {**circumstances(venv), "locks": {}, "project": None, "unfinished": True}
    write_mark(venv, mark)
    # The base interpreter: this very script may run in the environment that was just removed.
    base = getattr(sys, "_base_executable", None) or sys.executable
    if subprocess.run([base, "-I", "-m", "venv", str(venv)], env=environment(venv), check=False).returncode:
        sys.exit(f"{base} -m venv failed; its words are above.")
    return mark


def install_lock(venv: Path, mark: dict[str, Any], lock: str) -> None:
    """Nothing, after installing exactly what the lock file says."""
    path = REQUIREMENTS / lock
    packages = len(re.findall(r"^\S+==", path.read_text(encoding="utf-8"), re.MULTILINE))
    say(f"installing the {packages} packages of requirements/{lock}, each checked by its hash (about half a minute)")
    # An interrupted pip can leave a package that only looks installed: until pip has ended, all of it counts as broken.
    write_mark(venv, {**mark, "unfinished": True})
    pip(venv, "--require-hashes", "--requirement", str(path))
    mark["locks"][lock] = digest(path)
    mark["unfinished"] = False
    write_mark(venv, mark)


def pip(venv: Path, *args: str) -> None:
    """Nothing, after `pip install` with these arguments; ends the program when it fails."""
    line = [str(venv_python(venv)), "-I", "-m", "pip", "install", "-qq", "--no-input", "--no-warn-script-location"]
    if subprocess.run([*line, *args], env=environment(venv), cwd=str(ROOT), check=False).returncode:
        sys.exit(
            f"pip could not install {args[-1]}; its words are above.\n"
            "Packages come from PyPI. Behind a mirror or a proxy: set PIP_INDEX_URL or HTTPS_PROXY, and run this again."
        )


def circumstances(venv: Path) -> dict[str, Any]:
    """What an environment depends on from outside: another Python or another place makes it useless."""
    return {"python": "{}.{}".format(*sys.version_info[:2]), "at": str(venv)}


def read_mark(venv: Path) -> dict[str, Any] | None:
    """What the environment holds, or None when it has to be made (anew)."""
    try:
        mark = json.loads((venv / MARK).read_text(encoding="utf-8"))
        current = all(digest(REQUIREMENTS / lock) == known for lock, known in mark["locks"].items())
        same = {name: mark[name] for name in ("python", "at")} == circumstances(venv)
        whole = current and same and not mark["unfinished"] and venv_python(venv).exists()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return mark if whole else None


def write_mark(venv: Path, mark: dict[str, Any]) -> None:
    """Nothing, after replacing the mark in one step."""
    new = venv / (MARK + ".new")
    new.write_text(json.dumps(mark, indent=1), encoding="utf-8")
    new.replace(venv / MARK)


# --- small things ----------------------------------------------------------------------------------------------------


def start(venv: Path, line: list[str]) -> int:
    """The exit code of a program of the environment; on POSIX this process becomes it, so that signals reach it."""
    program = scripts(venv) / line[0]
    if os.name != "nt":
        os.execve(str(program), [str(program), *line[1:]], environment(venv))  # noqa: S606 - the program is our own
    return subprocess.run([str(program) + ".exe", *line[1:]], env=environment(venv), check=False).returncode


def environment(venv: Path) -> dict[str, str]:
    """The caller's environment variables without those that would lead out of the virtual environment."""
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    env.update(
        VIRTUAL_ENV=str(venv),
        PATH=str(scripts(venv)) + os.pathsep + env.get("PATH", os.defpath),
        PYTHONNOUSERSITE="1",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        # Set, and not only removed: pip's configuration files may switch them on.
        PIP_USER="0",
        PIP_REQUIRE_VIRTUALENV="0",
        PIP_CONSTRAINT=os.devnull,
    )
    return env


def scripts(venv: Path) -> Path:
    """The folder of the environment's programs."""
    return venv / ("Scripts" if os.name == "nt" else "bin")


def venv_python(venv: Path) -> Path:
    """The environment's Python."""
    return scripts(venv) / ("python.exe" if os.name == "nt" else "python")


def digest(path: Path) -> str:
    """The fingerprint of a file's text; the same however git ends the lines."""
    return hashlib.sha256(path.read_text(encoding="utf-8").encode()).hexdigest()


def say(text: str) -> None:
    """Nothing, after a line for the person who waits; stdout belongs to the command."""
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
