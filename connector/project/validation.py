"""Settings classes against what a file holds, and their errors as sentences with a place and a hint."""

from __future__ import annotations

import copy
import re
import types
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from connector.errors import Problem
from connector.project.names import hint
from connector.project.places import child
from connector.project.settings import ValueSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from connector.project.findings import Findings
    from connector.project.places import Document, Keys

M = TypeVar("M", bound=BaseModel)

_SALVAGES = 3  # taking one thing out may show another

WANTED = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "string_type": "text",
    "string_sub_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
}

LIMITS = {
    "greater_than": ("gt", "must be more than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}

KINDS: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a mapping",
}


def validate(model: type[M], document: Document, findings: Findings, *, at: Keys = (), data: object = None) -> M | None:
    """The settings that stand at `at` in the document, or None with all their problems noted.

    `data` replaces what the document has there, for an entry that is checked without some of its keys.
    """
    given = document.get(*at) if data is None else data
    try:
        settings = model.model_validate(given)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    else:
        return None if _holds_unreadable(document, at) else settings
    # Outside of `except`: pydantic's error holds the values, and must not travel along as a context.
    for detail in details:
        _note(_Error(model, document, at, given, detail), findings)
    return None


def part(model: type[M], document: Document, *at: str | int) -> M | None:
    """The settings that stand at `at`, or None when they are missing or wrong; nothing is noted."""
    if document.get(*at) is None or _holds_unreadable(document, at):
        return None
    try:
        return model.model_validate(document.get(*at))
    except ValidationError:
        return None


def salvaged(model: type[M], document: Document) -> M | None:
    """The settings without what is wrong in them, for what can still be said of the rest; nothing is noted.

    None when too little is left.
    """
    data = copy.deepcopy(document.data)
    wrong: set[Keys] = set(document.unreadable)
    for _ in range(_SALVAGES):
        for path in wrong:
            _remove(data, path)
        try:
            return model.model_validate(data)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        wrong = {_existing(data, detail["loc"]) for detail in details if detail["type"] != "missing"} - {()}
        if not wrong:
            return None
    return None


def known_keys(model: type[BaseModel]) -> list[str]:
    """The keys that a mapping of this class may have, as the user writes them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _remove(data: Any, path: Keys) -> None:
    inside = data
    for key in path[:-1]:
        inside = child(inside, key)
    if isinstance(inside, dict):
        inside.pop(path[-1], None)


def _holds_unreadable(document: Document, at: Keys) -> bool:
    return any(path[: len(at)] == at or at[: len(path)] == path for path in document.unreadable)


class _Error:
    """One of pydantic's errors, with what is needed to say it in words."""

    def __init__(
        self, model: type[BaseModel], document: Document, at: Keys, given: object, detail: ErrorDetails
    ) -> None:
        self.document = document
        self.detail = detail
        self.type = detail["type"]
        self.context: Mapping[str, Any] = detail.get("ctx", {})
        # What pydantic adds to a path for its own reasons (the branch of a union) is not in the file.
        inside = _existing(given, detail["loc"][:-1]) if self.type == "missing" else _existing(given, detail["loc"])
        self.key = detail["loc"][-1] if detail["loc"] else None
        self.path: Keys = (*at, *inside)
        self.model = _class_at(model, inside[:-1] if self.type == "extra_forbidden" else inside)
        self.field = _field_at(model, (*inside, self.key) if self.type == "missing" and self.key else inside)

    @property
    def value(self) -> object:
        return self.document.get(*self.path)

    @property
    def name(self) -> str:
        return f"'{dotted(self.path)}'" if self.path else "the file"

    @property
    def is_explained(self) -> bool:
        """True when the error only repeats that a value, or one inside it, could not be read."""
        if self.type in ("extra_forbidden", "missing"):
            place = self.path[:-1] if self.type == "extra_forbidden" else self.path
            return any(place[: len(path)] == path for path in self.document.unreadable)
        return _holds_unreadable(self.document, self.path)


def dotted(path: Keys) -> str:
    """The path as a person would write it: `fields.custom.plan`, `primary_key[1]`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def _existing(data: Any, loc: tuple[str | int, ...]) -> Keys:
    path: list[str | int] = []
    for key in loc:
        if (isinstance(data, dict) and key in data) or (isinstance(data, list) and isinstance(key, int)):
            data = child(data, key)
            path.append(key)
    return tuple(path)


def _note(error: _Error, findings: Findings) -> None:
    if error.is_explained:
        return
    places = error.document.places
    at = places.at(*error.path)
    if error.type == "extra_forbidden":
        inside = f" in '{dotted(error.path[:-1])}'" if error.path[:-1] else ""
        known = known_keys(error.model) if error.model is not None else []
        key = str(error.path[-1])
        findings.error(
            f"unknown key '{key}'{inside}", "unknown-key", places.key_at(*error.path), hint(key, known, "known keys")
        )
    elif error.type == "missing":
        inside = f" in '{dotted(error.path)}'" if error.path else ""
        findings.error(f"the key '{error.key}' is missing{inside}", "missing-key", at, _meaning(error.field, error.key))
    elif error.type in WANTED:
        findings.error(_wrong_type(error), "wrong-type", at, _help(error))
    elif error.type in LIMITS:
        limit, words = LIMITS[error.type]
        findings.error(f"{error.name} {words} {error.context[limit]}", "out-of-range", at, _help(error))
    elif error.type in ("literal_error", "enum"):
        _note_choice(error, findings, at)
    elif error.type == "string_pattern_mismatch":
        findings.error(f"{error.name} does not have the right form", "wrong-form", at, _help(error))
    elif error.type in ("too_short", "string_too_short"):
        findings.error(f"{error.name} must not be empty", "wrong-value", at, _help(error))
    else:
        said = str(error.context["error"]) if error.type == "value_error" else error.detail["msg"]
        said = re.sub(r"^Input should be", "must be", said)
        joint = " " if said[:1].islower() else ": "
        # The sentence is a validator's own: it may hold the value, so it is treated like another part's text.
        findings.foreign("error", Problem(f"{error.name}{joint}{said}", "wrong-value", at, _help(error)), at)


def _note_choice(error: _Error, findings: Findings, at: str) -> None:
    known = _choices(error.field)
    path = error.path
    if error.value is None:
        quoted = 'write "null" in quotes; ' if "null" in known else ""
        findings.error(f"{error.name} is empty", "wrong-choice", at, f"{quoted}one of: {', '.join(known)}")
        return
    shown = error.document.shown(*path)
    findings.error(
        f"{error.name} cannot be '{shown}'",
        "wrong-choice",
        at,
        hint(error.document.guessable(*path), known, "one of") or f"must be {error.context.get('expected')}",
    )


def _wrong_type(error: _Error) -> str:
    wanted = WANTED[error.type]
    if error.model is not None and issubclass(error.model, ValueSpec):
        wanted = "a column's name, or a mapping with column, value or sql"
    if error.value is None:
        return f"{error.name} is empty, and must be {wanted}"
    if error.type == "int_from_float":
        return f"{error.name} must be {wanted}"
    return f"{error.name} must be {wanted}, not {_kind(error)}"


def _kind(error: _Error) -> str:
    if error.path in error.document.written:
        return f"what {error.document.shown(*error.path)} holds"
    return KINDS[type(error.value)]


def _help(error: _Error) -> str | None:
    if error.type == "string_type" and isinstance(error.value, int | float):
        return "put it in quotes"
    if error.model is None or error.type not in WANTED:
        return _meaning(error.field, error.path[-1] if error.path else None)
    if issubclass(error.model, ValueSpec):
        return f"such as {error.path[-1]}: name_of_a_column" if error.path else None
    if WANTED[error.type] == "text":  # of a key that may also hold a mapping
        return _meaning(error.field, error.path[-1])
    return f"known keys: {', '.join(known_keys(error.model))}"


def _meaning(field: FieldInfo | None, key: object) -> str | None:
    described = _description(field)
    return f"{key}: {described}" if described else None


def _description(field: FieldInfo | None) -> str | None:
    if field is None or field.description:
        return field.description if field else None
    # `Annotated[str, Field(description=...)] | None` keeps the description in a branch of the union.
    for branch in get_args(field.annotation):
        for extra in get_args(branch)[1:]:
            if getattr(extra, "description", None):
                return str(extra.description)
    return None


# --- the classes behind a path --------------------------------------------------------------------------------------


def _branches(annotation: Any) -> list[Any]:
    """The annotation's types without Annotated, and each branch of a union on its own."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _branches(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [inner for branch in get_args(annotation) for inner in _branches(branch)]
    return [annotation]


def _inner(annotation: Any, key: str | int) -> tuple[Any, FieldInfo | None]:
    """What stands under `key` in a value of this type, with its field when there is one."""
    for branch in _branches(annotation):
        if isinstance(branch, type) and issubclass(branch, BaseModel):
            for name, field in branch.model_fields.items():
                if key in (name, field.alias):
                    return field.annotation, field
        elif get_origin(branch) is dict:
            return get_args(branch)[1], None
        elif get_origin(branch) in (list, tuple, set, frozenset):
            return get_args(branch)[0], None
    return None, None


def _class_at(model: type[BaseModel], path: Keys) -> type[BaseModel] | None:
    annotation: Any = model
    for key in path:
        annotation, _ = _inner(annotation, key)
    return next((b for b in _branches(annotation) if isinstance(b, type) and issubclass(b, BaseModel)), None)


def _field_at(model: type[BaseModel], path: Keys) -> FieldInfo | None:
    annotation: Any = model
    field: FieldInfo | None = None
    for key in path:
        annotation, inner = _inner(annotation, key)
        field = field if isinstance(key, int) else inner  # an element of a list is described with the list
    return field


def _choices(field: FieldInfo | None) -> list[str]:
    choices: list[str] = []
    for branch in _branches(field.annotation) if field is not None else []:
        if get_origin(branch) is Literal:
            choices += [str(value) for value in get_args(branch)]
        elif isinstance(branch, type) and issubclass(branch, Enum):
            choices += [str(member.value) for member in branch]
    return choices
