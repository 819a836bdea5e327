"""Where a source's rows are compared with what was sent before: settings of every source that leaves the choice."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from connector.project.settings import Settings


class PlannedSource(Settings):
    """A source that can keep snapshots itself."""

    planner: Literal["local", "warehouse"] = Field(
        "local",
        description="where rows are compared with the snapshot: on this machine, or by SQL in the warehouse, which "
        "then keeps the snapshot and must be writable",
    )
    state_schema: str = Field(
        "connector_state",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$",
        description="the schema of the warehouse that holds the snapshots of `planner: warehouse`",
    )
