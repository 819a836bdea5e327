"""A project as a whole."""

from __future__ import annotations

import os
import pwd
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connector.errors import ConfigError
from connector.project.load import load
from connector.project.settings import EventSync, ObjectSync
from tests.project.tiny import ENVIRON, GOOD, loaded, problems, said, systems, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.project.tiny import OnlyNamed


def test_a_good_project_is_read_with_everything_looked_up(tmp_path: Path) -> None:
    project = loaded(write(tmp_path))

    assert project.root == tmp_path
    assert list(project.syncs) == ["accounts", "upgrades"]
    sync = project.syncs["accounts"]
    assert sync.file == "sync_configs/accounts.yml"
    assert isinstance(sync.settings, ObjectSync)
    assert isinstance(project.syncs["upgrades"].settings, EventSync)
    assert sync.model is project.models["accounts"]
    assert sync.source is project.sources["warehouse"]
    assert sync.destination is project.destinations["crm"]
    assert (sync.destination.type, sync.destination.at) == ("crm", "connector.yml:4:3")
    assert sync.places.at("fields", "custom", "plan") == "sync_configs/accounts.yml:7:11"
    assert sync.model.sql == "select account_id, plan from accounts"
    assert sync.model.sql_line == 5
    assert sync.model.settings.primary_key == ("account_id",)
    assert project.warnings == ()


def test_only_the_systems_that_are_named_are_touched(tmp_path: Path) -> None:
    registry: Any = systems()
    load(write(tmp_path), registry, environ=ENVIRON)

    sources: OnlyNamed = registry.sources
    assert sources.touched == {"duckdb"}


def test_five_mistakes_in_the_yaml_are_told_in_one_go(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "connector.yml": GOOD["connector.yml"].replace("region: eu", "region: euu"),  # type: ignore[arg-type]
            "models/accounts.sql": "/* source: warehous\n   primary_key: account_id */\nselect 1",
            "sync_configs/accounts.yml": (
                "model: account\ndestination: crm\nobject: acount\nmatch: id\nfields:\n  custom:\n    p: { colum: p }\n"
            ),
        },
    )

    found = problems(tmp_path)

    assert [(p.at, p.message, p.hint) for p in found] == [
        (
            "connector.yml:6:13",
            "'destinations.crm.region' cannot be 'euu'",
            "did you mean 'eu'? one of: us, eu",
        ),
        (
            "models/accounts.sql:1:12",
            "there is no source 'warehous' in connector.yml",
            "did you mean 'warehouse'? sources: warehouse",
        ),
        (
            "sync_configs/accounts.yml:1:8",
            "there is no model 'account'",
            "did you mean 'accounts'? models: accounts",
        ),
        (
            "sync_configs/accounts.yml:3:9",
            "'object' cannot be 'acount'",
            "did you mean 'account'? one of: visitor, account, parent_account, track_event",
        ),
        (
            "sync_configs/accounts.yml:7:10",
            "unknown key 'colum' in 'fields.custom.p'",
            "did you mean 'column'? known keys: column, value, sql, type, nulls, create",
        ),
    ]


def test_a_broken_file_does_not_hide_the_problems_of_the_others(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "connector.yml": "sources: [\n",
            ".env": "NOT A VARIABLE\n",
            "models/accounts.sql": "/* source: warehouse */ select 1",
            "models/other.sql": b"/* \xff */",
            "sync_configs/accounts.yml": "model: acounts\n",
            "sync_configs/upgrades.yml": "- a\n- b\n",
        },
    )

    assert said(problems(tmp_path)) == [
        ("connector.yml:2:1", "bad-yaml"),
        (".env:1", "bad-env-file"),
        ("models/accounts.sql:1:4", "missing-key"),
        ("models/other.sql:1:4", "not-text"),
        ("sync_configs/accounts.yml:1:1", "missing-key"),
        ("sync_configs/accounts.yml:1:8", "unknown-model"),
        ("sync_configs/upgrades.yml:1:1", "wrong-type"),
    ]


def test_what_follows_from_another_problem_is_not_told(tmp_path: Path) -> None:
    # The model and the destination are broken, not unknown; the sync itself is fine.
    write(
        tmp_path,
        {
            "connector.yml": GOOD["connector.yml"].replace("type: crm", "type: erp"),  # type: ignore[arg-type]
            "models/accounts.sql": "select 1",
        },
    )

    assert said(problems(tmp_path)) == [
        ("connector.yml:5:11", "unknown-type"),
        ("models/accounts.sql:1:1", "no-settings"),
    ]


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        ({"connector.yml": None}, "connector init"),
        ({"connector.yml": None, "connector.yaml": ""}, "rename connector.yaml"),
    ],
)
def test_without_connector_yml_there_is_no_project(tmp_path: Path, files: dict[str, str | None], hint: str) -> None:
    write(tmp_path, files)

    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path)

    assert caught.value.problem.slug == "no-project"
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("connector.yml:1:1", "empty-file")]),
        ("# nothing\n", [("connector.yml:1:1", "empty-file")]),
        ("---\n", [("connector.yml:2:1", "empty-file")]),
        ("sources: 5\n", [("connector.yml:1:10", "wrong-type")]),
        ("sources: { w: 5 }\n", [("connector.yml:1:15", "wrong-type")]),
        ("sources: { w: { path: x } }\n", [("connector.yml:1:15", "missing-key")]),
        ("sources: { w: { type: 7 } }\n", [("connector.yml:1:23", "unknown-type")]),
        ("sources: { w: { type: oracle } }\n", [("connector.yml:1:23", "no-driver")]),
        ("sources: { 'w x': { type: duckdb, path: y } }\n", [("connector.yml:1:12", "bad-name")]),
        ("source: {}\n", [("connector.yml:1:1", "unknown-key")]),
        ("state: { dri: x }\n", [("connector.yml:1:10", "unknown-key")]),
        ("sources: { w: { type: ${KIND} } }\n", [("connector.yml:1:23", "missing-variable")]),
    ],
)
def test_connector_yml_is_checked(tmp_path: Path, text: str, expected: list[tuple[str, str]]) -> None:
    (tmp_path / "connector.yml").write_text(text)

    assert said(problems(tmp_path)) == expected


def test_sections_may_be_empty(tmp_path: Path) -> None:
    (tmp_path / "connector.yml").write_text("sources:\n  # none yet\ndestinations:\nstate:\n")

    project = loaded(tmp_path)

    assert (project.sources, project.destinations, project.models, project.syncs) == ({}, {}, {}, {})


def test_names_are_told_even_when_there_is_none_to_choose_from(tmp_path: Path) -> None:
    write(tmp_path, {"connector.yml": "sources: {}\n", "models/accounts.sql": None})

    found = problems(tmp_path)

    assert {p.hint for p in found} == {"connector.yml names no destination", "a model is a file: models/NAME.sql"}


# --- the state directory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "variable", "written", "expected"),
    [
        ("given", "from-env", "from-yaml", "cwd/given"),
        (None, "from-env", "from-yaml", "root/from-env"),
        (None, None, "from-yaml", "root/from-yaml"),
        (None, None, None, "root/.connector"),
        (None, "/elsewhere", None, "/elsewhere"),
        (None, "~nobody-of-this-name/x", None, "root/~nobody-of-this-name/x"),
    ],
)
def test_the_state_directory_comes_from_the_nearest_who_names_it(
    tmp_path: Path, argument: str | None, variable: str | None, written: str | None, expected: str
) -> None:
    state = f"state: {{ dir: {written} }}\n" if written else ""
    write(tmp_path, {"connector.yml": state + str(GOOD["connector.yml"])})
    environ = ENVIRON | ({"CONNECTOR_STATE_DIR": variable} if variable else {})

    project = loaded(tmp_path, environ, Path(argument) if argument else None)

    places = {"cwd": Path.cwd(), "root": tmp_path}
    start, _, rest = expected.partition("/")
    assert project.state_dir == (places[start] / rest if start else Path(expected))


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "slug"),
    [
        ("models/2fast.sql", "bad-name"),
        ("models/a b.sql", "bad-name"),
        ("sync_configs/Accounts.yml", "bad-name"),
        ("sync_configs/a.b.yml", "bad-name"),
        ("sync_configs/-a.yml", "bad-name"),
        ("sync_configs/é.yml", "bad-name"),
        ("sync_configs/accounts.yaml", "duplicate-name"),
    ],
)
def test_a_file_whose_name_cannot_be_used_is_a_problem(tmp_path: Path, file: str, slug: str) -> None:
    good = GOOD["models/accounts.sql"] if file.endswith("sql") else GOOD["sync_configs/accounts.yml"]
    write(tmp_path, {file: good})

    # Of two files with one name, the one that comes second in the alphabet is the second.
    second = "sync_configs/accounts.yml" if slug == "duplicate-name" else file
    assert said(problems(tmp_path)) == [(second, slug)]


def test_a_name_that_is_not_text_is_shown_all_the_same(tmp_path: Path) -> None:
    path = os.fsencode(write(tmp_path)) + b"/models/\xff.sql"
    Path(os.fsdecode(path)).write_text(str(GOOD["models/accounts.sql"]))

    (problem,) = problems(tmp_path)

    assert problem.slug == "bad-name"
    assert str(problem).encode()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, {"models/README.md": "x", "models/.hidden.sql": "x", "sync_configs/notes.txt": "x"})
    (tmp_path / "models" / "folder.sql").mkdir()

    assert list(loaded(tmp_path).models) == ["accounts"]


def test_a_file_in_a_folder_below_is_warned_of(tmp_path: Path) -> None:
    write(tmp_path, {"models/staging/x.sql": "x", "sync_configs/old/y.yaml": "x", "models/.git/z.sql": "x"})

    assert said(loaded(tmp_path).warnings) == [
        ("models/staging/x.sql", "ignored-file"),
        ("sync_configs/old/y.yaml", "ignored-file"),
    ]


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"a: \xe4\n", "sync_configs/accounts.yml:1:4"),
        ("a: 1\n".encode("utf-16"), "sync_configs/accounts.yml:1:1"),
        (b"a: 1\nb: \0\n", "sync_configs/accounts.yml:2:4"),
    ],
)
def test_a_file_that_is_not_text_is_a_problem(tmp_path: Path, data: bytes, place: str) -> None:
    write(tmp_path, {"sync_configs/accounts.yml": data})

    assert said(problems(tmp_path)) == [(place, "not-text")]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    windows = {f: b"\xef\xbb\xbf" + str(text).replace("\n", "\r\n").encode() for f, text in GOOD.items()}
    project = loaded(write(tmp_path, windows))

    assert project.models["accounts"].sql == "select account_id, plan from accounts"
    assert project.syncs["accounts"].places.at("fields", "custom", "plan") == "sync_configs/accounts.yml:7:11"


def test_what_cannot_be_opened_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, {"sync_configs/accounts.yml": None})
    (tmp_path / "sync_configs" / "a-loop").symlink_to("a-loop")
    target = tmp_path / "sync_configs" / "accounts.yml"
    target.symlink_to("/proc/self/mem")  # a file that opens and cannot be read

    assert said(problems(tmp_path)) == [("sync_configs/accounts.yml", "unreadable-file")]


@contextmanager
def closed(path: Path) -> Iterator[None]:
    """The path as no one but root may open it; and for that time this process is not root."""
    path.chmod(0)
    as_root = os.geteuid() == 0
    try:
        if as_root:
            os.seteuid(pwd.getpwnam("nobody").pw_uid)
        yield
    finally:
        if as_root:
            os.seteuid(0)
        path.chmod(0o755)


@pytest.mark.parametrize("path", ["connector.yml", "sync_configs", "models/accounts.sql"])
def test_what_is_closed_to_the_user_is_a_problem(path: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = write(Path(folder))
        root.chmod(0o755)
        with closed(root / path):
            found = problems(root)

    assert said(found) == [(path, "unreadable-file")]


def test_a_closed_folder_below_the_models_does_no_harm() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = write(Path(folder), {"models/deeper/x.sql": "x"})
        root.chmod(0o755)
        with closed(root / "models" / "deeper"):
            project = loaded(root)

    assert list(project.models) == ["accounts"]


# --- entries of connector.yml ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("key: 5", "'destinations.crm.key' must be text, not a number"),
        ("retries: { times: x }", "'destinations.crm.retries.times' must be a whole number, not text"),
        ("retries: { waits: 5 }", "'destinations.crm.retries.waits' must be a list, not a number"),
        ("retries: { waits: [1, a] }", "'destinations.crm.retries.waits[1]' must be a number, not text"),
        ("retries: { tims: 1 }", "unknown key 'tims' in 'destinations.crm.retries'"),
        ("limits: { a: true, b: x }", "'destinations.crm.limits.b' must be a whole number, not text"),
        ("limits: [a]", "'destinations.crm.limits' must be a mapping, not a list"),
        ("address: here", "'destinations.crm.address' is not an address: here"),
    ],
)
def test_an_entry_is_checked_by_its_system(tmp_path: Path, line: str, message: str) -> None:
    key = "" if line.startswith("key") else "key: k, "
    text = f"sources: {{}}\ndestinations:\n  crm: {{ type: crm, region: eu, {key}{line} }}\n"
    write(tmp_path, {"connector.yml": text, "models/accounts.sql": None, "sync_configs/accounts.yml": None})
    (tmp_path / "sync_configs" / "upgrades.yml").unlink()

    assert [p.message for p in problems(tmp_path)] == [message]


def test_numbers_and_booleans_may_come_from_the_environment(tmp_path: Path) -> None:
    text = str(GOOD["connector.yml"]).replace("path: warehouse.duckdb", "path: '${DIR}/w.duckdb', threads: ${N}")
    project = loaded(write(tmp_path, {"connector.yml": text}), ENVIRON | {"DIR": "/data", "N": "4"})

    assert project.sources["warehouse"].settings.model_dump() == {"path": "/data/w.duckdb", "threads": 4}
