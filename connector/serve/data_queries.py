"""What a request to the data API may ask for: its query and its body, checked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST = 1_000
_LARGEST = 2**53
Count = Annotated[int, Field(ge=0, le=_LARGEST)]
Milliseconds = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1, max_length=1_000)]
Time = Annotated[str, Field(min_length=1, max_length=40, description="2h, 7d ago, or 2026-01-31T06:00:00Z")]


class Values(BaseModel):
    """Values of a request; names that nobody knows are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Nothing(Values):
    """No query at all."""


class Page(Values):
    """Which part of a list is wanted."""

    limit: Annotated[int, Field(ge=1, le=MOST)] = 100
    offset: Count = 0


class RunsQuery(Page):
    """Which runs."""

    sync: Text | None = None
    status: Literal["running", "success", "warning", "failed", "held", "cancelled", "interrupted"] | None = None
    trigger: Text | None = None
    since: Time | None = None
    until: Time | None = None
    text: Text | None = None


class CallsQuery(Page):
    """Which calls of a run. `after` goes on behind that call; it stands in the answer as `next_after`."""

    status: Annotated[str, Field(pattern=r"^([1-5][0-9][0-9]|[1-5]xx|none)$")] | None = None
    route: Text | None = None
    endpoint: Text | None = None
    verdict: Text | None = None
    min_ms: Milliseconds | None = None
    max_ms: Milliseconds | None = None
    text: Text | None = None
    reason: Text | None = None
    since: Time | None = None
    until: Time | None = None
    key: Text | None = None
    after: Count = 0


class RowsQuery(Page):
    """Which rows of a run."""

    key: Text | None = None
    part: Text | None = None
    outcome: Literal["succeeded", "skipped", "not_attempted", "in_doubt", "rejected", "quarantined"] | None = None
    change: Literal["added", "changed", "removed"] | None = None
    reason: Text | None = None


class StoryQuery(Values):
    """Which row, of one sync or of all."""

    key: Text
    sync: Text | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class KeysQuery(Values):
    """How the keys begin."""

    prefix: Text
    sync: Text | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 20


class CallsExport(Values):
    """The form of a file of calls."""

    format: Literal["json", "csv", "har", "curl"] = "json"


class RowsExport(Values):
    """The form of a file of rows, and which."""

    format: Literal["json", "csv"] = "json"
    outcome: Literal["succeeded", "skipped", "not_attempted", "in_doubt", "rejected", "quarantined"] | None = None
    reason: Text | None = None


class MendBody(Values):
    """The row that is meant; without a key, all of the sync's."""

    key: Text | None = None


class ReleaseBody(MendBody):
    """With `drop` the rows count as sent."""

    drop: bool = False


class ReplayBody(Values):
    """Where a call is sent again. To the destination only with `confirm`."""

    to: Literal["sandbox", "destination"] = "sandbox"
    url: Text | None = None
    confirm: bool = False
