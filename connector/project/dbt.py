"""Models that dbt builds: where their rows lie and what makes a row the same row, from dbt's manifest.json.

The manifest is plain JSON that every dbt command writes; dbt itself is not needed. Its schema is described at
https://schemas.getdbt.com/dbt/manifest/v12.json (and v10, v11).
"""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from connector.project.definition import Model
from connector.project.names import hint
from connector.project.settings import ModelSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from connector.project.definition import Places, SourceEntry
    from connector.project.findings import Findings
    from connector.project.reading import Known
    from connector.project.settings import DbtModel, DbtSettings

VERSIONS = range(10, 13)  # dbt 1.6 and later
KINDS = ("model", "snapshot", "seed")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_VERSION = re.compile(r"/manifest/v(\d+)\.json")

Node = dict[str, Any]


class _Fault(Exception):
    """Why there is no such model; `key` is the one of the sync's `model:` that is to blame."""

    def __init__(self, message: str, slug: str, key: str = "dbt", advice: str | None = None) -> None:
        super().__init__(message)
        self.message, self.slug, self.key, self.advice = message, slug, key, advice


class DbtReader:
    """Reads the models that a project's syncs take from dbt. The manifest is read when it is first asked for."""

    def __init__(self, root: Path, settings: DbtSettings, sources: Known[SourceEntry], findings: Findings) -> None:
        """Look the models up in the manifest that `settings` name, and their source in `sources`."""
        self._file = settings.manifest
        self._path = root / settings.manifest
        self._source_name = settings.source
        self._sources = sources
        self._findings = findings
        self.models: dict[str, Model] = {}

    def read(self, wanted: DbtModel, places: Places) -> Model | None:
        """The model, or None when something is wrong with it; what, has been noted at its place in the sync."""
        try:
            model = self._model(wanted, places)
        except _Fault as fault:
            at = places.at("model", fault.key)
            self._findings.error(fault.message, fault.slug, at, fault.advice)
            return None
        if model is not None:
            self.models[model.name] = model
        return model

    def columns(self, wanted: DbtModel) -> tuple[str, ...] | None:
        """The model's columns where dbt enforces a contract on them; None where the list may be incomplete."""
        node = self._node(wanted.dbt)
        enforced = (node.get("config") or {}).get("contract") or {}
        return tuple(_columns(node)) if enforced.get("enforced") else None

    def _model(self, wanted: DbtModel, places: Places) -> Model | None:
        node = self._node(wanted.dbt)
        relation = node.get("relation_name")
        if not relation:
            kind = (node.get("config") or {}).get("materialized") or "unknown"
            raise _Fault(
                f"dbt builds no table or view for '{wanted.dbt}': it is {kind}",
                "dbt-no-relation",
                advice="materialize it as a table, a view or incremental",
            )
        source = self._source(wanted)
        if source is None:
            return None
        settings = ModelSettings(
            source=source.name,
            primary_key=wanted.primary_key or self._key(node),
            description=node.get("description") or None,
        )
        return Model(wanted.dbt, self._file, f"select * from {relation}", settings, places)

    # --- the manifest ------------------------------------------------------------------------------------------------

    @cached_property
    def _manifest(self) -> Mapping[str, Any]:
        try:
            manifest = json.loads(self._path.read_bytes())
        except OSError as error:
            raise _Fault(
                f"dbt's manifest {self._file} cannot be read: {error.strerror}",
                "dbt-manifest-missing",
                advice="`dbt parse` writes it; `dbt: { manifest: ... }` in connector.yml says where it is",
            ) from None
        except ValueError:
            manifest = None
        version = _VERSION.search(str(_inside(manifest, "metadata", "dbt_schema_version")))
        if not isinstance(manifest, dict) or version is None or not isinstance(manifest.get("nodes"), dict):
            raise _Fault(
                f"{self._file} is not a manifest of dbt", "dbt-manifest-invalid", advice="`dbt parse` makes one"
            )
        if int(version[1]) not in VERSIONS:
            raise _Fault(
                f"{self._file} is a manifest of version {version[1]}",
                "dbt-manifest-version",
                advice=f"versions {VERSIONS[0]} to {VERSIONS[-1]} can be read: dbt 1.6 and later",
            )
        return manifest

    def _node(self, name: str) -> Node:
        """The node of that name: `name`, `package.name`, and with `.v2` behind it one version of a model."""
        nodes = {key: node for key, node in self._manifest["nodes"].items() if node.get("resource_type") in KINDS}
        found = [node for node in nodes.values() if name in names_of(node)]
        if len(found) == 1:
            return dict(found[0])
        if found:
            full = sorted(f"{node['package_name']}.{node['name']}" for node in found)
            raise _Fault(f"several packages have a dbt model '{name}'", "dbt-model-ambiguous", advice=" or ".join(full))
        if any(name == node.get("name") for each in self._manifest.get("disabled", {}).values() for node in each):
            raise _Fault(f"the dbt model '{name}' is disabled in dbt", "dbt-model-unknown")
        known = sorted({node["name"] for node in nodes.values()})
        advice = hint(name, known, "models") or "the manifest has no models"
        raise _Fault(f"dbt's manifest {self._file} has no model '{name}'", "dbt-model-unknown", advice=advice)

    def _source(self, wanted: DbtModel) -> SourceEntry | None:
        """The source that holds what dbt builds; None when that source has a problem of its own."""
        name, known = wanted.source or self._source_name, self._sources.names
        if known is None:
            return None
        if name is None:
            adapter = _inside(self._manifest, "metadata", "adapter_type")
            alike = [entry for entry in self._sources.good.values() if entry.type == adapter]
            fitting = list(known) if len(known) == 1 else [entry.name for entry in alike]
            if len(fitting) != 1:
                advice = hint(None, known, "`dbt: { source: ... }` in connector.yml, one of") or "it names no source"
                raise _Fault("it is not clear which source holds dbt's tables", "dbt-no-source", advice=advice)
            name = fitting[0]
        if name not in known:
            key = "source" if wanted.source else "dbt"
            raise _Fault(
                f"there is no source '{name}' in connector.yml", "unknown-source", key, hint(name, known, "sources")
            )
        return self._sources.good.get(name)

    def _key(self, node: Node) -> tuple[str, ...]:
        """The primary key: constraints, dbt's own answer, the key of an incremental model, tests of uniqueness."""
        config = node.get("config") or {}
        # A snapshot has several rows with one unique_key: one for each time.
        incremental = _as_tuple(config.get("unique_key")) if node["resource_type"] == "model" else ()
        named = (_constrained(node), tuple(node.get("primary_key") or ()), incremental, self._tested(node))
        for key in named:
            if key and all(_COLUMN.fullmatch(column) for column in key):
                return key
        raise _Fault(
            f"nothing in dbt says what makes a row of '{node['name']}' unique",
            "dbt-no-key",
            advice="model: { dbt: ..., primary_key: ... }; or a primary_key constraint or a unique test in dbt",
        )

    def _tested(self, node: Node) -> tuple[str, ...]:
        for test in self._manifest["nodes"].values():
            about = test.get("test_metadata") or {}
            if test.get("attached_node") != node.get("unique_id"):
                continue
            if about.get("name") == "unique" and test.get("column_name"):
                return (test["column_name"],)
            if about.get("name") == "unique_combination_of_columns":
                return _as_tuple(_inside(about, "kwargs", "combination_of_columns"))
        return ()


def names_of(node: Node) -> set[str]:
    """How the model may be named; without a version, the latest one is meant."""
    name, version = node["name"], node.get("version")
    names = {f"{name}.v{version}"} if version is not None else {name}
    if version is not None and str(version) == str(node.get("latest_version")):
        names.add(name)
    return {form for each in names for form in (each, f"{node['package_name']}.{each}")}


def _constrained(node: Node) -> tuple[str, ...]:
    for constraint in node.get("constraints") or ():
        if constraint.get("type") == "primary_key":
            return tuple(constraint.get("columns") or ())
    columns = (node.get("columns") or {}).values()
    return tuple(
        column["name"]
        for column in columns
        if any(constraint.get("type") == "primary_key" for constraint in column.get("constraints") or ())
    )


def _columns(node: Node) -> list[str]:
    return [column["name"] for column in (node.get("columns") or {}).values()]


def _as_tuple(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) and all(isinstance(each, str) for each in value) else ()


def _inside(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
