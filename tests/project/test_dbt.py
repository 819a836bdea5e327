"""Models that dbt builds: found in the manifest, keyed by what dbt knows, refused with the reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from connector.errors import ConfigError, ConfigErrors
from connector.project.dbt_results import not_built
from connector.project.load import Systems, load
from connector.project.schema import json_schemas
from connector.project.settings import ModelSettings
from tests.project.tiny import ENVIRON, problems, said, systems, texts, write

if TYPE_CHECKING:
    from pathlib import Path

    from connector.errors import Problem
    from connector.project.definition import Definition

SYNC = "sync_configs/accounts.yml"


def node(name: str = "dim_accounts", package: str = "shop", **changes: Any) -> dict[str, Any]:
    """A model as dbt writes it down."""
    return {
        "unique_id": f"model.{package}.{name}",
        "resource_type": "model",
        "name": name,
        "package_name": package,
        "relation_name": f'"warehouse"."marts"."{name}"',
        "config": {"materialized": "table"},
        "columns": {},
        "description": "",
        "primary_key": ["account_id"],
        **changes,
    }


def manifest(*nodes: dict[str, Any], version: object = 12, adapter: str = "duckdb", **others: Any) -> str:
    return json.dumps(
        {
            "metadata": {
                "dbt_schema_version": f"https://schemas.getdbt.com/dbt/manifest/v{version}.json",
                "adapter_type": adapter,
            },
            "nodes": {each["unique_id"]: each for each in nodes},
            "disabled": {},
            **others,
        }
    )


def sync(model: str, plan: str = "plan") -> str:
    return f"""\
model: {model}
destination: crm
object: account
match: account_id
fields:
  custom:
    plan: {plan}
"""


def project(root: Path, text: str, model: str = "{ dbt: dim_accounts }", **others: str) -> Path:
    files = {"target/manifest.json": text, SYNC: sync(model), "sync_configs/upgrades.yml": None, **others}
    return write(root, files)


def loaded(root: Path) -> Definition:
    return load(root, systems(), environ=ENVIRON)


def problem_of(root: Path) -> Problem:
    found = problems(root)
    assert len(found) == 1, texts(found)
    return found[0]


@pytest.mark.parametrize("version", [10, 11, 12])
def test_a_model_of_dbt_is_a_relation_with_a_key_and_a_description(tmp_path: Path, version: int) -> None:
    text = manifest(node(description="One row an account"), version=version)
    definition = loaded(project(tmp_path, text))
    model = definition.syncs["accounts"].model

    assert (model.name, model.file) == ("dim_accounts", "target/manifest.json")
    assert model.sql == 'select * from "warehouse"."marts"."dim_accounts"'
    assert model.settings == ModelSettings(
        source="warehouse", primary_key=("account_id",), description="One row an account"
    )
    assert definition.syncs["accounts"].source.name == "warehouse"
    assert definition.models["dim_accounts"] is model


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"primary_key": ["a", "b"]}, ("a", "b")),
        ({"constraints": [{"type": "check"}, {"type": "primary_key", "columns": ["a", "b"]}]}, ("a", "b")),
        (
            {
                "columns": {
                    "a": {"name": "a", "constraints": [{"type": "primary_key"}]},
                    "b": {"name": "b", "constraints": [{"type": "not_null"}]},
                }
            },
            ("a",),
        ),
        ({"primary_key": None, "config": {"unique_key": "a"}}, ("a",)),
        ({"primary_key": [], "config": {"unique_key": ["a", "b"]}}, ("a", "b")),
    ],
)
def test_the_key_is_what_dbt_says(tmp_path: Path, changes: dict[str, Any], key: tuple[str, ...]) -> None:
    definition = loaded(project(tmp_path, manifest(node(**changes))))

    assert definition.syncs["accounts"].model.settings.primary_key == key


@pytest.mark.parametrize(
    ("test", "key"),
    [
        ({"column_name": "a", "test_metadata": {"name": "unique", "kwargs": {}}}, ("a",)),
        (
            {
                "test_metadata": {
                    "name": "unique_combination_of_columns",
                    "kwargs": {"combination_of_columns": ["a", "b"]},
                }
            },
            ("a", "b"),
        ),
    ],
)
def test_the_key_may_be_what_a_test_checks(tmp_path: Path, test: dict[str, Any], key: tuple[str, ...]) -> None:
    tests = [
        {"unique_id": "test.1", "resource_type": "test", "attached_node": "model.shop.other", "column_name": "x"},
        {"unique_id": "test.2", "resource_type": "test", "attached_node": "model.shop.dim_accounts"},
        {"unique_id": "test.3", "resource_type": "test", "attached_node": "model.shop.dim_accounts", **test},
    ]
    # An expression is not a column.
    model = node(primary_key=None, config={"unique_key": "a || b"})
    definition = loaded(project(tmp_path, manifest(model, *tests)))

    assert definition.syncs["accounts"].model.settings.primary_key == key


@pytest.mark.parametrize(
    ("written", "key"),
    [("{ dbt: dim_accounts, primary_key: x }", ("x",)), ("{ dbt: dim_accounts, primary_key: [x, y] }", ("x", "y"))],
)
def test_the_sync_may_say_the_key(tmp_path: Path, written: str, key: tuple[str, ...]) -> None:
    definition = loaded(project(tmp_path, manifest(node(primary_key=None)), written))

    assert definition.syncs["accounts"].model.settings.primary_key == key


@pytest.mark.parametrize(
    ("name", "relation"),
    [
        ("dim_accounts.v1", "one"),
        ("dim_accounts.v2", "two"),
        ("dim_accounts", "two"),
        ("shop.dim_accounts.v1", "one"),
        ("base.plans", "three"),
        ("rates", "four"),
    ],
)
def test_a_model_is_named_by_package_and_version_where_needed(tmp_path: Path, name: str, relation: str) -> None:
    text = manifest(
        node(unique_id="1", version=1, latest_version=2, relation_name="one"),
        node(unique_id="2", version=2, latest_version=2, relation_name="two"),
        node("plans", "base", relation_name="three"),
        node("plans", "shop", relation_name="five"),
        node("rates", resource_type="seed", relation_name="four"),
    )
    definition = loaded(project(tmp_path, text, f"{{ dbt: {name} }}"))

    assert definition.syncs["accounts"].model.sql == f"select * from {relation}"


def test_the_manifest_may_lie_elsewhere_and_in_another_source(tmp_path: Path) -> None:
    connector = """\
sources:
  warehouse: { type: duckdb, path: warehouse.duckdb }
  pg: { type: postgres, url: postgresql://h/d }
dbt: { manifest: ../shop/manifest.json, source: pg }
destinations: { crm: { type: crm, region: eu, key: ${CRM_KEY} } }
"""
    root = tmp_path / "project"
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/manifest.json").write_text(manifest(node()))
    write(root, {"connector.yml": connector, SYNC: sync("{ dbt: dim_accounts }"), "sync_configs/upgrades.yml": None})

    assert loaded(root).syncs["accounts"].source.name == "pg"


TWO = """\
sources:
  warehouse: { type: duckdb, path: warehouse.duckdb }
  pg: { type: postgres, url: postgresql://h/d }
destinations: { crm: { type: crm, region: eu, key: ${CRM_KEY} } }
"""


@pytest.mark.parametrize(
    ("adapter", "model", "source"),
    [
        ("postgres", "{ dbt: dim_accounts }", "pg"),
        ("duckdb", "{ dbt: dim_accounts }", "warehouse"),
        ("snowflake", "{ dbt: dim_accounts, source: warehouse }", "warehouse"),
    ],
)
def test_the_source_is_the_one_of_dbts_kind(tmp_path: Path, adapter: str, model: str, source: str) -> None:
    root = project(tmp_path, manifest(node(), adapter=adapter), model, **{"connector.yml": TWO})

    assert loaded(root).syncs["accounts"].source.name == source


@pytest.mark.parametrize(
    ("text", "model", "slug", "message", "advice"),
    [
        ("", "{ dbt: dim_accounts }", "dbt-manifest-invalid", "is not a manifest of dbt", "`dbt parse` makes one"),
        ("[]", "{ dbt: dim_accounts }", "dbt-manifest-invalid", "is not a manifest of dbt", None),
        ('{"metadata": {}}', "{ dbt: dim_accounts }", "dbt-manifest-invalid", "is not a manifest of dbt", None),
        (manifest(version=9), "{ dbt: dim_accounts }", "dbt-manifest-version", "of version 9", "versions 10 to 12"),
        (manifest(version=13), "{ dbt: dim_accounts }", "dbt-manifest-version", "of version 13", None),
        (
            manifest(node()),
            "{ dbt: dim_acounts }",
            "dbt-model-unknown",
            "no model 'dim_acounts'",
            "did you mean 'dim_acc",
        ),
        (manifest(), "{ dbt: dim_accounts }", "dbt-model-unknown", "no model", "the manifest has no models"),
        (
            manifest(disabled={"model.shop.dim_accounts": [node()]}),
            "{ dbt: dim_accounts }",
            "dbt-model-unknown",
            "'dim_accounts' is disabled in dbt",
            None,
        ),
        (
            manifest(node(), node(package="base")),
            "{ dbt: dim_accounts }",
            "dbt-model-ambiguous",
            "several packages have a dbt model 'dim_accounts'",
            "base.dim_accounts or shop.dim_accounts",
        ),
        (
            manifest(node(relation_name=None, config={"materialized": "ephemeral"})),
            "{ dbt: dim_accounts }",
            "dbt-no-relation",
            "it is ephemeral",
            "materialize it",
        ),
        (manifest(node(primary_key=None)), "{ dbt: dim_accounts }", "dbt-no-key", "unique", "primary_key: ... }"),
        (
            manifest(node(primary_key=None, resource_type="snapshot", config={"unique_key": "a"})),
            "{ dbt: dim_accounts }",
            "dbt-no-key",
            "unique",
            None,
        ),
    ],
)
def test_a_model_that_cannot_be_had_says_why(
    tmp_path: Path, text: str, model: str, slug: str, message: str, advice: str | None
) -> None:
    problem = problem_of(project(tmp_path, text, model))

    assert (problem.at, problem.slug) == (f"{SYNC}:1:15", slug)
    assert message in problem.message
    assert (advice or "") in (problem.hint or "")


def test_a_manifest_that_is_not_there_says_who_writes_it(tmp_path: Path) -> None:
    root = project(tmp_path, "{}")
    (root / "target/manifest.json").unlink()
    problem = problem_of(root)

    assert problem.slug == "dbt-manifest-missing"
    assert problem.message == "dbt's manifest target/manifest.json cannot be read: No such file or directory"
    assert "`dbt parse` writes it" in str(problem.hint)


@pytest.mark.parametrize(
    ("connector", "model", "place", "slug", "message"),
    [
        (TWO, "{ dbt: dim_accounts }", "1:15", "dbt-no-source", "not clear which source"),
        (TWO, "{ dbt: dim_accounts, source: snow }", "1:37", "unknown-source", "no source 'snow'"),
        (TWO + "dbt: { source: snow }\n", "{ dbt: dim_accounts }", "1:15", "unknown-source", "no source 'snow'"),
    ],
)
def test_a_source_that_is_not_clear_is_asked_for(
    tmp_path: Path, connector: str, model: str, place: str, slug: str, message: str
) -> None:
    root = project(tmp_path, manifest(node(), adapter="snowflake"), model, **{"connector.yml": connector})
    problem = problem_of(root)

    assert (problem.at, problem.slug) == (f"{SYNC}:{place}", slug)
    assert message in problem.message


def test_a_contract_tells_a_missing_column_without_the_warehouse(tmp_path: Path) -> None:
    columns = {name: {"name": name} for name in ("ACCOUNT_ID", "plan_name")}
    contract = {"materialized": "table", "contract": {"enforced": True}}
    problem = problem_of(project(tmp_path, manifest(node(columns=columns, config=contract))))

    assert (problem.at, problem.slug) == (f"{SYNC}:7:11", "unknown-column")
    assert problem.message == "the dbt model 'dim_accounts' has no column 'plan'"
    assert str(problem.hint).startswith("did you mean 'plan_name'? columns: ACCOUNT_ID, plan_name")


@pytest.mark.parametrize("contract", [None, {"enforced": False}])
def test_without_a_contract_the_list_of_columns_may_be_incomplete(tmp_path: Path, contract: Any) -> None:
    columns = {"account_id": {"name": "account_id"}}
    model = node(columns=columns, config={"materialized": "table", "contract": contract})

    assert set(loaded(project(tmp_path, manifest(model))).syncs) == {"accounts"}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("{ dbt: dim_accounts, sorce: x }", [("1:29", "unknown-key")]),
        ("{ source: warehouse }", [("1:8", "missing-key")]),
        ("{ dbt: '' }", [("1:15", "wrong-value")]),
        ("{ dbt: dim_accounts, primary_key: [] }", [("1:42", "wrong-value")]),
        ("5", [("1:8", "wrong-type")]),
    ],
)
def test_a_mistake_in_the_model_has_its_place(tmp_path: Path, model: str, expected: list[tuple[str, str]]) -> None:
    with pytest.raises(ConfigErrors) as caught:
        loaded(project(tmp_path, manifest(node()), model))

    assert said(caught.value.problems) == [(f"{SYNC}:{place}", slug) for place, slug in expected], str(caught.value)


def test_a_broken_connector_yml_is_the_only_thing_said(tmp_path: Path) -> None:
    root = project(tmp_path, manifest(node()), **{"connector.yml": "sources: [\n"})

    assert {problem.at.split(":")[0] for problem in problems(root) if problem.at} == {"connector.yml"}


@pytest.mark.parametrize(
    ("model", "fits"),
    [
        ("dim_accounts", True),
        ({"dbt": "dim_accounts"}, True),
        ({"dbt": "dim_accounts", "source": "pg", "primary_key": "a"}, True),
        ({"dbt": "dim_accounts", "primary_key": ["a", "b"]}, True),
        ({"dbt": "dim_accounts", "sorce": "pg"}, False),
        ({"source": "pg"}, False),
    ],
)
def test_an_editor_is_told_the_same(model: object, fits: bool) -> None:
    jsonschema: Any = pytest.importorskip("jsonschema")
    every = systems()
    sources = {name: system for name, system in every.sources.items() if name != "oracle"}
    schemas = json_schemas(Systems(sources, every.destinations))
    document = {
        "model": model,
        "destination": "crm",
        "object": "account",
        "match": "a",
        "fields": {"custom": {"p": "p"}},
    }

    assert jsonschema.Draft202012Validator(schemas["sync"]).is_valid(document) is fits
    assert jsonschema.Draft202012Validator(schemas["connector"]).is_valid({"dbt": None})
    assert jsonschema.Draft202012Validator(schemas["connector"]).is_valid({"dbt": {"manifest": "m.json"}})


# --- after a build ----------------------------------------------------------------------------------------------------


def results(version: object = 6, **statuses: str) -> str:
    """What a dbt command writes about how its nodes ended; `__` stands for a dot."""
    return json.dumps(
        {
            "metadata": {"dbt_schema_version": f"https://schemas.getdbt.com/dbt/run-results/v{version}.json"},
            "results": [{"unique_id": name.replace("__", "."), "status": status} for name, status in statuses.items()],
        }
    )


def hanging_test(name: str, model: str) -> dict[str, Any]:
    """A test that hangs on a model."""
    unique_id = f"test.shop.{name}"
    return {"unique_id": unique_id, "resource_type": "test", "name": name, "attached_node": model}


ACCOUNTS = "model__shop__dim_accounts"


@pytest.mark.parametrize(
    ("statuses", "why"),
    [
        ({ACCOUNTS: "success"}, None),
        ({ACCOUNTS: "success", "test__shop__unique_id": "pass"}, None),
        ({ACCOUNTS: "success", "test__shop__unique_id": "warn"}, None),
        ({ACCOUNTS: "error"}, "dbt ended 'dim_accounts' with: error"),
        ({ACCOUNTS: "skipped"}, "dbt ended 'dim_accounts' with: skipped"),
        ({"model__shop__other": "success"}, "dbt did not build 'dim_accounts' this time"),
        (
            {ACCOUNTS: "success", "test__shop__unique_id": "fail"},
            "the test 'unique_id' of 'dim_accounts' ended with: fail",
        ),
    ],
)
def test_a_sync_may_run_when_its_model_was_built(tmp_path: Path, statuses: dict[str, str], why: str | None) -> None:
    text = manifest(node(), node("other"), hanging_test("unique_id", "model.shop.dim_accounts"))
    definition = loaded(project(tmp_path, text))
    path = tmp_path / "target/run_results.json"
    path.write_text(results(**statuses), encoding="utf-8")

    assert not_built(definition, path, ["accounts"]) == ({} if why is None else {"accounts": why})


def test_a_model_of_this_project_is_not_built_by_dbt(tmp_path: Path) -> None:
    definition = loaded(write(tmp_path))
    path = tmp_path / "run_results.json"
    path.write_text(results(model__shop__accounts="success"), encoding="utf-8")
    found = not_built(definition, path, ["accounts", "upgrades"])

    assert set(found) == {"accounts", "upgrades"}
    assert found["accounts"] == "its model 'accounts' is a file of this project, and not one that dbt builds"


@pytest.mark.parametrize(
    ("text", "slug", "words"),
    [
        (None, "dbt-results-missing", "cannot be read"),
        ("{", "dbt-results-invalid", "does not hold the results"),
        ("[]", "dbt-results-invalid", "does not hold the results"),
        (results(version=99), "dbt-results-invalid", "is of version 99; versions 4 to 6 can be read"),
        (manifest(node()), "dbt-results-invalid", "does not hold the results"),
    ],
)
def test_results_that_are_none_are_refused(tmp_path: Path, text: str | None, slug: str, words: str) -> None:
    definition = loaded(project(tmp_path, manifest(node())))
    path = tmp_path / "run_results.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words) as caught:
        not_built(definition, path, ["accounts"])

    assert caught.value.problem.slug == slug
