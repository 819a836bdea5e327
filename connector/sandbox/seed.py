"""What a sandbox starts with: `sandbox.yml` beside connector.yml, or the same as a dictionary."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, Field, model_validator

from connector.errors import ConfigError
from connector.project.definition import Places
from connector.project.environment import Environment
from connector.project.findings import Findings
from connector.project.places import Document, read_mapping
from connector.project.settings import Settings
from connector.project.validation import validate
from connector.sandbox.faults import Fault
from connector.sandbox.fieldtypes import NAME
from connector.sandbox.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

M = TypeVar("M", bound=BaseModel)

Kind = Literal["visitor", "account", "parent_account"]
FieldTypeName = Literal["string", "integer", "float", "boolean", "time", "list", ""]

WIRE_KINDS = {
    **dict.fromkeys(("visitor", "visitors"), "visitor"),
    **dict.fromkeys(("account", "accounts"), "account"),
    **dict.fromkeys(("parent_account", "parent_accounts", "parentAccount"), "parentAccount"),
}
"""How users call the kinds, and how Pendo does."""


class SeedObject(Settings):
    """One object. A bare text is an id."""

    id: str = Field(min_length=1, description="the object's id; put numbers in quotes")
    metadata: dict[str, dict[str, Any]] = Field(default_factory=dict, description="values by group, then by field")
    do_not_process: bool = Field(False, description="whether Pendo ignores what comes for it")

    @model_validator(mode="before")
    @classmethod
    def _bare_text_is_an_id(cls, data: Any) -> Any:
        return {"id": data} if isinstance(data, str) else data


class Seed(Settings):
    """Everything that `sandbox.yml` may say."""

    visitors: list[SeedObject] = Field(default_factory=list, description="visitors that exist")
    accounts: list[SeedObject] = Field(default_factory=list, description="accounts that exist")
    parent_accounts: list[SeedObject] = Field(default_factory=list, description="parent accounts that exist")
    fields: dict[Kind, dict[Literal["agent", "custom"], dict[str, FieldTypeName]]] = Field(
        default_factory=dict, description="fields by kind and group, each with its type; an empty type is not set"
    )
    failing_ids: dict[Literal["visitor", "account", "parent_account", "track_event"], dict[str, str]] = Field(
        default_factory=dict,
        description="ids that are refused, with the reason: an entry of `errors`; for a track_event, a 400",
    )
    switches: dict[str, Any] = Field(default_factory=dict, description="unknown behaviours of Pendo; see the table")
    faults: list[Fault] = Field(default_factory=list, description="faults on purpose")
    integration_key: str | None = Field(None, min_length=1, description="the key for /api/v1", repr=False)
    track_event_secret: str | None = Field(None, min_length=1, description="the secret for /data/track", repr=False)
    write_access: bool | None = Field(None, description="whether the key may write")

    def objects(self) -> dict[str, list[SeedObject]]:
        """The objects by Pendo's name of their kind."""
        return {"visitor": self.visitors, "account": self.accounts, "parentAccount": self.parent_accounts}


def read_seed(path: Path) -> Seed:
    """What the file says, `${NAME}` read from the environment. Raises ConfigError with every problem and its place."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}", slug="unreadable-seed", at=str(path)) from None
    findings = Findings()
    document = read_mapping(text, str(path), Environment(os.environ, findings), findings)
    return _seed(document, findings)


def seed_of(written: Mapping[str, Any]) -> Seed:
    """What the dictionary says. Raises ConfigError with every problem."""
    return _seed(_document(written, "seed"), Findings())


def checked(model: type[M], written: object, name: str) -> M:
    """The model that someone wrote as JSON or Python. Raises ConfigError with every problem; `name` says of what."""
    findings = Findings()
    found = validate(model, _document(written, name), findings)
    findings.stop_if_any()
    if found is None:  # pragma: no cover - then there was a problem
        raise ConfigError(f"{name} cannot be read", slug="wrong-type")
    return found


def wire_kind(name: str) -> str:
    """Pendo's name of the kind that a user names. Raises ConfigError."""
    if name not in WIRE_KINDS:
        hint = "one of: visitor, account, parent_account"
        raise ConfigError(f"there is no kind {name!r}", slug="unknown-kind", hint=hint)
    return WIRE_KINDS[name]


def _document(written: object, name: str) -> Document:
    if not isinstance(written, dict):
        raise ConfigError(f"{name} must be a mapping", slug="wrong-type")
    return Document(written, Places(name, {}), {}, frozenset())


def _seed(document: Document | None, findings: Findings) -> Seed:
    seed = None if document is None else validate(Seed, document, findings)
    if document is not None and seed is not None:
        for name, value in seed.switches.items():
            try:
                Switches.of({name: value})
            except ConfigError as error:
                findings.foreign("error", error.problem, document.places.key_at("switches", name))
        for kind, groups in seed.fields.items():
            for group, fields in groups.items():
                for name in fields:
                    if not NAME.fullmatch(name):
                        findings.error(
                            f"'{name}' cannot be a field's name",
                            "bad-field-name",
                            document.places.key_at("fields", kind, group, name),
                            "letters, digits and underscore, no digit first",
                        )
    findings.stop_if_any()
    if seed is None:  # pragma: no cover - then there was a problem
        raise ConfigError("the seed cannot be read", slug="wrong-type")
    return seed
