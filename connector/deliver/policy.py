"""What a delivery goes by, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.errors import DestinationError
    from connector.ports import Change, Outcome


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers and choices of a delivery.

    `concurrency`: requests in flight at most. `split_retries`: cut a refused batch until the bad rows are found.
    `in_doubt`: what happens on a route that is not repeatable to a request whose answer never came.

    A request is sent `attempts` times at most, and not again once `max_retry_s` seconds have gone into its retries.
    A wait is `base_wait_s` at least and grows up to `max_wait_s`; what the destination asks for may be longer.

    `sample_rows`: rows tried alone before a batch counts as refused as a whole. `max_refused_batches`: batches that
    are refused as a whole, or requests that exhaust their attempts, in a row and with nothing accepted in between,
    before the run stops. `max_split_requests`: requests that a run may spend on the search for bad rows.
    """

    concurrency: int = 8
    split_retries: bool = True
    in_doubt: Literal["resend", "hold"] = "resend"
    attempts: int = 5
    max_retry_s: float = 300.0
    base_wait_s: float = 1.0
    max_wait_s: float = 60.0
    sample_rows: int = 8
    max_refused_batches: int = 3
    max_split_requests: int | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of the rows that were taken from the work, and what it cost.

    `tally` holds every outcome and every change. `sent` counts the calls; of these, `retried` are attempts after the
    first of the same request, and `split` carry a part of a refused batch. `fault` is why the run stopped by itself,
    or could not reach the destination for some of its rows; with neither `fault` nor `cancelled`, no row is
    not_attempted. `learned` are the facts that probes found.
    """

    tally: Mapping[Outcome, Mapping[Change, int]]
    sent: int
    retried: int
    split: int
    fault: DestinationError | None = None
    cancelled: bool = False
    learned: Mapping[str, str] = field(default_factory=dict)
