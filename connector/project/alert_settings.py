"""What a user writes about alerts: the channels they go to, and what they are about.

`alerts:` stands in connector.yml, in a destination and in a sync config. What the nearer one says holds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connector.project.lengths import PATTERN, seconds_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_OFF = ("off", "no", "false")

_ADDRESS = r"^[^@\s,<>]+@[^@\s,<>]+$"
_PHONE = r"^\+?[0-9][0-9 ()./-]{3,18}$"

Schema = dict[str, Any]
_ONE_AT_LEAST: Schema = {"minItems": 1}


def _not_empty(values: tuple[str, ...]) -> tuple[str, ...]:
    # Not `min_length`, which calls a list empty as well when all that is in it is wrong.
    if not values:
        msg = "must not be empty"
        raise ValueError(msg)
    return values


def _secret(pattern: str, refusal: str) -> AfterValidator:
    """A check of a secret that does not show it; a pattern of pydantic's cannot look into a SecretStr."""

    def check(value: SecretStr) -> SecretStr:
        if not re.fullmatch(pattern, value.get_secret_value()):
            raise ValueError(refusal)
        return value

    return AfterValidator(check)


_SlackUrl = Annotated[
    SecretStr,
    _secret(
        r"https://hooks\.slack\.com/services(/[A-Za-z0-9]+){3}/?",
        "is not the address of an incoming webhook: https://hooks.slack.com/services/...",
    ),
]
_PagerDutyKey = Annotated[
    SecretStr, _secret(r"[A-Za-z0-9]{20,64}", "is not an integration key: letters and digits, usually 32 of them")
]
_TwilioToken = Annotated[
    SecretStr, _secret(r"[A-Za-z0-9]{10,64}", "is not an auth token: letters and digits, usually 32 of them")
]


class _Written(BaseModel):
    """A mapping of the user's files. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


# --- channels --------------------------------------------------------------------------------------------------------


class SlackChannel(_Written):
    """A Slack channel, through an incoming webhook."""

    type: Literal["slack"] = "slack"
    url: _SlackUrl = Field(description="the address of the incoming webhook: https://hooks.slack.com/services/...")


class PagerDutyChannel(_Written):
    """A PagerDuty service: one incident a sync and condition, resolved when it is over."""

    type: Literal["pagerduty"] = "pagerduty"
    integration_key: _PagerDutyKey = Field(description="the key of an Events API v2 integration")
    region: Literal["us", "eu"] = Field("us", description="where the PagerDuty account lives")


class TwilioChannel(_Written):
    """Text messages to phones, through Twilio."""

    type: Literal["twilio"] = "twilio"
    account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{10,40}$", description="the account's SID: AC...")
    auth_token: _TwilioToken = Field(description="the account's auth token")
    sender: str = Field(alias="from", pattern=_PHONE, description="the number that sends, as +12025550100")
    to: Annotated[tuple[Annotated[str, Field(pattern=_PHONE)], ...], AfterValidator(_not_empty)] = Field(
        json_schema_extra=_ONE_AT_LEAST, description="the numbers that get the message"
    )


class EmailChannel(_Written):
    """Email, through an SMTP server."""

    type: Literal["email"] = "email"
    host: str = Field(pattern=r"^[A-Za-z0-9.-]+$", description="the SMTP server")
    port: int | None = Field(None, ge=1, le=65_535, description="by default 587, 465 with tls: tls, 25 with tls: none")
    tls: Literal["starttls", "tls", "none"] = Field("starttls", description="how the connection is made secret")
    user: str | None = Field(None, description="the name to log in with")
    password: SecretStr | None = Field(None, description="the password to log in with")
    sender: str = Field(alias="from", pattern=_ADDRESS, description="the sender's address")
    to: Annotated[tuple[Annotated[str, Field(pattern=_ADDRESS)], ...], AfterValidator(_not_empty)] = Field(
        json_schema_extra=_ONE_AT_LEAST, description="the receivers' addresses"
    )

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if (self.user is None) != (self.password is None):
            msg = "needs both user and password, or neither"
            raise ValueError(msg)
        return self


class AppriseChannel(_Written):
    """Any of the services that the library Apprise knows, by its URL."""

    type: Literal["apprise"] = "apprise"
    url: SecretStr = Field(description="an Apprise URL, such as msteams://... or discord://...")

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, value: SecretStr) -> SecretStr:
        if not re.match(r"[a-z][a-z0-9+.-]*://\S", value.get_secret_value(), re.IGNORECASE):
            msg = "is not an Apprise URL: service://..."
            raise ValueError(msg)
        return value


WebhookEvents = Literal["run.started", "run.finished", "alert"]


class WebhookChannel(_Written):
    """A server of yours, told of runs and alerts in signed JSON."""

    type: Literal["webhook"] = "webhook"
    url: SecretStr = Field(description="where the events are posted to")
    secret: SecretStr = Field(description="what they are signed with: at least 16 characters, or whsec_ and base64")
    events: Annotated[tuple[WebhookEvents, ...], AfterValidator(_not_empty)] = Field(
        ("run.started", "run.finished", "alert"), json_schema_extra=_ONE_AT_LEAST, description="what is told"
    )
    timeout_seconds: float = Field(5, gt=0, le=60, description="how long an answer is waited for")

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"https?://[^\s/?#]+\S*", value.get_secret_value()):
            msg = "is not an address such as https://hooks.example.com/connector"
            raise ValueError(msg)
        return value

    @field_validator("secret")
    @classmethod
    def _is_long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < MIN_SECRET:
            msg = f"is shorter than {MIN_SECRET} characters"
            raise ValueError(msg)
        return value


MIN_SECRET = 16
Channel = SlackChannel | PagerDutyChannel | TwilioChannel | EmailChannel | AppriseChannel | WebhookChannel
CHANNELS: Mapping[str, type[Channel]] = {
    "slack": SlackChannel,
    "pagerduty": PagerDutyChannel,
    "twilio": TwilioChannel,
    "email": EmailChannel,
    "apprise": AppriseChannel,
    "webhook": WebhookChannel,
}
"""The class of a channel's settings by its `type`."""


# --- what alerts are about -------------------------------------------------------------------------------------------


def _spread(data: Any) -> Any:
    """A bare number or text is the limit of a warning; off is no limit at all."""
    if data is False or (isinstance(data, str) and data.lower() in _OFF):
        return {}
    return data if isinstance(data, dict) or data is True else {"warning": data}


class Limits(_Written):
    """From where on something is a warning, and from where on it is critical. A bare number is that of a warning."""

    warning: float | None = Field(None, ge=0, description="a warning from here on")
    critical: float | None = Field(None, ge=0, description="critical from here on")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        return _spread(data)

    @model_validator(mode="after")
    def _critical_is_worse(self) -> Self:
        if self.warning is not None and self.critical is not None and self.critical < self.warning:
            msg = "critical must not be less than warning"
            raise ValueError(msg)
        return self


class Runs(Limits):
    """Limits that are a number of runs."""

    warning: int | None = Field(None, ge=1, description="a warning from this many runs in a row on")
    critical: int | None = Field(None, ge=1, description="critical from this many runs in a row on")


_Duration = Annotated[str, Field(pattern=PATTERN)]


class Durations(_Written):
    """Limits that are lengths of time: 30s, 15m, 2h, 1d. A bare one is that of a warning."""

    warning: _Duration | None = Field(None, description="a warning after this time: 30s, 15m, 2h, 1d")
    critical: _Duration | None = Field(None, description="critical after this time: 30s, 15m, 2h, 1d")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        return _spread(data)

    @model_validator(mode="after")
    def _critical_is_worse(self) -> Self:
        if self.warning and self.critical and seconds_of(self.critical) < seconds_of(self.warning):
            msg = "critical must not be less than warning"
            raise ValueError(msg)
        return self

    def seconds(self) -> Limits:
        """The same in seconds."""
        found = {
            level: seconds_of(text)
            for level, text in (("warning", self.warning), ("critical", self.critical))
            if text is not None
        }
        return Limits(**found)


class AlertRules(_Written):
    """Who is told of what. `off` tells nobody; a list of channels tells these.

    What is not said here is taken from the destination, then from connector.yml, then from the defaults.
    """

    to: tuple[str, ...] | None = Field(None, description="the channels that are told; by default all of them")
    failed: Runs = Field(Runs(critical=1), description="runs in a row that failed or did not begin")
    held: Runs = Field(Runs(warning=1), description="runs in a row that a guardrail held")
    rejected_percent: Limits = Field(
        Limits(warning=10, critical=50), description="rows that were rejected, in percent of those that a run sent"
    )
    row_count_percent: Limits = Field(
        Limits(), description="how far the model's row count is from the mean of the runs before, in percent"
    )
    slow_factor: Limits = Field(Limits(), description="how often the mean time of the runs before a run takes")
    slow_after: Durations = Field(Durations(), description="how long a run takes, also while it goes on")
    missed: Durations = Field(
        Durations(warning="10m", critical="1h"), description="how late a scheduled run is that has not started"
    )
    mean_of: int = Field(
        10, ge=3, le=1000, description="how many runs a mean is made of; with fewer than 3 there is none"
    )

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        if data is False or (isinstance(data, str) and data.lower() in _OFF):
            return {"to": ()}
        return {"to": data} if isinstance(data, list | tuple) else data


class AlertSettings(AlertRules):
    """`alerts:` of connector.yml: the channels, and what holds for every sync that says nothing else."""

    @model_validator(mode="before")
    @classmethod
    def _no_channels(cls, data: Any) -> Any:
        # A section whose entries are all commented out is an empty section.
        empty = isinstance(data, dict) and data.get("channels", ...) is None
        return {**data, "channels": {}} if empty else data

    # An entry's other keys are known by the class that its type names; see CHANNELS.
    channels: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="where alerts go to, by a name of yours"
    )


_NONE: Schema = {"enum": [False, *_OFF]}
_VARIABLE: Schema = {"$ref": "#/$defs/EnvironmentVariable"}
_LIMIT_FORMS: list[Schema] = [{"type": "number", "minimum": 0}, _NONE, _VARIABLE]
_DURATION_FORMS: list[Schema] = [{"type": "string", "pattern": PATTERN}, _NONE, _VARIABLE]
_RULE_FORMS: list[Schema] = [
    _NONE,
    {"type": "array", "items": {"type": "string"}, "description": "the channels that are told"},
]
SHORT_FORMS: Mapping[str, list[Schema]] = {
    "Limits": _LIMIT_FORMS,
    "Runs": _LIMIT_FORMS,
    "Durations": _DURATION_FORMS,
    "AlertRules": _RULE_FORMS,
    "AlertSettings": _RULE_FORMS,
}
"""JSON Schema of the forms that these classes take beside a mapping, by the class's name."""
