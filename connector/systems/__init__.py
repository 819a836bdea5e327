"""The one registry: each outside system by its `type:` in connector.yml. To add a system is to add a line here.

A system is a module (or a folder) that has what `ports.SourceSystem` or `ports.DestinationSystem` asks for, with
`Settings` for the model of its entry. It is imported when it is first used: nobody waits for a driver of a warehouse
that the project does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    from pydantic import BaseModel

    from connector.errors import Problem
    from connector.ports import (
        Connection,
        Destination,
        DestinationSystem,
        Loader,
        Reply,
        Request,
        Source,
        SourceSystem,
        ValueType,
        WarehouseSnapshot,
    )


@dataclass(frozen=True, slots=True)
class _LazySource:
    module: str

    def settings(self) -> type[BaseModel]:
        return cast("type[BaseModel]", _load(self.module).Settings)

    def open(self, settings: BaseModel, root: Path) -> Source:
        return cast("Source", _load(self.module).open(settings, root))

    def loader(self, settings: BaseModel, root: Path, schema: str) -> Loader:
        return cast("Loader", _load(f"{self.module}_loading").open(settings, root, schema))

    def snapshot(self, settings: BaseModel, root: Path, sync: str) -> WarehouseSnapshot:
        return cast("WarehouseSnapshot", _load(f"{self.module}_snapshots").open(settings, root, sync))


@dataclass(frozen=True, slots=True)
class _LazyDestination:
    module: str

    def settings(self) -> type[BaseModel]:
        return cast("type[BaseModel]", _load(self.module).Settings)

    def problems(self, settings: BaseModel, sync: BaseModel, at: Callable[..., str]) -> list[tuple[str, Problem]]:
        return cast("list[tuple[str, Problem]]", _load(self.module).problems(settings, sync, at))

    def open(
        self,
        settings: BaseModel,
        sync: BaseModel,
        *,
        at: Callable[..., str],
        learned: Mapping[str, str],
        types: Mapping[str, ValueType] = MappingProxyType({}),
    ) -> Destination:
        return cast("Destination", _load(self.module).open(settings, sync, at=at, learned=learned, types=types))

    def connect(self, settings: BaseModel) -> Connection:
        return cast("Connection", _load(self.module).connect(settings))

    def addresses(self, settings: BaseModel) -> tuple[str, ...]:
        return cast("tuple[str, ...]", _load(self.module).addresses(settings))

    def in_sandbox(self, settings: BaseModel, url: str) -> BaseModel:
        return cast("BaseModel", _load(self.module).in_sandbox(settings, url))

    def check(self, settings: BaseModel) -> Generator[Request, Reply, str]:
        return cast("Generator[Request, Reply, str]", _load(self.module).check(settings))


def _load(module: str) -> Any:
    return import_module(module)


SOURCES: Mapping[str, SourceSystem] = MappingProxyType(
    {
        "duckdb": _LazySource("connector.systems.warehouse.duckdb"),
        "snowflake": _LazySource("connector.systems.warehouse.snowflake"),
        "postgres": _LazySource("connector.systems.warehouse.postgres"),
        "sqlalchemy": _LazySource("connector.systems.warehouse.sqlalchemy"),
    }
)

DESTINATIONS: Mapping[str, DestinationSystem] = MappingProxyType(
    {
        "pendo": _LazyDestination("connector.systems.pendo"),
    }
)
