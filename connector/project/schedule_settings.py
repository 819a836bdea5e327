"""What a user writes about when a sync runs by itself: `schedule:` in a sync config."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connector.project.lengths import PATTERN, seconds_of

Length = Annotated[str, Field(pattern=PATTERN)]


class Schedule(BaseModel):
    """When the sync runs by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: Annotated[Length, Field(description="an interval: 30s, 15m, 1h, 1d")] | None = None
    cron: str | None = Field(None, description="five fields, or @hourly, @daily, @weekly, @monthly")
    timezone: str = Field("UTC", description="the time zone of `cron`, as in the IANA database")
    after: str | None = Field(
        None, min_length=1, description="another sync: this one runs when a run of that one ended"
    )
    if_failed: Literal["stop", "go_on"] = Field(
        "stop", description="what a run of `after` that failed, was held or was cancelled means for this sync"
    )
    jitter: Annotated[Length, Field(description="how far due times may be moved: 30s, 5m")] | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if sum(given is not None for given in (self.every, self.cron, self.after)) != 1:
            msg = "needs exactly one of every, cron, after"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _only_what_fits(self) -> Self:
        alone = {"if_failed": "after"} if self.after is None else {"jitter": "every or cron", "timezone": "cron"}
        for key, other in alone.items():
            if key in self.model_fields_set:
                msg = f"has {key}, which belongs to {other}"
                raise ValueError(msg)
        return self

    @property
    def every_s(self) -> int:
        """The seconds of `every`; 0 without it."""
        return 0 if self.every is None else seconds_of(self.every)

    @property
    def jitter_s(self) -> int:
        """The seconds of `jitter`; 0 without it."""
        return 0 if self.jitter is None else seconds_of(self.jitter)
