"""What a request asks for: its body and its query, checked."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from connector.serve.hightouch.errors import bad_request, invalid_values

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams
    from starlette.requests import Request

MOST = 1000
"""The longest page: a larger `limit` gives this many, and `hasMore` says that there are others."""

_LARGEST = 2**53
"""The largest whole number that every JSON reader keeps."""


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


Moment = Annotated[datetime, AfterValidator(_aware)]


class _Values(BaseModel):
    """Values of a request. Names that the API does not know are passed over, as Hightouch does."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Page(_Values):
    """Which part of a list is wanted."""

    limit: Annotated[int, Field(ge=1, le=_LARGEST)] = 100
    offset: Annotated[int, Field(ge=0, le=_LARGEST)] = 0

    @property
    def length(self) -> int:
        """How many are shown at most."""
        return min(self.limit, MOST)


class ListQuery(Page):
    """The query of a list of models, sources or destinations."""

    name: str | None = None
    slug: str | None = None
    order_by: Literal["id", "name", "slug", "createdAt", "updatedAt"] = Field("id", alias="orderBy")


class SyncsQuery(ListQuery):
    """The query of the list of syncs. `after` and `before` are about their last run."""

    model_id: int | None = Field(None, alias="modelId")
    after: Moment | None = None
    before: Moment | None = None


class RunsQuery(Page):
    """The query of a sync's runs. `within` is minutes."""

    run_id: str | None = Field(None, alias="runId")
    after: Moment | None = None
    before: Moment | None = None
    within: Annotated[float, Field(gt=0)] | None = None
    order_by: Literal["id", "createdAt", "startedAt", "finishedAt"] = Field("id", alias="orderBy")


class TriggerBody(_Values):
    """What a run is asked to do."""

    full_resync: bool = Field(False, alias="fullResync")
    reset_cdc: bool = Field(False, alias="resetCDC")
    clear_and_fill: bool = Field(False, alias="clearAndFill")


class CustomTriggerBody(TriggerBody):
    """The same, with the sync that is meant."""

    sync_id: Annotated[str, Field(pattern=r"^[0-9]+$", coerce_numbers_to_str=True)] | None = Field(None, alias="syncId")
    sync_slug: str | None = Field(None, alias="syncSlug")


Checked = TypeVar("Checked", bound=_Values)


def read_query(kind: type[Checked], query: QueryParams) -> Checked:
    """The query's values. Raises ApiError 422."""
    try:
        return kind.model_validate(dict(query))
    except ValidationError as error:
        raise invalid_values(error, "query") from error


def read_body(kind: type[Checked], body: dict[str, Any]) -> Checked:
    """The body's values. Raises ApiError 422."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise invalid_values(error, "body") from error


async def parse_body(request: Request) -> dict[str, Any]:
    """The body as names and values; none at all are none. Raises ApiError 400 for what is neither JSON nor a form.

    Airflow's provider sends a form, others JSON.
    """
    content = await request.body()
    if not content.strip():
        return {}
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
    try:
        found = json.loads(content)
    except ValueError as error:
        raise bad_request("the body is not JSON") from error
    if not isinstance(found, dict):
        raise bad_request("the body is JSON, but no object")
    return found
