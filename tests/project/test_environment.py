"""`.env`, and values of the environment that never show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connector.errors import ConfigErrors, Problem
from connector.project.findings import Findings, split, without
from tests.project.tiny import ENVIRON, GOOD, loaded, problems, said, texts, write

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2-hunter2"


def key_of(root: Path, environ: dict[str, str]) -> str:
    settings = loaded(root, environ).destinations["crm"].settings
    return str(settings.key.get_secret_value())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "environ", "key"),
    [
        ("CRM_KEY=from-the-file\n", {}, "from-the-file"),
        ("export CRM_KEY='from the file' # note\n", {}, "from the file"),
        ("CRM_KEY=from-the-file\n", {"CRM_KEY": "real"}, "real"),
        ("CRM_KEY=from-the-file\n", {"CRM_KEY": ""}, ""),
        ("# note\n\nCRM_KEY\nCRM_KEY=b\n", {}, "b"),
        ("CRM_KEY=${HOME}\n", {"HOME": "/root"}, "${HOME}"),
    ],
)
def test_the_real_environment_wins_over_the_file(tmp_path: Path, text: str, environ: dict[str, str], key: str) -> None:
    write(tmp_path, {".env": text})

    assert key_of(tmp_path, environ) == key


def test_the_environment_of_the_process_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from connector.project.load import load  # noqa: PLC0415 - not the tests' own `loaded`, which always gives one
    from tests.project.tiny import systems  # noqa: PLC0415

    monkeypatch.setenv("CRM_KEY", "of-the-process")

    assert load(write(tmp_path), systems()).destinations["crm"].settings.model_dump()["region"] == "eu"


def test_lines_of_the_file_that_cannot_be_read_are_told_without_their_text(tmp_path: Path) -> None:
    write(tmp_path, {".env": f"CRM_KEY=x\n{SECRET} oops\nA='{SECRET}\n"})

    found = problems(tmp_path)

    assert said(found) == [(".env:2", "bad-env-file"), (".env:3", "bad-env-file")]
    assert SECRET not in texts(found)


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    write(tmp_path, {".env": b"A=\xff\n"})

    assert said(problems(tmp_path)) == [(".env:1:3", "not-text")]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("connector.yml", "destinations: { crm: { type: ${SECRET} } }"),
        ("connector.yml", "destinations: { crm: { type: crm, region: ${SECRET}, key: k } }"),
        ("connector.yml", "destinations: { crm: { type: crm, region: eu, key: k, address: 'at ${SECRET}' } }"),
        ("connector.yml", "destinations: { crm: { type: crm, region: eu, key: k, limits: { a: ${SECRET} } } }"),
        ("connector.yml", "destinations: { crm: { type: crm, region: eu, key: k, retries: ${SECRET} } }"),
        ("connector.yml", "destinations: ${SECRET}"),
        ("connector.yml", "sources: { w: ${SECRET} }"),
        ("models/accounts.sql", "/* { source: '${SECRET}', primary_key: a } */ select 1"),
        ("models/accounts.sql", "/* { source: warehouse, primary_key: [a, '${SECRET}', '${SECRET}'] } */ select 1"),
        ("sync_configs/accounts.yml", "model: ${SECRET}\ndestination: x${SECRET}"),
        ("sync_configs/accounts.yml", "object: ${SECRET}"),
        ("sync_configs/accounts.yml", "object: account\nmode: ${SECRET}\non_removed: ${SECRET}"),
        ("sync_configs/accounts.yml", "object: account\nbatch: { rows: ${SECRET} }"),
        ("sync_configs/accounts.yml", "object: account\nfields: { custom: { a: { sql: '${SECRET} oops (' } } }"),
        ("sync_configs/accounts.yml", "object: account\nfields: { custom: { a: { type: '${SECRET}' } } }"),
        ("sync_configs/accounts.yml", "object: account\nschedule: { cron: '${SECRET}' }"),
        ("sync_configs/accounts.yml", "object: account\nschedule: { cron: '${SECRET} * * * *' }"),
        ("sync_configs/accounts.yml", "object: account\nschedule: { cron: '@daily', timezone: '${SECRET}' }"),
        ("sync_configs/accounts.yml", "object: account\nschedule: { every: '${SECRET}' }"),
        (
            "sync_configs/accounts.yml",
            str(GOOD["sync_configs/accounts.yml"]).replace("plan: plan", "bad: { value: '${SECRET}' }"),
        ),
    ],
)
@pytest.mark.parametrize("secret", [SECRET, "qzx", "two\nlines", "it's \\ 'quoted'"])
def test_a_value_of_the_environment_is_never_shown(tmp_path: Path, file: str, text: str, secret: str) -> None:
    write(tmp_path, {file: text})

    with pytest.raises(ConfigErrors) as caught:
        loaded(tmp_path, ENVIRON | {"SECRET": secret})

    told = "\n".join(f"{p.message} {p.hint}" for p in caught.value.problems) + repr(caught.value) + str(caught.value)
    assert secret not in told
    assert repr(secret)[1:-1] not in told


def test_a_key_of_a_destination_is_not_in_what_a_project_shows(tmp_path: Path) -> None:
    assert ENVIRON["CRM_KEY"] not in repr(loaded(write(tmp_path)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the key hunter2-hunter2 is bad", "the key ${KEY} is bad"),
        ("hunter2-hunter2hunter2-hunter2", "${KEY}${KEY}"),
        ("us is not one of: us, us1, bus", "${REGION} is not one of: ${REGION}, us1, bus"),
        ("'a\\nb' is bad", "'${LINES}' is bad"),
        ("nothing of them", "nothing of them"),
    ],
)
def test_hidden_values_become_the_names_of_their_variables(text: str, shown: str) -> None:
    assert without(text, {SECRET: "KEY", "us": "REGION", "a\nb": "LINES"}) == shown


def test_a_short_value_is_hidden_only_in_what_others_say() -> None:
    findings = Findings()
    findings.hide("REGION", "us")
    findings.hide("EMPTY", "")
    findings.error("one of: us, eu", "ours", "a.yml:1:1", "us")
    findings.foreign("error", Problem("us is bad", "theirs", hint="not us"), "a.yml:2:1")

    with pytest.raises(ConfigErrors) as caught:
        findings.stop_if_any()

    assert [(p.message, p.hint) for p in caught.value.problems] == [
        ("one of: us, eu", "us"),
        ("${REGION} is bad", "not ${REGION}"),
    ]


def test_problems_come_in_the_order_of_the_files_and_once() -> None:
    findings = Findings()
    places = [
        "sync_configs/a.yml:10:1",
        "sync_configs/a.yml:9:2",
        "models/b.sql",
        ".env:3",
        "connector.yml:1:1",
        "elsewhere",
        "connector.yml:1:1",
    ]
    for place in places:
        findings.warning("odd", "odd", place)
    findings.stop_if_any()

    assert [p.at for p in findings.warnings()] == [
        "connector.yml:1:1",
        ".env:3",
        "models/b.sql",
        "sync_configs/a.yml:9:2",
        "sync_configs/a.yml:10:1",
        "elsewhere",
    ]


@pytest.mark.parametrize(
    ("at", "parts"),
    [("a.yml:3:4", ("a.yml", 3, 4)), (".env:3", (".env", 3, 0)), ("a.yml", ("a.yml", 0, 0)), ("", ("", 0, 0))],
)
def test_a_place_has_three_parts(at: str, parts: tuple[str, int, int]) -> None:
    assert split(at) == parts


def test_the_good_project_is_good(tmp_path: Path) -> None:
    assert set(GOOD) >= {sync.file for sync in loaded(write(tmp_path)).syncs.values()}
