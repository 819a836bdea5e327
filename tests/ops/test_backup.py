"""A backup is of one moment, and after it was restored a run sends nothing."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import tarfile
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connector.errors import BusyError, ConfigError
from connector.state import open_history
from connector.state.backup import MANIFEST, back_up, restore
from connector.state.clock import SystemClock
from connector.state.history import restoring
from connector.state.snapshot import hold_snapshot, open_snapshot, standing
from tests.cli.conftest import Cli
from tests.e2e.project import EVENT_SYNC, OBJECT_SYNC, Scene, outcomes, scene

if TYPE_CHECKING:
    from collections.abc import Iterator

CLOCK = SystemClock()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Scene]:
    """A project whose accounts and events were sent."""
    with scene(tmp_path / "project") as made:
        made.accounts(20)
        made.events(30)
        made.write("accounts", OBJECT_SYNC)
        made.write("events", EVENT_SYNC)
        made.run("accounts")
        made.run("events")
        yield made


@pytest.fixture
def cli(place: Scene, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(place.root, capsys)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scene, Path]]:
    """The same without the events, and a backup of it."""
    folder = tmp_path_factory.mktemp("once")
    with scene(folder / "project") as made:
        made.accounts(20)
        made.write("accounts", OBJECT_SYNC)
        made.run("accounts")
        yield made, back_up(made.state_dir, folder / "state.backup", CLOCK).file


def names(file: Path) -> list[str]:
    with tarfile.open(file) as tar:
        return tar.getnames()


def test_after_a_restore_a_run_sends_nothing(place: Scene, tmp_path: Path) -> None:
    file = tmp_path / "state.backup"
    made = back_up(place.state_dir, file, CLOCK)
    before = len(place.sandbox.requests)
    with place.project() as project:
        history = [run.json() for run in project.runs()]
        rows = project.rows(history[0]["run_id"])
        calls = project.calls(history[0]["run_id"])
    place.forget()
    restored, aside = restore(file, place.state_dir, CLOCK)
    with place.project() as project:
        assert [run.json() for run in project.runs()] == history
        assert project.rows(history[0]["run_id"]) == rows
        assert project.calls(history[0]["run_id"]) == calls
    again = [place.run(name) for name in ("accounts", "events")]

    assert (made.syncs, restored.syncs, aside) == (("accounts", "events"), ("accounts", "events"), None)
    assert [outcomes(run) for run in again] == [{}, {}]
    assert len(place.sandbox.requests) == before
    assert set(place.delivered().values()) == {1}


def test_the_state_after_a_restore_is_that_of_the_backup_and_no_later_one(place: Scene, tmp_path: Path) -> None:
    file = tmp_path / "state.backup"
    back_up(place.state_dir, file, CLOCK)
    place.sql("UPDATE accounts SET plan = 'new' WHERE account_id = 'acct-3'")
    later = place.run("accounts")
    _, aside = restore(file, place.state_dir, CLOCK, force=True)
    again = place.run("accounts")

    assert outcomes(later) == outcomes(again) == {"succeeded": 1}
    assert aside is not None
    assert (aside / "history.db").exists()
    assert (aside / "syncs" / "accounts.duckdb").exists()


def test_a_backup_while_a_run_goes_on_is_refused_and_leaves_no_file(place: Scene, tmp_path: Path) -> None:
    file = tmp_path / "backups" / "state.backup"
    file.parent.mkdir()
    place.sandbox.add_faults({"latency_ms": 400})
    running = place.start("run", "accounts", "--full-resync")
    while True:
        # Until the run has the lock.
        try:
            with open_snapshot(place.state_dir, "accounts"):
                assert running.poll() is None
        except BusyError:
            break
    with pytest.raises(BusyError) as caught:
        back_up(place.state_dir, file, CLOCK)
    refused = list(file.parent.iterdir())
    made = back_up(place.state_dir, file, CLOCK, wait_s=60)
    out, err = running.communicate(timeout=60)

    assert caught.value.problem.slug == "sync-busy"
    assert refused == []
    assert running.returncode == 0, out + err
    assert made.syncs == ("accounts", "events")
    assert list(file.parent.iterdir()) == [file]


def test_a_look_at_a_file_does_not_let_a_run_into_what_another_thread_copies(place: Scene) -> None:
    """Closing a file gives up every lock that the process has on it: whoever else looks has to wait for the copy."""
    looked = threading.Thread(target=standing, args=(place.state_dir, "accounts"), daemon=True)
    with hold_snapshot(place.state_dir, "accounts"):
        looked.start()
        looked.join(0.5)
        running = place.start("run", "accounts")
        _, err = running.communicate(timeout=60)
    looked.join()

    assert running.returncode == BusyError.exit_code, err
    assert "[sync-busy]" in err


def test_a_volume_is_not_restored_into(place: Scene, tmp_path: Path) -> None:
    file = tmp_path / "state.backup"
    back_up(place.state_dir, file, CLOCK)
    with pytest.raises(ConfigError) as caught:
        restore(file, Path("/proc"), CLOCK, force=True)

    assert caught.value.problem.slug == "state-is-a-mount"


def test_backups_beside_runs_are_each_of_one_moment(place: Scene, tmp_path: Path) -> None:
    """Whatever moment a backup is of, history and snapshot tell the same: nothing goes out twice after a restore."""
    made: list[Path] = []
    over = threading.Event()

    def copy() -> None:
        while not over.is_set() and len(made) < 4:
            file = tmp_path / f"backup-{len(made)}"
            made.append(back_up(place.state_dir, file, CLOCK, wait_s=60).file)

    thread = threading.Thread(target=copy)
    thread.start()
    for count in range(31, 36):
        place.events(count)
        with place.project() as project:
            project.run("events", wait=True)
    over.set()
    thread.join()

    assert made
    for file in made:
        restored = tmp_path / f"{file.name}-restored"
        restore(file, restored, CLOCK)
        with open_history(restored, clock=CLOCK) as history:
            runs = [run for run in history.runs.list("events") if run.outcomes]
        with open_snapshot(restored, "events") as snapshot:
            assert snapshot.size() == sum(sum((run.outcomes or {})["succeeded"].values()) for run in runs)


def test_the_commands_say_what_they_did(place: Scene, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "state.backup"
    first, second = cli("backup", str(file)), cli("backup", str(file))
    refused = cli("restore", str(file))
    forced = cli("restore", str(file), "--force", "--json")
    again = cli("run", "--all", "--json")

    assert (first.code, second.code, refused.code, forced.code, again.code) == (0, 1, 1, 0, 0)
    assert "2 syncs" in first.out
    assert "[backup-exists]" in second.err
    assert "[state-exists]" in refused.err
    assert forced.json()["syncs"] == ["accounts", "events"]
    assert [run["rows"]["unchanged"] for run in again.json()] == [20, 30]
    assert place.state_dir.exists()


def test_a_restore_is_refused_while_a_server_or_a_run_works_on_the_state(place: Scene, tmp_path: Path) -> None:
    file = tmp_path / "state.backup"
    back_up(place.state_dir, file, CLOCK)
    with open_history(place.state_dir, clock=CLOCK) as history:
        history.runs.latest()
        with pytest.raises(BusyError) as server:
            restore(file, place.state_dir, CLOCK, force=True)
    with open_snapshot(place.state_dir, "events"), pytest.raises(BusyError) as run:
        restore(file, place.state_dir, CLOCK, force=True)

    assert (server.value.problem.slug, run.value.problem.slug) == ("state-in-use", "sync-busy")
    assert outcomes(place.run("accounts")) == {}


def test_no_run_begins_while_the_present_state_is_put_aside(place: Scene, tmp_path: Path) -> None:
    file = tmp_path / "state.backup"
    back_up(place.state_dir, file, CLOCK)
    seen: list[str] = []

    class Meanwhile(SystemClock):
        """A clock whose reader starts a run of each sync."""

        def now(self) -> float:
            for name in ("accounts", "events"):
                with suppress(BusyError), open_snapshot(place.state_dir, name):
                    seen.append(name)
            return super().now()

    restore(file, place.state_dir, Meanwhile(), force=True)

    assert seen == []
    assert outcomes(place.run("events")) == {}


def test_a_restore_that_died_before_its_last_step_is_brought_to_its_end(place: Scene) -> None:
    place.state_dir.rename(restoring(place.state_dir))

    again = place.run("events")

    assert outcomes(again) == {}
    assert set(place.delivered().values()) == {1}
    assert not restoring(place.state_dir).exists()


def test_a_history_that_was_taken_out_of_a_backup_by_hand_is_read_beside_its_writer(
    place: Scene, tmp_path: Path
) -> None:
    back_up(place.state_dir, tmp_path / "state.backup", CLOCK)
    place.forget()
    with tarfile.open(tmp_path / "state.backup") as tar:
        tar.extractall(place.state_dir, filter="data")
    with open_history(place.state_dir, clock=CLOCK), closing(sqlite3.connect(place.state_dir / "history.db")) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("damage", ["half", "flipped", "other", "no manifest", "newer", "outside"])
def test_a_damaged_backup_changes_nothing(once: tuple[Scene, Path], tmp_path: Path, damage: str) -> None:
    (place, file), bad = once, tmp_path / "bad.backup"
    whole = gzip.decompress(file.read_bytes())
    if damage == "half":
        bad.write_bytes(file.read_bytes()[:-200])
    elif damage == "flipped":
        at = whole.index(b"SQLite format 3") + 5000
        bad.write_bytes(gzip.compress(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]))
    elif damage == "other":
        bad.write_bytes(b"not a backup at all")
    else:
        _rewrite(whole, bad, damage)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the slug is looked at below
        restore(bad, place.state_dir, CLOCK, force=True)
    slug = getattr(caught.value, "problem").slug  # noqa: B009 - any of our errors has it

    assert slug == ("state-newer" if damage == "newer" else "bad-backup")
    assert outcomes(place.run("accounts")) == {}
    assert sorted(path.name for path in place.root.iterdir() if path.name.startswith(".connector")) == [".connector"]


def _rewrite(whole: bytes, to: Path, damage: str) -> None:
    """Nothing, after writing the archive with something wrong in it that its checksums do not show."""
    with tarfile.open(fileobj=io.BytesIO(whole)) as old, tarfile.open(to, "w:gz") as new:
        for member in old:
            content = (old.extractfile(member) or io.BytesIO()).read()
            if member.name == MANIFEST:
                if damage == "no manifest":
                    continue
                manifest = json.loads(content)
                manifest["state_version"] += damage == "newer"
                content = json.dumps(manifest).encode()
                member.size = len(content)
            new.addfile(member, io.BytesIO(content))
        if damage == "outside":
            extra = tarfile.TarInfo("../outside")
            new.addfile(extra, io.BytesIO())


def test_a_backup_holds_no_lock_and_no_scratch_file(place: Scene, tmp_path: Path) -> None:
    for name in ("scheduler.lock", "tmp/spill", "running/accounts.lock"):
        (place.state_dir / name).parent.mkdir(exist_ok=True)
        (place.state_dir / name).write_text("x")
    file = tmp_path / "state.backup"
    back_up(place.state_dir, file, CLOCK)
    with place.project() as project:
        (accounts,) = project.runs("accounts")

    assert {"history.db", "syncs/accounts.duckdb", f"rows/{accounts.run_id}.parquet", MANIFEST} <= set(names(file))
    assert not [name for name in names(file) if "lock" in name or name.startswith("tmp")]


def test_there_must_be_something_to_back_up_and_to_restore(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as no_state:
        back_up(tmp_path / "nothing", tmp_path / "file", CLOCK)
    with pytest.raises(ConfigError) as no_file:
        restore(tmp_path / "missing", tmp_path / "state", CLOCK)

    assert (no_state.value.problem.slug, no_file.value.problem.slug) == ("no-state", "no-backup")
    assert list(tmp_path.iterdir()) == []


def test_the_copy_of_the_history_is_whole_in_one_file(place: Scene, tmp_path: Path) -> None:
    file = tmp_path / "state.backup"
    with open_history(place.state_dir, clock=CLOCK) as history:
        history.learned.put("pendo", "fact", "1", "still in the WAL")
        back_up(place.state_dir, file, CLOCK)
    with tarfile.open(file) as tar:
        tar.extract("history.db", tmp_path, filter="data")
    with closing(sqlite3.connect(tmp_path / "history.db")) as connection:
        assert connection.execute("SELECT value FROM learned WHERE name = 'fact'").fetchone() == ("1",)
