"""A Pendo destination as the user writes it in connector.yml."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from connector.project.settings import DestinationSettings, Settings
from connector.systems.pendo import facts

INTEGRATION_KEY = "integration_key"
TRACK_EVENT_SECRET = "track_event_secret"  # noqa: S105 - the name of the setting, not the secret
NO_SECRET = "no_secret"  # noqa: S105 - for the probe that asks how a wrong secret is refused
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


def _blank_is_missing(value: object) -> object:
    # An environment variable that is set to nothing is a secret that is missing, and a file's newline is no part of it.
    return (value.strip() or None) if isinstance(value, str) else value


def _fits_in_a_header(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and not all("!" <= character <= "~" for character in secret.get_secret_value()):
        msg = "holds a character that no Pendo key has: copy it again"
        raise ValueError(msg)
    return secret


Secret = Annotated[SecretStr | None, BeforeValidator(_blank_is_missing), AfterValidator(_fits_in_a_header)]


class TimeoutSettings(Settings):
    """How long a request waits."""

    connect_seconds: float = Field(facts.CONNECT_TIMEOUT_S.value, gt=0, description="for a connection")
    read_seconds: float = Field(facts.TIMEOUT_S.value, gt=0, description="for an answer")
    metadata_seconds: float = Field(
        facts.METADATA_TIMEOUT_S.value,
        gt=0,
        description="for the answer to a metadata call, which Pendo gives 5 minutes",
    )


class PendoSettings(DestinationSettings):
    """One entry under `destinations:` with `type: pendo`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["pendo"] = "pendo"
    region: Literal["us", "us1", "eu", "jpn", "au"] | None = Field(None, description="where the subscription lives")
    integration_key: Secret = Field(
        None, description="an integration key with write access; needed by visitor, account and parent_account syncs"
    )
    track_event_secret: Secret = Field(
        None, description="the Track Event Shared Secret of one app; needed by track_event syncs"
    )
    base_url: str | None = Field(
        None, description="one address for both APIs instead of the region's hosts: the sandbox, a proxy"
    )
    batching: Literal["auto", "array", "single"] = Field(
        "auto", description="how /data/track takes events; auto finds out and remembers"
    )
    timeouts: TimeoutSettings = TimeoutSettings()
    clear_with: Literal["empty", "null"] = Field(
        "empty", description="what `on_removed: clear` sets a field to: an empty text, or null"
    )

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = _parts(value)
        if parts is None or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
            msg = "is not an address such as https://pendo.example.com"
            raise ValueError(msg)
        if "@" in parts.netloc:
            msg = "holds a user name or password, which would end up in the API call log"
            raise ValueError(msg)
        return value.rstrip("/")

    @model_validator(mode="after")
    def _somewhere_to_send(self) -> Self:
        if self.region is None and self.base_url is None:
            msg = f"needs a region: {', '.join(facts.API_HOSTS.value)} (or a base_url)"
            raise ValueError(msg)
        return self

    @property
    def api_url(self) -> str:
        """Where the REST API is, without a slash at the end."""
        return self.base_url or f"https://{facts.API_HOSTS.value[str(self.region)]}"

    @property
    def data_url(self) -> str:
        """Where Track events go, without a slash at the end."""
        return self.base_url or f"https://{facts.DATA_HOSTS.value[str(self.region)]}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must never be stored or shown."""
        given = (self.integration_key, self.track_event_secret)
        return tuple(secret.get_secret_value() for secret in given if secret is not None)

    @property
    def is_in_the_clear(self) -> bool:
        """True when the secrets would cross a network without TLS."""
        return urlsplit(self.base_url or "").scheme == "http" and not self.is_on_this_machine

    @property
    def is_on_this_machine(self) -> bool:
        """True for an address such as the sandbox's, which no proxy leads to."""
        return urlsplit(self.base_url or "").hostname in LOOPBACK

    def whereabouts(self, *, events: bool) -> tuple[str, str]:
        """The address of the API, and a short digest of the key. Addresses on this machine are one: the sandbox's."""
        if self.is_on_this_machine:
            return "this machine", ""
        secret = self.track_event_secret if events else self.integration_key
        key = "" if secret is None else sha256(secret.get_secret_value().encode()).hexdigest()[:8]
        return self.data_url if events else self.api_url, key

    def region_hint(self) -> str | None:
        """A sentence when the key's ending points to another region than the one that is set, else None."""
        if self.integration_key is None or self.region is None or self.base_url is not None:
            return None
        ending = self.integration_key.get_secret_value().rpartition(".")[2].lower()
        likely = facts.KEY_SUFFIXES.value.get(ending)
        # `us1` keys may well end in `.us`: nobody wrote down what they look like.
        if likely is None or self.region.startswith(likely):
            return None
        return f"the integration key ends in '.{ending}', which points to region '{likely}', not '{self.region}'"


def _parts(address: str) -> SplitResult | None:
    """The address taken apart; None when it has no host, no number as its port, or what no address has."""
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").encode("idna").decode("ascii")
        _ = parts.port
    except ValueError:
        return None
    return parts if address.isprintable() and " " not in address and _HOST.fullmatch(host) else None
