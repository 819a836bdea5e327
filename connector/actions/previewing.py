"""`connector preview`: a model's first rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from connector.ports import Query

if TYPE_CHECKING:
    from connector.ports import Source
    from connector.project.definition import Model


def preview_model(model: Model, source: Source, limit: int) -> pa.Table:
    """The model's first rows. Raises SourceError."""
    tag = f"connector:preview:{model.name}"
    query = Query(model.sql, tag, batch_rows=max(limit, 1), file=model.file, first_line=model.sql_line)
    with source.read(query) as reader:
        batches, rows = [], 0
        for batch in reader:
            batches.append(batch)
            rows += batch.num_rows
            if rows >= limit:
                break
        return pa.Table.from_batches(batches, reader.schema).slice(0, limit)
