"""YAML with places: the plain values of a file, and the line and column of each key and value.

The values are built from the parser's events and not by a YAML loader, so that `no`, dates and numbers such as 007
stay the text that the user wrote, and each surprise is a problem with a place instead of an exception.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from connector.project.definition import Places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.project.environment import Environment
    from connector.project.findings import Findings

Keys = tuple[str | int, ...]
Mark = tuple[int, int]

MAX_DEPTH = 30
STRING_TAG = "tag:yaml.org,2002:str"

NULL = re.compile(r"null|Null|NULL|~|")
TRUE = re.compile(r"true|True|TRUE")
FALSE = re.compile(r"false|False|FALSE")
# Not 007: a number with zeros in front is a code, and as a number it would lose them.
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})")
OCTAL = re.compile(r"0o[0-7]{1,99}")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,99}")
FLOAT = re.compile(r"(?=.*[.eE])[-+]?((0|[1-9][0-9]*)?\.[0-9]+|(0|[1-9][0-9]*)\.?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

# `{ url: ${URL} }` is not YAML, as braces end a plain text inside braces. Each brace of a reference is replaced by a
# character for private use while YAML is read, and put back in each text: what stands where does not change.
BRACED = re.compile(r"\$\{([^{}\n]*)\}")
STAND_IN = {"${": "\uf8f0\uf8f1", "}": "\uf8f2"}


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML mapping. `written` has the text of the values that came from the environment, as the file has it.

    `unreadable` are the paths whose values could not be made out; why has been noted, so nothing more is said of them.
    """

    data: dict[str, Any] = field(repr=False)
    places: Places
    written: dict[Keys, str]
    unreadable: frozenset[Keys]

    def get(self, *path: str | int) -> Any:
        """The value at `path`, None where there is none."""
        value: Any = self.data
        for key in path:
            value = child(value, key)
        return value

    def shown(self, *path: str | int) -> str:
        """The value at `path` as it may be shown: as the file has it, never what the environment holds."""
        value = self.get(*path)
        if isinstance(value, dict | list):
            return "{...}" if isinstance(value, dict) else "[...]"
        return self.written.get(path) or str(value)

    def guessable(self, *path: str | int) -> str | None:
        """The text at `path`, or None when it came from the environment and no hint may be built on it."""
        value = self.get(*path)
        return value if isinstance(value, str) and path not in self.written else None


def child(value: object, key: str | int) -> Any:
    """What stands under `key` in a mapping or a list; None where nothing does."""
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


class _Stop(Exception):
    """Why a file cannot be read any further."""

    def __init__(self, message: str, slug: str, mark: Mark, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.slug, self.mark, self.hint = message, slug, mark, hint


def read_mapping(
    text: str, file: str, environment: Environment, findings: Findings, *, empty_at: Mark = (1, 1)
) -> Document | None:
    """The mapping that the text holds, or None when it holds none; what is wrong with it has been noted.

    `empty_at` is the place to name when there is nothing in the text.
    """
    reading = _Reading(file, environment, findings)
    try:
        return reading.document(text, empty_at)
    except _Stop as stop:
        findings.error(stop.message, stop.slug, reading.at(stop.mark), stop.hint)
        return None


def _events(text: str) -> Iterator[Any]:
    stand_in = not any(character in text for character in "".join(STAND_IN.values()))
    readable = BRACED.sub(rf"{STAND_IN['${']}\1{STAND_IN['}']}", text) if stand_in else text
    try:
        yield from YAML(typ="safe", pure=True).parse(readable)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        _not_yaml(error, (mark.line + 1, mark.column + 1) if mark else (1, 1))
    except ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        before = text[:position]
        mark_of_character = (before.count("\n") + 1, position - before.rfind("\n"))
        msg = "not valid YAML: there is a character that YAML does not allow"
        raise _Stop(msg, "bad-yaml", mark_of_character, "a control character? delete it") from None
    except (YAMLError, ValueError, OverflowError, IndexError) as error:
        # The scanner lets Python's own errors through for some escapes, such as "\U99999999".
        msg = f"not valid YAML: {error}".splitlines()[0]
        raise _Stop(msg, "bad-yaml", (1, 1)) from None


def _not_yaml(error: MarkedYAMLError, mark: Mark) -> NoReturn:
    problem = (error.problem or "it cannot be read").replace("'\\t'", "TAB")
    hint = None
    if "TAB" in problem:
        problem, hint = "a tab cannot indent YAML", "use spaces"
    elif "mapping values are not allowed" in problem:
        hint = "a text with ': ' in it needs quotes; or is the line indented too far?"
    elif "cannot start any token" in problem:
        hint = "a text that starts with such a character needs quotes"
    elif "block end" in problem or "block mapping" in (error.context or ""):
        hint = "is the line indented like its neighbours?"
    elif "end of stream" in problem or "stream end" in problem:
        hint = f"{error.context}: something that was opened is not closed" if error.context else None
    msg = f"not valid YAML: {problem}"
    raise _Stop(msg, "bad-yaml", mark, hint) from None


class _Reading:
    """The state of reading one file."""

    def __init__(self, file: str, environment: Environment, findings: Findings) -> None:
        self.file = file
        self._environment = environment
        self._findings = findings
        self._marks: dict[Keys, Mark] = {}
        self._keys: dict[Keys, Mark] = {}
        self._written: dict[Keys, str] = {}
        self._unreadable: set[Keys] = set()
        self._rest: Iterator[Any] = iter(())

    def at(self, mark: Mark) -> str:
        return f"{self.file}:{mark[0]}:{mark[1]}"

    def document(self, text: str, empty_at: Mark) -> Document:
        self._rest = _events(text)
        data = None
        for event in self._rest:
            if isinstance(event, DocumentStartEvent):
                if self._marks:
                    raise _Stop(
                        "a second document starts here", "unsupported-yaml", _mark(event), "one file, one '---'"
                    )
                data = self._value(next(self._rest), (), None)
        if data is None and () not in self._unreadable:
            raise _Stop("there is nothing in it", "empty-file", self._marks.get((), empty_at))
        if not isinstance(data, dict):
            hint = "write `key: value`, one a line"
            raise _Stop("must be a mapping of keys to values", "wrong-type", self._marks[()], hint)
        places = Places(self.file, self._marks, self._keys)
        return Document(data, places, self._written, frozenset(self._unreadable))

    def _value(self, event: Any, path: Keys, key_mark: Mark | None) -> Any:
        mark = _mark(event)
        if key_mark is not None and mark[0] != key_mark[0]:
            mark = key_mark  # what starts on a line of its own is found by its key
        self._marks[path] = mark
        if len(path) > MAX_DEPTH:
            raise _Stop("this is nested too deeply", "unsupported-yaml", mark)
        if event.anchor is not None:
            self._unsupported(mark, "anchors and aliases (&, *)", "write the value out, or put it in quotes")
        if isinstance(event, AliasEvent):
            self._unreadable.add(path)
            return None
        if event.tag not in (None, STRING_TAG):
            self._unsupported(mark, "tags (!)", "write the value without it, or put it in quotes")
            self._unreadable.add(path)
        if isinstance(event, MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        return self._scalar(event, path, mark)

    def _mapping(self, path: Keys) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._rest), MappingEndEvent):
            mark = _mark(event)
            if not isinstance(event, ScalarEvent) or event.anchor is not None:
                self._unsupported(mark, "keys that are not plain text", "write `key: value`")
                self._skip(event)
                self._skip(next(self._rest))
                continue
            key = _unmarked(event.value)
            child = (*path, key)
            if key == "<<" and event.style is None:
                self._unsupported(mark, "merge keys (<<)", "write the keys out")
                self._skip(next(self._rest))
            elif self._is_half(key, mark):
                self._skip(next(self._rest))
            elif key in values:
                first = self._keys[child][0]
                self._findings.error(
                    f"the key '{key}' is there twice",
                    "duplicate-key",
                    self.at(mark),
                    f"the first one is on line {first}",
                )
                self._skip(next(self._rest))
            else:
                self._keys[child] = mark
                values[key] = self._value(next(self._rest), child, mark)
        return values

    def _sequence(self, path: Keys) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._rest), SequenceEndEvent):
            values.append(self._value(event, (*path, len(values)), None))
        return values

    def _skip(self, event: Any) -> None:
        depth = 0
        while True:
            depth += isinstance(event, (MappingStartEvent, SequenceStartEvent))
            depth -= isinstance(event, (MappingEndEvent, SequenceEndEvent))
            if depth == 0:
                return
            event = next(self._rest)

    def _scalar(self, event: ScalarEvent, path: Keys, mark: Mark) -> Any:
        text = _unmarked(event.value)
        if self._is_half(text, mark):
            self._unreadable.add(path)
            return None
        if "${" in text:
            filled, holds_value = self._environment.fill(text, self.at(mark))
            if filled is None:
                self._unreadable.add(path)
            if holds_value:
                self._written[path] = text
            return filled
        value = _plain(text) if event.style is None and event.tag is None else text
        if isinstance(value, float) and not math.isfinite(value):
            self._findings.error(
                f"{text} is not a number that JSON can hold", "not-finite", self.at(mark), "for text, put it in quotes"
            )
            self._unreadable.add(path)
            return None
        return value

    def _is_half(self, text: str, mark: Mark) -> bool:
        """Whether the text cannot be written down, which is noted then."""
        try:
            text.encode()
        except UnicodeEncodeError:
            self._findings.error("holds half a character (a lone surrogate)", "bad-yaml", self.at(mark))
            return True
        return False

    def _unsupported(self, mark: Mark, what: str, hint: str) -> None:
        self._findings.error(f"{what} are not supported", "unsupported-yaml", self.at(mark), hint)


def _mark(event: Any) -> Mark:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _unmarked(text: str) -> str:
    """The text with its own braces, and with two escapes of surrogates as the one character they are in JSON."""
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return joined.replace(STAND_IN["${"], "${").replace(STAND_IN["}"], "}")


def _plain(text: str) -> Any:
    """The value of an unquoted text by YAML 1.2: null, a boolean, a number, or the text itself."""
    if NULL.fullmatch(text):
        return None
    if TRUE.fullmatch(text) or FALSE.fullmatch(text):
        return bool(TRUE.fullmatch(text))
    if INTEGER.fullmatch(text):
        return int(text)
    if OCTAL.fullmatch(text) or HEXADECIMAL.fullmatch(text):
        return int(text, 0)
    if NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return float(text) if FLOAT.fullmatch(text) else text
