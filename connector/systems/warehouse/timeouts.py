"""How long a source waits, for every warehouse that is reached over a network."""

from __future__ import annotations

from pydantic import Field

from connector.project.settings import Settings as Section


class Timeouts(Section):
    """Seconds after which a source gives up."""

    connect_seconds: int = Field(30, ge=1, le=3600, description="seconds to reach the warehouse and log in")
    query_seconds: int | None = Field(
        3600, ge=1, le=604_800, description="seconds a query may take; null leaves the limit to the warehouse"
    )
