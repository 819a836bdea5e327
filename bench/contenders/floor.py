"""The floor of a run that sends little: the model read once, and a fingerprint of each row made in DuckDB."""

from __future__ import annotations

import duckdb
from common import Watch, arguments, select

ask = arguments()
watch = Watch()
source = duckdb.connect(ask.warehouse, read_only=True)
work = duckdb.connect(":memory:")
work.execute("SET memory_limit = '500MB'; SET TimeZone = 'UTC'")
model = source.sql(select(ask)).to_arrow_reader(100_000)
columns = [field.name for field in model.schema]
texts = ", ".join(f"coalesce({name}::VARCHAR, '')" for name in columns)
work.execute(f"CREATE TABLE staged AS SELECT id, md5_number(concat_ws(chr(0), {texts})) AS fp FROM model")
watch.report()
