"""A small world to read projects in: a few kinds of warehouse, one kind of destination, and a good project."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator

from connector.errors import ConfigError, ConfigErrors, Problem
from connector.project.load import Systems, load
from connector.project.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from connector.ports import DestinationSystem, SourceSystem
    from connector.project.definition import Definition

T = TypeVar("T")

GOOD: dict[str, str | bytes] = {
    "connector.yml": """\
sources:
  warehouse: { type: duckdb, path: warehouse.duckdb }
destinations:
  crm:
    type: crm
    region: eu
    key: ${CRM_KEY}
""",
    "models/accounts.sql": """\
/*
source: warehouse
primary_key: account_id
*/
select account_id, plan from accounts
""",
    "sync_configs/accounts.yml": """\
model: accounts
destination: crm
object: account
match: account_id
fields:
  custom:
    plan: plan
""",
    "sync_configs/upgrades.yml": """\
model: accounts
destination: crm
object: track_event
event: { value: Upgraded }
visitor_id: account_id
account_id: account_id
""",
}

ENVIRON = {"CRM_KEY": "key-of-the-crm"}


class Warehouse(Settings):
    path: str
    threads: int = Field(1, ge=1, le=8, description="how many threads read")


class Database(Settings):
    type: Literal["postgres", "sqlalchemy"]
    url: SecretStr
    strict: bool = False


class Retries(Settings):
    times: int = 3
    waits: list[float] = Field(default_factory=list)


class Crm(Settings):
    region: Literal["us", "eu"] = Field(description="where the account lives")
    key: SecretStr
    address: str | None = None
    retries: Retries | None = None
    limits: dict[str, int] = Field(default_factory=dict)

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value.startswith("http"):
            msg = f"is not an address: {value}"
            raise ValueError(msg)
        return value


class Source:
    """A kind of warehouse that only has settings."""

    def __init__(self, model: type[BaseModel] | Exception) -> None:
        self._model = model

    def settings(self) -> type[BaseModel]:
        if isinstance(self._model, Exception):
            raise self._model
        return self._model


class Destination:
    """A kind of destination with two opinions: a field called `bad` is an error, one called `odd` a warning."""

    def settings(self) -> type[BaseModel]:
        return Crm

    def problems(self, settings: Any, sync: Any, at: Callable[..., str]) -> Iterator[tuple[str, Problem]]:
        custom = sync.fields.custom if sync.object != "track_event" else {}
        for name, field in custom.items():
            if name == "bad":
                where = at("fields", "custom", name)
                yield "error", Problem(f"{field.value} is bad in {settings.region}", "bad-field", where)
            if name == "odd":
                yield "warning", Problem("this is odd", "odd-field")


class OnlyNamed(dict[str, Any]):
    """A registry that notes which of its systems were touched."""

    touched: set[str]

    def __getitem__(self, key: str) -> Any:
        self.__dict__.setdefault("touched", set()).add(key)
        return super().__getitem__(key)


def systems() -> Systems:
    no_driver = ConfigError("the driver of oracle is not installed", slug="no-driver", hint="pip install it")
    sources = {
        "duckdb": Source(Warehouse),
        "postgres": Source(Database),
        "sqlalchemy": Source(Database),
        "oracle": Source(no_driver),
    }
    return Systems(
        cast("Mapping[str, SourceSystem]", OnlyNamed(sources)),
        cast("Mapping[str, DestinationSystem]", OnlyNamed({"crm": Destination()})),
    )


def write(root: Path, changes: Mapping[str, str | bytes | None] | None = None) -> Path:
    """The root, after writing the good project there with some files changed or, with None, left out."""
    for file, text in {**GOOD, **(changes or {})}.items():
        if text is None:
            continue
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def loaded(root: Path, environ: Mapping[str, str] | None = None, state_dir: Path | None = None) -> Definition:
    return load(root, systems(), environ=ENVIRON if environ is None else environ, state_dir=state_dir)


def problems(root: Path, environ: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    """What is wrong with the project in `root`; nothing at all fails the test."""
    with pytest.raises(ConfigErrors) as caught:
        loaded(root, environ)

    assert caught.value.__context__ is None or not isinstance(caught.value.__context__, ValueError)
    return caught.value.problems


def aside(call: Callable[[], T]) -> T:
    """What the call returns, made in a thread of its own.

    Python ends the measuring of coverage in a thread that came to the end of its stack.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()


def said(found: tuple[Problem, ...]) -> list[tuple[str | None, str]]:
    """Place and slug of each problem."""
    return [(problem.at, problem.slug) for problem in found]


def texts(found: tuple[Problem, ...]) -> str:
    """Everything the problems say, one a line."""
    return "\n".join(str(problem) for problem in found)
