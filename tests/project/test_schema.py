"""JSON Schema for editors: what the loader takes it takes, and what it would refuse it marks."""

from __future__ import annotations

import re
from typing import Any

import pytest

from connector.project.environment import Environment
from connector.project.findings import Findings
from connector.project.load import Systems
from connector.project.places import read_mapping
from connector.project.schema import json_schemas
from tests.project.tiny import GOOD, systems

jsonschema: Any = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict[str, Any]]:
    every = systems()
    without_oracle = {name: system for name, system in every.sources.items() if name != "oracle"}
    return json_schemas(Systems(without_oracle, every.destinations))


def as_an_editor_sees_it(text: str) -> Any:
    # An editor does not fill in ${NAME}; `$${` is how the loader is told not to.
    findings = Findings()
    document = read_mapping(text.replace("${", "$${"), "f.yml", Environment({}, findings), findings)
    assert document is not None
    return document.data


def fits(schema: dict[str, Any], text: str) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(as_an_editor_sees_it(text)))


SYNC = "model: m\ndestination: d\nobject: account\nmatch: a\n"
EVENT = "model: m\ndestination: d\nobject: track_event\nvisitor_id: v\n"
ENTRY = "destinations: { c: { type: crm, region: eu, key: k, %s } }\n"


@pytest.mark.parametrize("name", ["connector", "sync", "model"])
def test_each_schema_is_one_of_draft_2020_12(schemas: dict[str, dict[str, Any]], name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas[name])

    assert schemas[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schemas[name]["title"]
    assert not re.search(r"\n\n", str(schemas[name].get("description", "")))


def test_every_definition_is_referred_to_and_there(schemas: dict[str, dict[str, Any]]) -> None:
    for schema in schemas.values():
        assert set(re.findall(r"#/\$defs/(\w+)", repr(schema))) == set(schema["$defs"])


def test_every_key_of_a_sync_has_a_description_or_a_name_that_says_it(schemas: dict[str, dict[str, Any]]) -> None:
    properties = schemas["sync"]["$defs"]["ObjectSync"]["properties"]

    assert properties["match"]["description"] == "the model's column that holds the id in Pendo"
    assert schemas["model"]["properties"]["primary_key"]["description"] == "one column, or a list of columns"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("connector", GOOD["connector.yml"]),
        ("connector", "sources:\ndestinations:\nstate:\n"),
        ("connector", "state: { dir: x }\n"),
        ("connector", "sources: { w: { type: duckdb, path: '${P}', threads: '${N}' } }\n"),
        ("connector", "sources: { w: { type: postgres, url: '${P}', strict: '${S:-no}' } }\n"),
        ("connector", "sources: { w: { type: sqlalchemy, url: x, strict: no } }\n"),
        ("connector", ENTRY % "retries: { times: '${N}', waits: [1, '${W}'] }"),
        ("connector", ENTRY % "limits: { a: 1, b: '${B}' }"),
        ("connector", "destinations: { c: { type: crm, region: '${R}', key: k } }\n"),
        ("sync", GOOD["sync_configs/accounts.yml"]),
        ("sync", GOOD["sync_configs/upgrades.yml"]),
        ("sync", SYNC + "fields: { custom: { a: b, c: { column: d, type: list }, e: { value: [1] } } }\n"),
        ("sync", SYNC + "fields: { agent: { a: { sql: x, nulls: 'null', create: yes } } }\nsplit_retries: off\n"),
        ("sync", SYNC + "fields: {}\nschedule: { cron: '@daily' }\nguardrails: { max_removed: null }\n"),
        ("sync", SYNC + "fields: {}\nschedule: { every: '${EVERY}' }\nbatch: { rows: '${ROWS:-5}' }\n"),
        ("sync", SYNC + "fields: {}\non_removed: ${WHAT}\n"),
        ("sync", EVENT + "event: e\nproperties: { a: b, c: { column: d } }\ncontext: { ip: i }\n"),
        ("model", "source: w\nprimary_key: id\n"),
        ("model", "source: w\nprimary_key: [a, b]\ndescription: x\n"),
    ],
)
def test_each_legal_form_fits(schemas: dict[str, dict[str, Any]], name: str, text: str) -> None:
    jsonschema.Draft202012Validator(schemas[name]).validate(as_an_editor_sees_it(text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("connector", "source: {}\n"),
        ("connector", "sources: { w: { type: duckbd, path: x } }\n"),
        ("connector", "sources: { w: { path: x } }\n"),
        ("connector", "sources: { w: { type: duckdb, path: x, threads: 9 } }\n"),
        ("connector", "sources: { w: { type: duckdb, path: x, threads: many } }\n"),
        ("connector", "destinations: { c: { type: crm, region: ue, key: k } }\n"),
        ("connector", "destinations: { c: { type: crm, key: k } }\n"),
        ("sync", SYNC),
        ("sync", SYNC + "fields: { custom: { a: { column: b, value: c } } }\n"),
        ("sync", SYNC + "fields: { custom: { a: { type: string } } }\n"),
        ("sync", SYNC + "fields: { custom: { a: { column: b, tpye: string } } }\n"),
        ("sync", SYNC + "fields: { custom: { a: 5 } }\n"),
        ("sync", SYNC + "fields: {}\nevent: x\n"),
        ("sync", SYNC + "fields: {}\nsplit_retries: perhaps\n"),
        ("sync", SYNC + "fields: {}\nschedule: { every: often }\n"),
        ("sync", EVENT),
        ("sync", EVENT.replace("track_event", "visit") + "event: e\n"),
        ("model", "source: w\n"),
        ("model", "source: w\nprimary_key: []\n"),
        ("model", "source: w\nprimary_key: ''\n"),
    ],
)
def test_what_the_loader_refuses_does_not_fit(schemas: dict[str, dict[str, Any]], name: str, text: str) -> None:
    assert not fits(schemas[name], text)


def test_without_systems_no_entry_fits() -> None:
    schema = json_schemas(Systems({}, {}))["connector"]

    assert fits(schema, "sources: {}\n")
    assert not fits(schema, "sources: { a: { type: b } }\n")
