"""The pages that a user reads say what the command line does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from connector.cli.group import COMMANDS, connector
from connector.cli.invocation import everywhere
from tests.e2e.project import ACCOUNTS

if TYPE_CHECKING:
    from tests.cli.conftest import Cli
    from tests.e2e.project import Scene

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


def pages() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def anchors(page: Path) -> set[str]:
    """What a link may name behind its #: each heading in small letters, as GitHub makes it."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = [re.sub(r"[^\w\- ]", "", line.strip().lower()) for line in re.findall(r"^#+ (.*)", text, re.MULTILINE)]
    return {heading.replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_in_the_pages_leads_somewhere(page: Path) -> None:
    gone = []
    for link in re.findall(r"\]\(([^)\s]+)", page.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            name, _, anchor = link.partition("#")
            to = page.parent / name if name else page
            if not to.exists() or (anchor and anchor not in anchors(to)):
                gone.append(link)

    assert gone == []


def test_the_index_of_the_pages_has_each_of_them() -> None:
    listed = re.findall(r"\]\(([\w/-]+\.md)", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"))
    there = [page.relative_to(ROOT / "docs").as_posix() for page in pages() if page.is_relative_to(ROOT / "docs")]

    assert set(there) - set(listed) == {"index.md", *(name for name in there if name.startswith("decisions/"))}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_example_of_the_readme_runs(cli: Cli) -> None:
    (sync,) = blocks(ROOT / "README.md", "yaml")
    (model,) = blocks(ROOT / "README.md", "sql")
    cli.anywhere("init", str(cli.root))
    for name in ("account_health", "parent_accounts", "plan_upgrades", "visitors"):
        (cli.root / "sync_configs" / f"{name}.yml").unlink()
    (cli.root / "models" / "account_health.sql").write_text(model, encoding="utf-8")
    (cli.root / "sync_configs" / "account_health.yml").write_text(sync, encoding="utf-8")
    checked = cli("check")
    planned = cli("plan", "account_health", "--show", "200", "--json")

    assert checked.code == 0, checked.err
    assert planned.json()["rows"]["added"] == len(planned.json()["sample"]) == 120


def test_json_has_the_keys_of_the_page(troubled: Scene, cli: Cli) -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.*) \|$", PAGE.partition("section says, or:")[2].partition("## ")[0], re.MULTILINE
    )
    listed = {name: re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", text)) for name, text in rows}
    file = str(troubled.root.parent / "state.backup")
    words = {
        "init": [str(troubled.root / "another")],
        "check": [],
        "preview": [ACCOUNTS],
        "hold": ["accounts"],
        "retry": ["accounts"],
        "release": ["accounts"],
        "reset": ["accounts", "--yes"],
        "backup": [file],
        "restore": [file, "--force"],
        "prune": ["--dry-run"],
    }
    cli("run", "accounts")
    printed = {name: cli(name, *arguments, "--json").json() for name, arguments in words.items()}

    assert {name: list(said[0] if name == "hold" else said) for name, said in printed.items()} == listed


def test_every_error_on_the_page_is_one_that_the_code_has() -> None:
    headings = re.findall(r"^### `([a-z0-9-]+)`$", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "connector").rglob("*.py"))
    made = ("held-", "unknown-")  # put together from parts
    gone = [slug for slug in headings if f'"{slug}"' not in code and not slug.startswith(made)]

    assert gone == []
    assert len(headings) == len(set(headings))


def test_exit_codes_are_the_same_everywhere() -> None:
    codes = {code: words.split(";")[0] for code, words in re.findall(r"^\| (\d+) \| (.*?) \|$", PAGE, re.MULTILINE)}

    assert list(codes) == ["0", "1", "2", "3", "4", "130"]
    assert re.findall(r"\d+", str(connector.epilog)) == list(codes)
