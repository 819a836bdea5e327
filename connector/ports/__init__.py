"""The seams: what a source, a destination and the steps between them promise each other.

A destination says which routes a sync has (one a kind of request) and what one row looks like on each, as a JSON
template of cells. `compile` turns the templates into SQL; nothing else needs to know either side.
"""

from __future__ import annotations

from connector.ports.calls import (
    Batch,
    Failure,
    Fault,
    Fragments,
    Judged,
    NoReply,
    ProbeAnswer,
    Refused,
    Reply,
    Request,
    TryAgain,
    Unknown,
    Verdict,
)
from connector.ports.delivery import (
    Clock,
    Journal,
    Limiter,
    Settled,
    Work,
)
from connector.ports.rows import (
    Cell,
    Change,
    Constant,
    Json,
    Members,
    Nulls,
    Outcome,
    Route,
    SendTime,
    Template,
    ValueType,
)
from connector.ports.systems import (
    Connection,
    Destination,
    DestinationSystem,
    Query,
    Source,
    SourceSystem,
)

__all__ = [
    "Batch",
    "Cell",
    "Change",
    "Clock",
    "Connection",
    "Constant",
    "Destination",
    "DestinationSystem",
    "Failure",
    "Fault",
    "Fragments",
    "Journal",
    "Json",
    "Judged",
    "Limiter",
    "Members",
    "NoReply",
    "Nulls",
    "Outcome",
    "ProbeAnswer",
    "Query",
    "Refused",
    "Reply",
    "Request",
    "Route",
    "SendTime",
    "Settled",
    "Source",
    "SourceSystem",
    "Template",
    "TryAgain",
    "Unknown",
    "ValueType",
    "Verdict",
    "Work",
]
