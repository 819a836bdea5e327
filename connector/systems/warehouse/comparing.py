"""The comparison of a model with its snapshot, as SQL in the warehouse.

It works in temporary tables of one session; their names begin with connector_, so that they hide no table of a model:

    staged     n (the row's number), k (key), i (id), raw (fingerprint of the columns), and the columns themselves
    repeated   the keys that several rows have
    shared     the ids that several keys have
    wanted     the keys that matter whatever their rows are
    pending    what the snapshot has not been told yet
    chosen     the rows that leave the warehouse

The SQL is the part of the language that DuckDB, PostgreSQL and Snowflake have in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.errors import ConfigError
from connector.ports import MARKS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from connector.ports import Wanted
    from connector.systems.warehouse.snapshots import ModelColumn, Place, Session

NULL = "cast(null as varchar)"
NOTHING = "select {n} as row_key, {n} as row_id, {n} as values_fp, {n} as columns_md5 where 1 = 0"


class Comparison:
    """A `ports.Compared`. `rows` is SQL for the rows of the snapshot, None when there are none."""

    def __init__(
        self, place: Place, session: Session, wanted: Wanted, columns: Sequence[ModelColumn], rows: str | None
    ) -> None:
        """Keep what is asked for; `make` makes it."""
        self._place = place
        self._session = session
        self._wanted = wanted
        self._null = place.by_bytes(NULL)
        self._rows = rows or NOTHING.format(n=self._null)
        self._model = place.model(wanted.query, columns)
        by_name = {column.name: column for column in columns}
        self._columns = [by_name[name] for name in wanted.columns]
        self._keys = [by_name[name] for name in wanted.key]
        self._id = None if wanted.id is None else by_name[wanted.id]
        self.queried = self.null_key = self.duplicate_key = self.unchanged = self.size = 0

    def make(self) -> None:
        """Nothing, after comparing. Raises SourceError, ConfigError for a key whose text the warehouse cannot make."""
        place, session, wanted = self._place, self._session, self._wanted
        text = place.text_type
        staging = self._staging()
        place.stage(session, staging)
        for name, columns in (
            ("repeated", f"k {text}"),
            ("shared", f"i {text}"),
            ("wanted", f"key {text}"),
            ("chosen", f"n bigint, k {text}, repeated boolean, shared boolean"),
            ("pending", f"key {text}, id {text}, fp {text}, raw {text}, gone boolean"),
        ):
            session.run(f"create temporary table connector_{name} ({columns})")
        session.seal()
        session.run(f"insert into connector_staged {staging}")
        if wanted.keys.num_rows:
            session.upload("connector_wanted", wanted.keys.to_reader())
        if wanted.pending is not None:
            session.upload("connector_pending", wanted.pending.rows)
        session.run(
            "insert into connector_repeated select k from connector_staged where k is not null group by k "
            "having count(*) > 1"
        )
        if self._id is not None:
            session.run(
                "insert into connector_shared select i from connector_staged group by i having count(distinct k) > 1"
            )
        session.run(f"insert into connector_chosen {self._choosing()}")
        self._count()

    def rows(self) -> AbstractContextManager[pa.RecordBatchReader]:
        """The model's rows that matter, in their order."""
        marks = ("s.k", "s.raw", "c.repeated", "c.shared")
        picked = [f'{sql} as "{name}"' for sql, name in zip(marks, MARKS, strict=True)]
        picked += [f"s.c{at} as {column.shown}" for at, column in enumerate(self._columns)]
        return self._session.read(
            f"select {', '.join(picked)} from connector_staged s join connector_chosen c on c.n = s.n order by s.n"
        )

    def accepted(self) -> AbstractContextManager[pa.RecordBatchReader]:
        """The snapshot's rows that matter."""
        matters = "c.k is not null or w.key is not null"
        if not self._wanted.events:  # an event that left the model stays sent
            matters += " or s.k is null"
        if self._wanted.chosen is not None:
            matters = f"({matters}) and a.row_key = {self._text(self._wanted.chosen)}"
        return self._session.read(
            f"""select a.row_key, a.row_id, a.values_fp, a.columns_md5 from ({self._known()}) a
            left join (select distinct k from connector_chosen) c on c.k = a.row_key
            left join (select distinct key from connector_wanted) w on w.key = a.row_key
            left join (select distinct k from connector_staged) s on s.k = a.row_key
            where {matters}"""
        )

    def _staging(self) -> str:
        """SQL for `staged`: the model's rows with what is made of them."""
        wanted = self._wanted
        columns = "".join(f", {column.ref} as c{at}" for at, column in enumerate(self._columns))
        raw = self._null if wanted.events else self._fingerprint()
        own_id = self._null if self._id is None else self._place.by_bytes(self._id.text)
        rows = (
            f"select {self._place.row_number} as n, {self._place.by_bytes(self._key())} as k, {own_id} as i, "
            f"{raw} as raw{columns} from {self._model}"
        )
        return rows if wanted.chosen is None else f"select * from ({rows}) r where k = {self._text(wanted.chosen)}"

    def _key(self) -> str:
        parts = []
        for column in self._keys:
            if column.key is None:
                raise ConfigError(
                    f"the warehouse cannot make the key of a column like '{column.name}'",
                    slug="planner-key",
                    at=self._wanted.query.at(0),
                    hint="cast it to text or to a decimal number in the model, or use planner: local",
                )
            parts.append(column.key)
        if len(parts) == 1:
            return parts[0]
        missing = " or ".join(f"{part} is null" for part in parts)
        listed = " || ',' || ".join(self._place.json_string(part) for part in parts)
        return f"case when not ({missing}) then '[' || {listed} || ']' end"

    def _fingerprint(self) -> str:
        """Each value with its length before it, so that no two rows have the same text; a NULL has none."""
        texts = [
            f"coalesce(cast(length({column.text}) as varchar) || ':' || {column.text}, '-')" for column in self._columns
        ]
        return self._place.by_bytes(f"md5({' || '.join([self._text(self._wanted.mapping), *texts])})")

    def _known(self) -> str:
        """SQL for the snapshot as it will be once what is pending has been written."""
        pending = self._wanted.pending
        if pending is None:
            return self._rows
        rows = NOTHING.format(n=self._null) if pending.wipe else self._rows
        return (
            f"select * from ({rows}) b where not exists (select 1 from connector_pending p where p.key = b.row_key) "
            "union all select key, id, fp, raw from connector_pending where not gone"
        )

    def _choosing(self) -> str:
        """SQL for `chosen`."""
        wanted = self._wanted
        differs = "a.row_key is null" if wanted.events else "a.row_key is null or a.columns_md5 is distinct from s.raw"
        if wanted.everything:
            differs = "1 = 1"
        return (
            f"select s.n, s.k, r.k is not null, x.i is not null from connector_staged s "
            "left join connector_repeated r on r.k = s.k left join connector_shared x on x.i = s.i "
            f"left join ({self._known()}) a on a.row_key = s.k "
            "left join (select distinct key from connector_wanted) w on w.key = s.k "
            f"where s.k is not null and (w.key is not null or (r.k is null and ({differs})))"
        )

    def _count(self) -> None:
        """Nothing, after counting, each number by a query of its own."""
        queries = (
            "select count(*) from connector_staged",
            "select count(*) from connector_staged where k is null",
            "select count(*) from connector_staged s join connector_repeated r on r.k = s.k",
            "select count(*) from connector_staged s left join connector_repeated r on r.k = s.k "  # noqa: ISC004
            "left join connector_chosen c on c.n = s.n where s.k is not null and r.k is null and c.n is null",
            f"select count(*) from ({self._known()}) a",
        )
        counts = self._session.ask("select " + ", ".join(f"({query})" for query in queries))[0]
        self.queried, self.null_key, self.duplicate_key, self.unchanged, self.size = map(int, counts)

    def _text(self, text: str) -> str:
        return self._place.literal(text)
