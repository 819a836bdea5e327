"""Hints, secrets and drivers: what the errors of every warehouse are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connector.errors import SourceError
from connector.systems.warehouse.driver import driver, is_installed
from connector.systems.warehouse.named import first_line, tables_hint, without_secrets

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "tables", "expected"),
    [
        ("acounts", ["accounts", "plans"], "did you mean 'accounts'? tables: accounts, plans"),
        ("marts.acounts", ["marts.accounts"], "did you mean 'marts.accounts'? tables: marts.accounts"),
        ('"W"."ACOUNTS"', ["marts.accounts"], "did you mean 'marts.accounts'? tables: marts.accounts"),
        ("xyz", ["accounts"], "tables: accounts"),
        ("", [f"t{n}" for n in range(10)], "tables: t0, t1, t2, t3, t4, t5, t6, t7 and 2 more"),
        ("xyz", [], "there are no tables that this login can read"),
    ],
)
def test_the_nearest_table_is_named(name: str, tables: list[str], expected: str) -> None:
    assert tables_hint(name, tables) == expected


@pytest.mark.parametrize(
    ("text", "secrets", "expected"),
    [
        ("login with p@ss failed", ["p@ss"], "login with *** failed"),
        ("postgresql://u:p%40ss@h/d", ["p@ss"], "postgresql://***@h/d"),
        ("mysql://u:geheim@h/d and mysql://h/d", [], "mysql://***@h/d and mysql://h/d"),
        ("GET https://s3/part?X-Amz-Signature=abc failed", [], "GET https://s3/part failed"),
        ("a b+c", ["b c"], "a ***"),
        ("nothing", ["", "x"], "nothing"),
    ],
)
def test_secrets_leave_a_text_in_every_spelling(text: str, secrets: list[str], expected: str) -> None:
    assert without_secrets(text, secrets) == expected


@pytest.mark.parametrize(("text", "expected"), [("\n  a \n b", "a"), ("", "no reason was given")])
def test_the_first_line_is_the_one_that_says_something(text: str, expected: str) -> None:
    assert first_line(text) == expected


@pytest.mark.parametrize(
    ("module", "extra", "hint"),
    [
        ("no_such_driver", None, "pip install no-such-driver"),
        ("no_such_driver.part", "postgres", "pip install 'pendo-connector[postgres]'"),
    ],
)
def test_a_missing_driver_says_how_to_install_it(module: str, extra: str | None, hint: str) -> None:
    with pytest.raises(SourceError, match="the Python package no-such-driver is not installed") as caught:
        driver(module, extra=extra, package="no-such-driver")

    assert (caught.value.problem.slug, caught.value.problem.hint) == ("source-driver-missing", hint)
    assert not is_installed(module)


def test_an_installed_driver_is_imported() -> None:
    assert driver("sqlite3.dbapi2", extra=None, package="sqlite3").paramstyle == "qmark"
    assert is_installed("sqlite3.dbapi2")


def test_a_driver_that_cannot_be_used_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_driver.py").write_text("raise ImportError('no library found')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SourceError, match="the Python package broken cannot be used: no library found") as caught:
        driver("broken_driver", extra=None, package="broken")

    assert caught.value.problem.slug == "source-driver-missing"


def test_what_a_driver_itself_lacks_is_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_a_driver.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        driver("half_a_driver", extra=None, package="half-a-driver")
