"""Whatever is in the files, reading them gives a project or a list of problems, and nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connector.errors import ConfigError
from tests.project.tiny import ENVIRON, GOOD, loaded, write

if TYPE_CHECKING:
    from connector.errors import Problem

TEXT_OF = {file: str(text) for file, text in GOOD.items()} | {".env": "A=1\nB='x y'\n"}

PIECES = [
    *":-{}[],'\"|>&*!%@`#?~$\n\t ",
    "\r\n",
    "${",
    "${A}",
    "$${",
    "${A:-",
    "}",
    "<<",
    "---\n",
    "...\n",
    "!!",
    "0x1",
    ".inf",
    "null",
    "/*",
    "*/",
    "--",
    ";",
    "$$",
    "select",
    "with x as (",
    "delete from",
    "union",
    "(",
    ")",
    "\\",
    "é",
    "\u2028",
    "\x85",
    "\ufeff",
    "\uf8f1",
    "\U0001f600",
    "\x00",
]

pieces = st.sampled_from(PIECES)


@st.composite
def edited(draw: st.DrawFn, text: str) -> str:
    """The text with some pieces cut out or put in, so that it is nearly right."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 8)))
        text = text[:start] + draw(pieces | st.text(max_size=3)) + text[stop:]
    return text


def found_in(root: Path) -> tuple[Problem, ...]:
    """What is wrong with the project; anything but a ConfigError would come through."""
    try:
        loaded(root, ENVIRON | {"A": "5"})
    except ConfigError as error:
        return error.problems
    return ()


def reads(file: str, data: str | bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        encoded = data if isinstance(data, bytes) else data.encode(errors="surrogatepass")
        found = found_in(write(Path(folder), {file: encoded}))

    assert all(problem.at and problem.slug and problem.message for problem in found)
    assert "".join(map(str, found)).encode() is not None


@pytest.mark.parametrize("file", list(TEXT_OF))
def test_a_file_that_is_nearly_right_never_ends_in_a_traceback(file: str) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=edited(TEXT_OF[file]))
    def holds(data: str) -> None:
        reads(file, data)

    holds()


@pytest.mark.parametrize("file", list(TEXT_OF))
def test_any_text_at_all_never_ends_in_a_traceback(file: str) -> None:
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.lists(pieces, max_size=12).map("".join) | st.text(max_size=60) | st.binary(max_size=40))
    @example(data="? ")
    @example(data="%YAML 9.9\n--- a")
    @example(data="a: !<")
    @example(data="- " * 3000)
    @example(data="{a: " * 3000)
    @example(data="/*" + "[" * 3000 + "*/")
    def holds(data: str | bytes) -> None:
        reads(file, data)

    holds()


SQL = """
select from where with as recursive values union all except ( ) , ; * . a b 'x' "y" 1 1e5 -- /* */ :: case when then
end over partition by group order limit insert into update set delete returning create table for lateral join on using
$1 ? : @ [ ] { } => -> ->> || = <> and or not null is in between like exists cast interval date unpivot pivot qualify
sample tablesample window filter within distinct any array struct map lambda
"""


@pytest.mark.parametrize("url", ["postgresql://h", "mysql://h", "mssql://h", "oracle://h", "snowflake://h", "odd://h"])
def test_any_sql_is_a_model_a_warning_or_a_problem(url: str, tmp_path: Path) -> None:
    write(tmp_path, {"sync_configs/accounts.yml": None, "sync_configs/upgrades.yml": None})
    project = f"sources: {{ warehouse: {{ type: sqlalchemy, url: '{url}' }} }}\n"
    (tmp_path / "connector.yml").write_text(project)

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(words=st.lists(st.sampled_from(SQL.split()), max_size=15))
    def holds(words: list[str]) -> None:
        sql = "select " + " ".join(words)
        (tmp_path / "models/accounts.sql").write_text(f"/* source: warehouse\n   primary_key: a */\n{sql}")
        assert [problem.slug for problem in found_in(tmp_path)] in ([], ["bad-sql"], ["not-a-select"])

    holds()
