"""What a dbt command has built: which syncs may run after it, and why the others may not, from run_results.json.

Its schema is described at https://schemas.getdbt.com/dbt/run-results/v6.json (and v4, v5). A model whose own test
failed counts as not built: its rows are there, and dbt says that they are wrong.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from connector.errors import ConfigError
from connector.project.dbt import names_of
from connector.project.settings import DbtModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from connector.project.definition import Definition

VERSIONS = range(4, 7)  # dbt 1.2 and later
GOOD = ("success", "no-op", "reused")
"""How dbt says that a model is as it should be: built now, or found to be up to date."""

_VERSION = re.compile(r"/run-results/v(\d+)\.json")
_BAD_TEST = ("fail", "error", "runtime error")


def not_built(definition: Definition, results: Path, syncs: Iterable[str]) -> dict[str, str]:
    """Of these syncs, those whose model dbt has not built without error, and why.

    Raises ConfigError when the results, or the manifest that belongs to them, cannot be read.
    """
    statuses = _statuses(results)
    nodes = _nodes(definition)
    found = {}
    for name in syncs:
        why = _why_not(definition.syncs[name].settings.model, nodes, statuses)
        if why is not None:
            found[name] = why
    return found


def _why_not(model: str | DbtModel, nodes: Mapping[str, dict[str, Any]], statuses: Mapping[str, str]) -> str | None:
    if not isinstance(model, DbtModel):
        return f"its model '{model}' is a file of this project, and not one that dbt builds"
    ids = [key for key, node in nodes.items() if "package_name" in node and model.dbt in names_of(node)]
    status = next((statuses[key] for key in ids if key in statuses), None)
    if status is None:
        return f"dbt did not build '{model.dbt}' this time"
    if status not in GOOD:
        return f"dbt ended '{model.dbt}' with: {status}"
    for key, node in nodes.items():
        if node.get("attached_node") in ids and statuses.get(key) in _BAD_TEST:
            return f"the test '{node.get('name', key)}' of '{model.dbt}' ended with: {statuses[key]}"
    return None


def _statuses(path: Path) -> dict[str, str]:
    """How each model and test ended, by its unique id."""
    hint = "dbt build and dbt run write it: target/run_results.json"
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"dbt's results {path} cannot be read: {error.strerror}", slug="dbt-results-missing", hint=hint
        ) from None
    except ValueError:
        document = None
    found = document if isinstance(document, dict) else {}
    version = _VERSION.search(str((found.get("metadata") or {}).get("dbt_schema_version")))
    if version is None or int(version[1]) not in VERSIONS or not isinstance(found.get("results"), list):
        said = f"{path} does not hold the results of a dbt command"
        if version is not None and int(version[1]) not in VERSIONS:
            said = f"{path} is of version {version[1]}; versions {VERSIONS[0]} to {VERSIONS[-1]} can be read"
        raise ConfigError(said, slug="dbt-results-invalid", hint=hint)
    return {str(each.get("unique_id")): str(each.get("status")) for each in found["results"]}


def _nodes(definition: Definition) -> dict[str, dict[str, Any]]:
    """The models and tests of the manifest. It was read before, for each sync that takes its model from dbt."""
    path = definition.root / definition.manifest
    if not any(isinstance(sync.settings.model, DbtModel) for sync in definition.syncs.values()):
        return {}
    try:
        return dict(json.loads(path.read_bytes())["nodes"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"dbt's manifest {definition.manifest} cannot be read any more",
            slug="dbt-manifest-missing",
            hint="`dbt parse` writes it",
        ) from None
