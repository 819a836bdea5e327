"""The environment: `.env` beside connector.yml, and `${NAME}` in the values of YAML files."""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING

from dotenv.parser import parse_stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.project.findings import Findings

REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)(\})?")
INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def read_env(text: str, file: str, findings: Findings) -> dict[str, str]:
    """The variables of a `.env` file. A value is what it says: `${...}` in it is not replaced."""
    variables: dict[str, str] = {}
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            findings.error(
                "this line cannot be read",  # its text stays out of the message: it may be half a secret
                "bad-env-file",
                f"{file}:{binding.original.line}",
                "one NAME=value a line; a value with spaces or # in quotes",
            )
        elif binding.key is not None and binding.value is not None:
            variables[binding.key] = binding.value
    return variables


class Environment:
    """The variables that `${NAME}` may name."""

    def __init__(self, variables: Mapping[str, str], findings: Findings) -> None:
        """Look names up in `variables`, and note in `findings` those that are missing."""
        self._variables = variables
        self._findings = findings

    def fill(self, text: str, at: str) -> tuple[str | None, bool]:
        """The text with its `${NAME}` replaced, and whether a variable's value is in it.

        None instead of the text when it could not be filled in; why has been noted then. `${NAME:-default}` takes the
        default when the variable is missing or empty, `$${` is a literal `${`.
        """
        parts: list[str] = []
        end, complete, holds_value = 0, True, False
        for match in REFERENCE.finditer(text):
            parts.append(text[end : match.start()])
            end = match.end()
            if match.group() == "$${":
                parts.append("${")
                continue
            value, from_variable = self._value(match, at)
            complete = complete and value is not None
            holds_value = holds_value or from_variable
            parts.append(value or "")
        parts.append(text[end:])
        return ("".join(parts) if complete else None), holds_value

    def _value(self, match: re.Match[str], at: str) -> tuple[str | None, bool]:
        inside = INSIDE.fullmatch(match[1])
        if match[2] is None or inside is None:
            self._findings.error(
                "'${' must be followed by a variable's name and '}'",
                "bad-variable",
                at,
                "${NAME}, ${NAME:-default}, or $${ for a literal ${",
            )
            return None, False
        name, default = inside[1], inside[2]
        value = self._variables.get(name)
        if default is not None and not value:
            return default, False
        if value is None:
            self._findings.error(
                f"the environment variable {name} is not set",
                "missing-variable",
                at,
                f"set it, or write {name}=... into .env beside connector.yml; ${{{name}:-...}} gives a default",
            )
            return None, False
        self._findings.hide(name, value)
        return value, True
