"""Hashes and masks in the place of values: the same in Python and in SQL, and nothing of a value left in a text."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.state.hiding import MASKED, PREFIX, Echoes, Hiding, key_forms, open_hiding

if TYPE_CHECKING:
    from pathlib import Path

HIDING = Hiding(b"k" * 32)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0")))
def test_a_hash_is_the_same_in_sql(text: str) -> None:
    with closing(duckdb.connect(":memory:")) as connection:
        HIDING.define(connection)
        found = connection.execute("SELECT hashed(?), redacted(?), redacted(NULL)", [text, text]).fetchone()

    assert found == (HIDING.hashed(text), HIDING.token(text), None)


def test_a_mask_tells_nothing_and_a_key_is_hashed_all_the_same() -> None:
    masking = Hiding(b"k" * 32, "mask")
    with closing(duckdb.connect(":memory:")) as connection:
        masking.define(connection)
        found = connection.execute("SELECT hashed('a'), redacted('a'), redacted(NULL)").fetchone()

    assert found == (HIDING.hashed("a"), MASKED, None)
    assert masking.token("a") == MASKED
    assert masking.key("a", (True,)) == HIDING.hashed("a")


def test_another_directory_has_other_hashes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, again, other = (open_hiding(tmp_path / name).hashed("x") for name in ("a", "a", "b"))

    assert one == again != other
    assert (tmp_path / "a" / "redaction.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["redaction.key"]


def test_programs_that_begin_at_once_agree_on_the_key(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(open_hiding(tmp_path).hashed("x"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_key_is_looked_for_in_each_form_it_may_have(tmp_path: Path) -> None:
    before = key_forms(tmp_path, "a")
    hiding = open_hiding(tmp_path)
    composite = json.dumps(["a", "b"], separators=(",", ":"))

    assert before == ["a"]
    assert key_forms(tmp_path, "a") == ["a", hiding.hashed("a")]
    assert hiding.key(composite, (False, True)) in key_forms(tmp_path, composite)
    assert hiding.key(composite, (True, True)) in key_forms(tmp_path, composite)


@pytest.mark.parametrize(
    ("value", "said", "left"),
    [
        ("bob@example.test", "no BOB@Example.test here", "no {} here"),
        ("Bo", "Bo, Bob and Bo", "{}, Bob and {}"),
        ("12", "row 12 of 120", "row {} of 120"),
        ('say "hi"', '{"was": "say \\"hi\\""}', '{"was": "{}"}'),
        ("Ünal", '{"was": "\\u00dcnal"}', '{"was": "{}"}'),
        ("a b&c", "/x?name=a+b%26c", "/x?name={}"),
        ("two  spaces", "two spaces", "{}"),
        ("", "nothing", "nothing"),
    ],
)
def test_what_is_repeated_is_taken_out_in_each_form(value: str, said: str, left: str) -> None:
    echoes = Echoes(HIDING, [value], said)

    assert echoes.without(said) == left.replace("{}", HIDING.token(value))


def test_a_reason_that_was_cut_off_in_a_value_gives_nothing_away() -> None:
    echoes = Echoes(HIDING, ["bob@example.test", "Al"], "refused: bob@example.test")

    assert echoes.without("refused: bob@exa...") == f"refused: {MASKED}..."
    assert echoes.without("refused: bob@exa…") == f"refused: {MASKED}…"
    assert echoes.without("all is well") == "all is well"
    assert not Echoes(HIDING, ["bob"], "nobody")


def test_a_longer_value_goes_before_one_that_it_holds() -> None:
    echoes = Echoes(HIDING, ["bob@example.test", "example.test"], "bob@example.test example.test")

    assert echoes.without("bob@example.test").count(PREFIX) == 1
