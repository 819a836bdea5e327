"""The pages that a user reads say what the command line does."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from connector.cli.group import COMMANDS, connector
from connector.cli.invocation import everywhere

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
COMMON = {option for parameter in everywhere(click.Command("any")).params for option in parameter.opts}


def command(name: str) -> click.Command:
    found = connector.get_command(click.Context(connector), name)
    assert found is not None
    return found


def section(name: str) -> str:
    """The part of the page about one command."""
    found = re.search(rf"^## `?connector {name}\b.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/commands.md has no heading for connector {name}"
    return found.group()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_on_the_page(name: str) -> None:
    options = {option for parameter in command(name).params for option in parameter.opts if option.startswith("-")}
    missing = [option for option in options - COMMON if f"`{option}" not in section(name)]

    assert missing == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_names_no_option_that_is_gone(name: str) -> None:
    known = {option for parameter in command(name).params for option in (*parameter.opts, *parameter.secondary_opts)}
    listed = set(re.findall(r"^\| `(--[a-z-]+)", section(name), re.MULTILINE))

    assert listed <= known


def test_the_page_has_the_common_options_and_no_command_that_is_gone() -> None:
    headings = re.findall(r"^## `connector ([a-z]+)", PAGE, re.MULTILINE)

    assert all(f"`{option}" in PAGE for option in COMMON)
    assert headings == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_their_own_help_says(name: str) -> None:
    found = command(name)

    assert found.name == name
    assert (found.help or "").strip()
    assert COMMANDS[name][1].endswith(".")


def test_every_link_in_the_pages_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if not link.startswith("http")
    ]

    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []
