"""Faults on purpose: which calls meet which fault.

Rules are read in order. Each counts the calls it matches; a rule that only waits lets the next one decide, any other
rule ends the search.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from connector.project.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

Connection = Literal["reset_before", "reset_after", "close_before", "close_after", "truncate", "hang"]
BodyForm = Literal["json", "plain", "html", "empty"]


class Fault(Settings):
    """One rule: calls like this, that often, meet this."""

    method: str = Field("*", description="the calls it is for: their method, with `*`")
    path: str = Field("*", description="the calls it is for: their path, with `*`")
    first: int = Field(1, ge=1, description="the first of those calls that meets the fault")
    last: int | None = Field(None, ge=1, description="the last one")
    every: int = Field(1, ge=1, description="of those, every nth")
    probability: float = Field(1.0, ge=0, le=1, description="of those, this share, drawn at random")
    seed: int = Field(0, description="the start of the random draw: the same seed gives the same calls")
    latency_ms: float = Field(0.0, ge=0, description="how long the call waits before anything else happens")
    status: int | None = Field(None, ge=200, le=599, description="the answer's status; nothing is applied")
    applied: bool = Field(False, description="with `status` or `hang`: the call is applied all the same")
    body: BodyForm = Field("json", description="with `status`: the kind of body")
    text: str | None = Field(None, description="with `status`: the body's own text")
    headers: dict[str, str] = Field(default_factory=dict, description="with `status`: more headers")
    retry_after: float | None = Field(None, ge=0, description="with `status`: seconds to say in Retry-After")
    retry_after_as: Literal["seconds", "date"] = Field("seconds", description="the form of Retry-After")
    connection: Connection | None = Field(
        None,
        description="the connection is reset or closed without an answer, before or after the call was applied; the "
        "answer is cut short (`truncate`, applied); or nothing comes for `hang_s` seconds, then it is closed",
    )
    hang_s: float = Field(60.0, ge=0, description="with `hang`: for how long")

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.status is None and self.connection is None and not self.latency_ms:
            msg = "needs status, connection or latency_ms"
            raise ValueError(msg)
        if self.status is not None and self.connection is not None:
            msg = "has both status and connection: they exclude each other"
            raise ValueError(msg)
        return self

    def document(self) -> dict[str, Any]:
        """What differs from the defaults, as a JSON object."""
        return self.model_dump(exclude_defaults=True)

    def name(self) -> str:
        """What the log calls it."""
        if self.connection is not None:
            return self.connection
        return f"latency {self.latency_ms:g} ms" if self.status is None else f"status {self.status}"


@dataclass(slots=True)
class _Armed:
    """A rule at work: how many calls it matched, and its dice."""

    rule: Fault
    dice: random.Random
    calls: int = 0

    def fires(self, method: str, path: str) -> bool:
        rule = self.rule
        if not fnmatchcase(method, rule.method.upper()) or not fnmatchcase(path, rule.path):
            return False
        self.calls += 1
        if self.calls < rule.first or (rule.last is not None and self.calls > rule.last):
            return False
        return (self.calls - rule.first + 1) % rule.every == 0 and self.dice.random() < rule.probability


@dataclass(slots=True)
class Faults:
    """The rules of one sandbox, in order."""

    armed: list[_Armed] = field(default_factory=list)

    @property
    def rules(self) -> list[Fault]:
        """The rules, in order."""
        return [each.rule for each in self.armed]

    def add(self, rules: Iterable[Fault]) -> None:
        """Nothing, after putting the rules behind those that are there; each starts counting now."""
        self.armed.extend(_Armed(rule, random.Random(rule.seed)) for rule in rules)  # noqa: S311 - repeatable on purpose

    def clear(self) -> None:
        """Nothing, after forgetting every rule."""
        self.armed.clear()

    def meeting(self, method: str, path: str) -> tuple[float, Fault | None]:
        """How many milliseconds this call waits, and the fault that it meets; every rule that matches it counts it."""
        fired = [each.rule for each in self.armed if each.fires(method, path)]
        wait_ms = 0.0
        for rule in fired:
            wait_ms += rule.latency_ms
            if rule.status is not None or rule.connection is not None:
                return wait_ms, rule
        return wait_ms, None
