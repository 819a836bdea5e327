"""The Dockerfile without Docker: its instructions as data, and its build stage carried out in a folder.

python -m tests.ops.dockerfile FOLDER

copies and runs in FOLDER what the build stage copies and runs in an image, and then lets the connector that came of it
make a project, check it and serve it. What only an image can show (users, mounts, the base) it does not show.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: its word in capitals, and the rest of it on one line."""

    word: str
    rest: str


def stages(text: str) -> list[list[Step]]:
    """The stages of a Dockerfile, each beginning with its FROM; what stands before the first one is left out."""
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    found: list[list[Step]] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word.upper() == "FROM":
            found.append([])
        if found:
            found[-1].append(Step(word.upper(), rest.strip()))
    return found


def build(folder: Path) -> Path:
    """The environment that the build stage makes, in the folder instead of in an image."""
    sources, environment = folder / "src", folder / "connector"
    sources.mkdir(parents=True)
    for step in stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))[0]:
        if step.word == "COPY":
            *names, to = step.rest.split()
            for name in names:
                copy(ROOT / name, sources / to if to != "./" else sources / name)
        elif step.word == "RUN":
            command = step.rest.replace("/opt/connector", str(environment)).replace("python -m", f"{sys.executable} -m")
            subprocess.run(["/bin/sh", "-ec", command], cwd=sources, check=True)
    return environment


def copy(source: Path, to: Path) -> None:
    """Nothing, after copying a file or a folder, without what .dockerignore leaves out."""
    to.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "*.duckdb", ".env"))
    else:
        shutil.copyfile(source, to)


def try_out(connector: Path, project: Path) -> None:
    """Nothing, after a new project was checked, served as in the image, and found alive."""
    subprocess.run([connector, "init", project], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([connector, "check", "--project", project], check=True)
    port = 18091
    environ = {"CONNECTOR_SERVE_TOKEN": "a-token-for-a-moment", "PATH": "/usr/bin:/bin"}
    words = [str(connector), "--project", str(project), "serve", "--port", str(port), "--log-format", "json"]
    with subprocess.Popen(words, env=environ) as server:
        try:
            sys.stdout.write(f"alive: {alive(port)}\n")
        finally:
            server.terminate()


def alive(port: int) -> str:
    """What the server says, as soon as it says anything."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().read().decode().strip()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        finally:
            connection.close()


if __name__ == "__main__":
    place = Path(sys.argv[1]).absolute()
    try_out(build(place) / "bin" / "connector", place / "project")
