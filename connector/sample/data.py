"""The sample: data of an application that does not exist, and the project that syncs it.

At first every row arrives. `a_day_later` changes one row and brings one of each thing that goes wrong in practice.
"""

from __future__ import annotations

import copy
import shutil
import textwrap
from pathlib import Path
from typing import Any

import duckdb

from connector.errors import ConfigError

CHANGED_ACCOUNT = "group-01::acct-0001"  # its health score falls
UNKNOWN_VISITOR = "user-1001"  # invited, never signed in: not in Pendo
DOUBLE_VISITOR = "user-0500"  # member of two accounts now: two rows
BAD_SEATS_ACCOUNT = "group-06::acct-0042"  # "twelve" seats

_COPIED = ("connector.yml", "models", "sync_configs", "sandbox.yml")
_GITIGNORE = (
    "# State, history and the API call log\n.connector/\n# Secrets\n.env\n# The sample data\n*.duckdb\n*.duckdb.wal\n"
)

# The fields that are in Pendo before the first run; the others say `create: true`.
_FIELDS: dict[str, dict[str, dict[str, str]]] = {
    "visitor": {
        "custom": {"role": "string", "signed_up_at": "time", "sessions_30d": "integer"},
        "agent": {"language": "string", "teams": "list"},
    },
    "account": {"custom": {"plan": "string", "seats": "integer", "arr": "float"}},
    "parent_account": {"custom": {"territory": "string", "accounts": "integer", "arr": "float"}},
}

_TABLES = """
create schema app;
create schema billing;
create schema marts;

create table billing.account_groups as
select format('group-{:02}', n) as group_id, ['north', 'south', 'west'][n % 3 + 1] as territory
from range(1, 13) as t(n);

create table marts.accounts as
select
    format('acct-{:04}', n) as account_id,
    format('group-{:02}', (n - 1) % 12 + 1) as group_id,
    ['free', 'team', 'business', 'enterprise'][n * n // 5 % 4 + 1] as plan,
    -- kept by hand in a sheet, hence text
    (5 + n * 7 % 90)::varchar as seats,
    ([0, 4800, 24000, 96000][n * n // 5 % 4 + 1] * (1 + n % 5 / 10))::decimal(12, 2) as arr,
    (n * 37 % 1000) / 10 as health_score,
    n * 3 % 8 as open_tickets,
    date '2023-01-01' + (n * 11 % 900)::int as customer_since,
    case when n * n // 5 % 4 > 0 then timestamp '2027-01-31 00:00:00' + to_days((n * 3 % 330)::int) end as renews_at
from range(1, 121) as t(n);

create table app.users as
select
    format('user-{:04}', n) as user_id,
    format('acct-{:04}', (n - 1) % 120 + 1) as account_id,
    ['member', 'member', 'editor', 'admin'][n % 4 + 1] as role,
    case when n % 9 > 0 then ['en', 'de', 'fr', 'pt', 'ja'][n % 5 + 1] end as language,
    [['design'], ['data', 'ops'], ['sales'], []][n % 4 + 1] as teams,
    timestamp '2024-01-01 08:00:00' + to_hours((n * 17 % 15000)::int) as signed_up_at,
    n * 13 % 45 as sessions_30d,
    n % 25 = 0 as is_champion
from range(1, 1001) as t(n);
"""

_NEXT_DAY = """
update marts.accounts set health_score = 12.5, open_tickets = 9 where account_id = 'acct-0001';
update marts.accounts set seats = 'twelve' where account_id = 'acct-0042';

-- signed, but not set up yet: no id in the application
insert into marts.accounts
select null, 'group-03', 'team', '10', 4800, null, 0, date '2026-01-15', timestamp '2028-01-31 00:00:00';

insert into app.users
select 'user-1001', 'acct-0001', 'member', 'en', [], timestamp '2026-01-15 08:00:00', 0, false
union all
select * replace ('acct-0111' as account_id, 'admin' as role) from app.users where user_id = 'user-0500';
"""

# {now} is the newest moment; all rows lie in the six days before it.
_CHANGES = """
create table billing.plan_changes as
select
    format('change-{{:05}}', n) as change_id,
    u.user_id,
    u.account_id,
    a.group_id,
    case when n % 5 = 0 then 'downgrade' else 'upgrade' end as direction,
    ['free', 'team', 'business'][n % 3 + 1] as from_plan,
    case when n % 5 = 0 then 'free' else ['team', 'business', 'enterprise'][n % 3 + 1] end as to_plan,
    5 + n * 7 % 90 as seats,
    {now} - to_seconds((2500 - n) * 207) as changed_at
from range(1, 2501) as t(n)
join (select distinct on (user_id) * from app.users order by user_id, account_id) as u
    on u.user_id = format('user-{{:04}}', n * 7 % 999 + 1)
join marts.accounts as a using (account_id)
order by n;
"""


def build_warehouse(path: Path, *, now: float) -> None:
    """Nothing, after writing the sample warehouse to a new file: 1,000 users, 120 accounts, 12 groups, 2,000 upgrades.

    `now` (seconds since 1970) is when the newest upgrade happened; everything else is the same every time. What was at
    `path` is replaced in one step.
    """
    new = path.with_name(path.name + ".new")
    for leftover in (new, new.with_name(new.name + ".wal")):
        leftover.unlink(missing_ok=True)
    with duckdb.connect(str(new)) as con:
        _fill(con, now)
    new.replace(path)


def a_day_later(path: Path) -> None:
    """Nothing, after changing the warehouse as a day might.

    One account changed. And one of each thing that goes wrong: a user whom Pendo has never seen (skipped), a user in
    two rows (left out), an account without an id (left out), and seats that are a word (rejected).
    """
    with duckdb.connect(str(path)) as con:
        con.execute("begin")
        con.execute(_NEXT_DAY)
        con.execute("commit")


def seed() -> dict[str, Any]:
    """What a Pendo that fits the sample knows, as a sandbox takes it: ids by kind, and the fields that exist."""
    with duckdb.connect() as con:
        _fill(con, 0)
        accounts = "select group_id || '::' || account_id from marts.accounts"
        return {
            "visitors": _ids(con, "select user_id from app.users"),
            "accounts": _ids(con, accounts),
            "parent_accounts": _ids(con, "select group_id from billing.account_groups"),
            "fields": copy.deepcopy(_FIELDS),
        }


def sandbox_yaml() -> str:
    """The text of sandbox.yml: `seed()`, short enough to be read."""
    known = seed()
    lines = [
        "# What the sandbox (`connector sandbox`) knows when it starts. It fits the sample data.",
        "# Written by connector/sample/data.py; change it as you like, or delete it to start with an empty Pendo.",
        "",
        "fields: # by kind and group; what is missing here is made by a sync that says `create: true`",
    ]
    for kind, groups in known["fields"].items():
        lines.append(f"  {kind}:")
        for group, types in groups.items():
            lines.append(f"    {group}: {{ {', '.join(f'{name}: {type_}' for name, type_ in types.items())} }}")
    for kind in ("parent_accounts", "accounts", "visitors"):
        wrapped = textwrap.fill(", ".join(known[kind]), 116, initial_indent="  ", subsequent_indent="  ")
        lines += ["", f"{kind}:", "  [", textwrap.indent(wrapped, "  "), "  ]"]
    return "\n".join(lines) + "\n"


def copy_sample(to: Path) -> None:
    """Nothing, after copying the sample project into a folder, which is made when it is missing.

    Raises ConfigError when one of the files is already there.
    """
    there = [name for name in (*_COPIED, ".gitignore") if (to / name).exists()]
    if there:
        raise ConfigError(
            f"{to} already holds {', '.join(there)}",
            slug="project-exists",
            hint="choose an empty folder, or move them away",
        )
    to.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        origin = _origin() / name
        if origin.is_dir():
            shutil.copytree(origin, to / name)
        else:
            shutil.copyfile(origin, to / name)
    (to / ".gitignore").write_text(_GITIGNORE, encoding="utf-8")


def _origin() -> Path:
    """Where the project's files are: in the package in a wheel, at the root in a checkout."""
    package = Path(__file__).parents[1]
    packaged = package / "sample_project"
    return packaged if packaged.is_dir() else package.parent


def _fill(con: duckdb.DuckDBPyConnection, now: float) -> None:
    con.execute("begin")
    con.execute(_TABLES)
    con.execute(_CHANGES.format(now=f"make_timestamp({int(now) * 1_000_000})"))
    con.execute("commit")


def _ids(con: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    return [row[0] for row in con.execute(f"select distinct * from ({sql}) order by 1").fetchall()]
