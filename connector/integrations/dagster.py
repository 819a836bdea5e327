"""Dagster: an asset a sync, its counts as metadata, what went wrong as asset checks.

defs = dg.Definitions(assets=syncs("/srv/pendo"))
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of what it decorates.
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg  # type: ignore[import-not-found]

from connector import load_project
from connector.actions.rows import Reason
from connector.errors import ConfigError, ConnectorError
from connector.integrations.child import CONNECTOR, ChildRun
from connector.integrations.ends import DELIVERED, FOR_GOOD, End
from connector.project.definition import Sync

RUN_ENDED = "run_ended"
WITHIN_GUARDRAILS = "within_guardrails"
ALL_ROWS_DELIVERED = "all_rows_delivered"
CHECKS = {
    RUN_ENDED: "the run came to its end",
    WITHIN_GUARDRAILS: "no guardrail held the run",
    ALL_ROWS_DELIVERED: "no row was rejected, is in doubt or is quarantined",
}
_SHOWN_REASONS = 20


OPTIONS = {
    "full_resync": dg.Field(bool, default_value=False, description="send every row again, also those unchanged"),
    "force": dg.Field(bool, default_value=False, description="go on past a guardrail, this once"),
    "row": dg.Field(dg.Noneable(str), default_value=None, description="only the row with this primary key"),
    "limit": dg.Field(dg.Noneable(int), default_value=None, description="send at most so many rows"),
}
"""The options of `connector run`, as the launchpad asks for them."""


def syncs(
    project: str | Path,
    names: Iterable[str] | None = None,
    *,
    fail_on_warning: bool = False,
    group_name: str = "pendo",
    key: Callable[[Sync], Any] | None = None,
    deps: Callable[[Sync], Iterable[Any]] | None = None,
    command: Sequence[str] = CONNECTOR,
) -> list[Any]:
    """An asset for each sync of the project in this folder, or for those named. Raises ConfigError.

    An asset's key is its destination and its name, and it stands behind its model (the one of dbt, by its name, or the
    source and the model) unless `key` and `deps` say otherwise. A run is a child process; `command` is how the
    connector is started where it is installed elsewhere.
    """
    with load_project(project) as loaded:
        chosen = [loaded.sync(name) for name in (loaded.syncs if names is None else names)]
    wanted = _Wanted(project, fail_on_warning, command)
    return [_asset(sync, wanted, group_name, key or key_of, deps or deps_of) for sync in chosen]


def key_of(sync: Sync) -> Any:
    """The key of a sync's asset: its destination and its name."""
    return dg.AssetKey([sync.destination.name, sync.name])


def deps_of(sync: Sync) -> list[Any]:
    """What a sync's asset stands behind: the dbt model by its name, as dagster-dbt has it, or the source and model."""
    by_dbt = not isinstance(sync.settings.model, str)
    return [dg.AssetKey([sync.model.name] if by_dbt else [sync.source.name, sync.model.name])]


class _Wanted:
    """How runs are made."""

    def __init__(self, project: str | Path, fail_on_warning: bool, command: Sequence[str]) -> None:
        self.project = project
        self.fail_on_warning = fail_on_warning
        self.command = command

    def run(self, context: Any, sync: str) -> End:
        """The end of a run. An interrupted step stops its run, which settles what it has sent."""
        asked = context.op_execution_context.op_config
        options = [f"--{name.replace('_', '-')}" for name in ("full_resync", "force") if asked[name]]
        options += [f"--{name}={asked[name]}" for name in ("row", "limit") if asked[name] is not None]
        say = context.log.info
        try:
            return ChildRun(self.project, sync, options=options, say=say, command=self.command).end()
        except ConnectorError as error:
            raise dg.Failure(str(error), allow_retries=not isinstance(error, ConfigError)) from error

    def reasons(self, run_id: str) -> list[Reason]:
        """Why rows of the run did not succeed."""
        with load_project(self.project, strict=False) as loaded:
            return loaded.reasons(run_id)


def _asset(
    sync: Sync, wanted: _Wanted, group_name: str, key: Callable[[Sync], Any], deps: Callable[[Sync], Iterable[Any]]
) -> Any:
    settings = sync.settings
    spec = dg.AssetSpec(
        key(sync),
        deps=list(deps(sync)),
        description=settings.description or sync.model.settings.description,
        group_name=group_name,
        kinds={sync.destination.type, sync.source.type},
        metadata={"model": sync.model.name, "object": settings.object, "destination": sync.destination.name},
    )
    checks = [dg.AssetCheckSpec(name, asset=spec.key, description=text) for name, text in CHECKS.items()]

    name = re.sub(r"\W", "_", sync.name)

    @dg.multi_asset(name=name, specs=[spec], check_specs=checks, config_schema=OPTIONS)  # type: ignore[untyped-decorator]
    def run(context: dg.AssetExecutionContext) -> Iterator[Any]:
        end = wanted.run(context, sync.name)
        metadata = {**end.counts, "run_id": str(end.result["run_id"]), "status": end.status, "exit_code": end.exit_code}
        yield from _check_results(end, wanted)
        if not end.is_good(fail_on_warning=wanted.fail_on_warning):
            raise dg.Failure(end.sentence, metadata=metadata, allow_retries=end.status not in FOR_GOOD)
        yield dg.MaterializeResult(spec.key, metadata=metadata)

    return run


def _check_results(end: End, wanted: _Wanted) -> Iterator[Any]:
    undelivered, said = end.undelivered, {"run": end.sentence}
    details: dict[str, Any] = {"rows": undelivered}
    if undelivered:
        details["reasons"] = dg.MetadataValue.md(_table(wanted.reasons(end.result["run_id"])))
    for name, passed, severity, metadata in (
        (RUN_ENDED, end.status in (*DELIVERED, "held"), dg.AssetCheckSeverity.ERROR, said),
        (WITHIN_GUARDRAILS, end.status != "held", dg.AssetCheckSeverity.ERROR, said),
        (ALL_ROWS_DELIVERED, not undelivered, dg.AssetCheckSeverity.WARN, details),
    ):
        yield dg.AssetCheckResult(check_name=name, passed=passed, severity=severity, metadata=metadata)


def _table(reasons: Sequence[Reason]) -> str:
    """The reasons as a table in Markdown, the most frequent first."""
    lines = ["| rows | outcome | reason | for example |", "|---|---|---|---|"]
    for reason in reasons[:_SHOWN_REASONS]:
        cells = (f"{reason.rows:,}", reason.outcome, reason.reason or "", ", ".join(reason.keys))
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines)
