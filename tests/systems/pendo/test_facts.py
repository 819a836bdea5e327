from __future__ import annotations

import ast
from pathlib import Path

import pytest

from connector.project.settings import BatchSpec
from connector.systems.pendo import facts

PACKAGE = Path(facts.__file__).parent
DOCS = PACKAGE.parents[2] / "docs" / "pendo.md"


def test_the_documentation_shows_the_table_of_facts() -> None:
    text = DOCS.read_text(encoding="utf-8")
    shown = text.partition("<!-- facts -->\n")[2].partition("<!-- end of facts -->")[0]

    assert shown == facts.table(), "write facts.table() between the two comments of docs/pendo.md"


def test_every_fact_says_where_it_comes_from() -> None:
    for name, fact in facts.facts().items():
        assert fact.meaning, name
        assert fact.source, name
        assert fact.confidence in "DLCIU", name


def test_the_default_batch_is_what_is_known_to_fit() -> None:
    assert BatchSpec().rows == facts.METADATA_ROWS.value
    assert BatchSpec().bytes == facts.BODY_BYTES.value


@pytest.mark.parametrize("module", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_no_host_path_or_header_of_pendo_stands_outside_the_table(module: Path) -> None:
    if module.name == "facts.py":
        return
    tree = ast.parse(module.read_text(encoding="utf-8"))
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
        and isinstance(node.body[0].value, ast.Constant)
    }
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings
    ]

    assert not [text for text in texts if ".pendo.io" in text or text.startswith(("/api/", "x-pendo"))]
