"""docs/api.md has every path that the server answers, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.serve.api import DOCUMENT

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_path_of_the_document_is_on_the_page_and_no_other() -> None:
    cells = re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE)
    listed = {path for cell in cells for path in re.findall(r"`((?:GET|POST) /api/\S+)`", cell)}

    assert listed == {f"{method.upper()} {path}" for path, there in DOCUMENT["paths"].items() for method in there}
