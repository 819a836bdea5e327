"""What holds for the code as a whole: imports go down, errors are documented, nothing grows out of hand."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "connector"

# From the top down: a module imports only what stands further down. Folders stand for all that is in them.
ORDER = (
    "cli",
    "integrations",
    "serve",
    "sample",
    "__init__",
    "api",
    "actions",
    "schedule",
    "alerts",
    "tracing",
    "run",
    "audit",
    "deliver",
    "plan",
    "compile",
    "covering",
    "state",
    "systems",
    "sandbox",
    "project",
    "rendering",
    "values",
    "failpoints",
    "listening",
    "process",
    "ports",
    "errors",
)
# What `connector --help` must not wait for.
HEAVY = ("duckdb", "httpx", "pyarrow", "sqlalchemy", "sqlglot", "starlette", "uvicorn")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the package by its path."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def floor_of(module: str) -> str:
    """The part of `ORDER` that a module such as `connector.state.runs` belongs to."""
    name = [*module.split("."), "__init__"][1]
    return name if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists() else "__init__"


def is_module(text: str) -> bool:
    """Whether the text is the full name of one of our modules, as a lazy import gives it."""
    path = ROOT / text.replace(".", "/") if re.fullmatch(r"connector(\.\w+)+", text) else None
    return path is not None and (path.is_dir() or path.with_suffix(".py").exists())


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of each import of our own, also those inside functions, for type checks, and by name."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module else []
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if is_module(node.value) else []
        for name in names:
            if name == "connector" or name.startswith("connector."):
                yield node.lineno, name  # type: ignore[attr-defined]  # all three kinds have it


def test_imports_go_down_only() -> None:
    wrong = []
    for path, tree in trees().items():
        own = floor_of(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        assert own in ORDER, f"{path}: say in ORDER where it stands"
        for line, name in imported(tree):
            if ORDER.index(floor_of(name)) < ORDER.index(own):
                wrong.append(f"{path}:{line} imports {name}, which stands above it")

    assert wrong == []


def test_systems_do_not_know_each_other() -> None:
    wrong = []
    for path, tree in trees().items():
        if not path.startswith("connector/systems/"):
            continue
        own = path.split("/")[2]
        for line, name in imported(tree):
            other = [*name.split("."), "", ""][2]
            if name.startswith("connector.systems.") and own not in ("__init__.py", other):
                wrong.append(f"{path}:{line} imports {name}")

    assert wrong == []


def test_files_and_functions_stay_short() -> None:
    long = []
    for path, tree in trees().items():
        lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
        if lines > MAX_FILE_LINES:
            long.append(f"{path}: {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    long.append(f"{path}:{node.lineno} {node.name}: {lines} lines")

    assert long == []


def test_only_the_command_line_prints() -> None:
    prints = [
        f"{path}:{node.lineno}"
        for path, tree in trees().items()
        if not path.startswith("connector/cli/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]

    assert prints == []


def test_nothing_is_mocked() -> None:
    # Written so that this line does not find itself.
    mocks = re.compile(r"unittest[.]mock|from unittest import|MagicMock|mocker\b|monkeypatch[.]setattr")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in (PACKAGE, ROOT / "tests")
        for path in sorted(folder.rglob("*.py"))
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if mocks.search(line)
    ]

    assert found == []


@pytest.mark.parametrize(
    "program", ["import connector.cli", "import connector.cli; connector.cli.main(['--help'])", "import connector"]
)
def test_the_command_line_starts_without_the_heavy_parts(program: str) -> None:
    program += f"; import sys; sys.stderr.write('loaded:' + ' '.join(sorted(set({HEAVY}) & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stderr.rpartition("loaded:")[2] == ""


# --- errors ----------------------------------------------------------------------------------------------------------


def slug_positions() -> dict[str, int]:
    """By the name of a function or class: at which position it takes a slug (-1: only by name)."""
    positions = {}
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                fields = [
                    part.target.id
                    for part in node.body
                    if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
                ]
                if "slug" in fields:
                    positions[node.name] = fields.index("slug")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
                if "slug" in names:
                    positions[node.name] = names.index("slug") - (names[0] in ("self", "cls"))
    return positions


def texts_of(node: ast.expr) -> Iterator[str]:
    """The constant texts an expression may have; the open places of an f-string become `*`."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from texts_of(one)
            yield from texts_of(other)
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)
        case _:
            pass


def slugs_in(tree: ast.Module, positions: dict[str, int]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        found: list[ast.expr] = []
        if isinstance(node, ast.Call):
            found += [keyword.value for keyword in node.keywords if keyword.arg == "slug"]
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = positions.get(name)
            if place is not None and place < len(node.args):
                found.append(node.args[place])
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                found += assigned(target, node.value)
        for expression in found:
            for text in texts_of(expression):
                yield node.lineno, text  # type: ignore[attr-defined]  # calls and assignments have it


def assigned(target: ast.expr, value: ast.expr) -> list[ast.expr]:
    """What a variable called slug gets, alone or as one of several."""
    if isinstance(target, ast.Name) and target.id == "slug":
        return [value]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return [found for one, other in zip(target.elts, value.elts, strict=False) for found in assigned(one, other)]
    return []


def test_every_slug_is_a_heading_of_the_docs() -> None:
    headings = re.findall(
        r"^#+ +`?([a-z0-9-]+)`?\s*$", (ROOT / "docs/errors.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    positions = slug_positions()
    used = {(f"{path}:{line}", slug) for path, tree in trees().items() for line, slug in slugs_in(tree, positions)}
    undocumented = sorted(
        f"{slug} ({place})"
        for place, slug in used
        if not any(re.fullmatch(slug.replace("*", "[a-z0-9-]+"), heading) for heading in headings)
    )

    assert len(used) > 50
    assert undocumented == []
