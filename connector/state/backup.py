"""The state directory as one file, and back.

A backup is a gzipped tar: history.db as SQLite's online backup gives it, every sync's file as it stands between two
runs, the row outcomes, and at the end `manifest.json` with the SHA-256 of each.

What makes it consistent: while the copies are made no run can begin, because each sync's file is held open for reading.
The history is copied first, so no copy of a sync is older than what the history says about it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from connector.errors import BusyError, ConfigError, StateError
from connector.state.clock import utc
from connector.state.history import FILE_NAME, restoring
from connector.state.snapshot import hold_snapshot
from connector.state.sqlite_errors import state_error
from connector.state.version import STATE_VERSION, check_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from connector.ports import Clock

FORMAT = 1
MANIFEST = "manifest.json"
SYNCS = "syncs"
_PIECE = 1 << 20
_WAIT_S = 0.5
# Locks, what is only of this moment, and files that SQLite and DuckDB have beside theirs.
_LEFT_OUT = ("tmp", "running")
_SUFFIXES = (".lock", ".wal", "-wal", "-shm", ".tmp", ".sock")


@dataclass(frozen=True, slots=True)
class Backup:
    """What is in a backup: when it was made, of how many syncs, and how large the file is."""

    file: Path
    created_at: float
    syncs: tuple[str, ...]
    files: int
    size_bytes: int


# --- backup ----------------------------------------------------------------------------------------------------------


def back_up(state_dir: Path, file: Path, clock: Clock, *, wait_s: float = 0.0) -> Backup:
    """The backup, written to `file` whole or not at all.

    A sync that runs is waited for up to `wait_s` seconds. Raises BusyError while one runs, ConfigError where the file
    is there already or there is no state, StateError where something cannot be read or written.
    """
    if not (state_dir / FILE_NAME).exists():
        raise ConfigError(f"there is no state in {state_dir}", slug="no-state", hint="nothing has run here yet")
    if file.exists():
        raise ConfigError(f"{file} is there already", slug="backup-exists", hint="give another name, or delete it")
    now = clock.now()
    try:
        with tempfile.TemporaryDirectory(prefix=".connector-backup-", dir=file.absolute().parent) as folder:
            work = Path(folder)
            names = _copied(state_dir, work, clock, clock.monotonic() + wait_s)
            archive = work / "archive"
            files = _pack(archive, now, [*_pieces(work / "held"), *_others(state_dir, names)])
            archive.replace(file)
    except OSError as error:
        raise state_error(error, file) from error
    return Backup(file, now, tuple(names), files, file.stat().st_size)


def _copied(state_dir: Path, work: Path, clock: Clock, deadline: float) -> list[str]:
    """The names of the syncs, after copying history and syncs of one moment into `work/held`."""
    held = work / "held"
    (held / SYNCS).mkdir(parents=True)
    names = _syncs(state_dir)
    with ExitStack() as stack:
        copies = [stack.enter_context(_held(state_dir, name, clock, deadline)) for name in names]
        _copy_database(state_dir / FILE_NAME, held / FILE_NAME)
        new = set(_syncs(state_dir)) - set(names)
        if new:
            raise BusyError(
                f"the first run of sync '{min(new)}' has begun meanwhile", slug="sync-busy", hint="try again"
            )
        for copy in copies:
            copy(held / SYNCS)
    return names


@contextmanager
def _held(state_dir: Path, name: str, clock: Clock, deadline: float) -> Iterator[Callable[[Path], None]]:
    """What `hold_snapshot` gives, after waiting for the run that goes on."""
    while True:
        with ExitStack() as stack:
            try:
                copy = stack.enter_context(hold_snapshot(state_dir, name))
            except BusyError:
                if clock.monotonic() >= deadline:
                    raise
            else:
                yield copy
                return
        clock.sleep(_WAIT_S)


def _syncs(state_dir: Path) -> list[str]:
    return sorted(path.stem for path in (state_dir / SYNCS).glob("*.duckdb"))


def _copy_database(source: Path, to: Path) -> None:
    try:
        here = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
        with closing(here), closing(sqlite3.connect(to)) as there:
            here.backup(there)
            there.execute("PRAGMA journal_mode=DELETE")  # one file, without a WAL beside it
    except sqlite3.Error as error:
        raise state_error(error, source) from error


def _pieces(held: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(held.rglob("*")):
        if path.is_file():
            yield path.relative_to(held).as_posix(), path


def _others(state_dir: Path, names: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Everything else that lies there: row outcomes, which are not changed once they are written, and what is small."""
    own = {FILE_NAME, *(f"{SYNCS}/{name}.duckdb" for name in names)}
    for path in sorted(state_dir.rglob("*")):
        name = path.relative_to(state_dir).as_posix()
        if name in own or name.split("/")[0] in _LEFT_OUT or name.endswith(_SUFFIXES) or not path.is_file():
            continue
        if not name.startswith(f"{SYNCS}/"):
            yield name, path


def _pack(archive: Path, now: float, pieces: Iterable[tuple[str, Path]]) -> int:
    """How many files were packed, the manifest behind them."""
    listed: dict[str, dict[str, Any]] = {}
    with tarfile.open(archive, "w:gz", compresslevel=3) as tar:
        for name, path in pieces:
            with suppress(FileNotFoundError):  # forgotten by the retention, just now
                listed[name] = _add(tar, name, path)
        manifest = {
            "format": FORMAT,
            "state_version": STATE_VERSION,
            "connector": version("pendo-connector"),
            "created_at": utc(now),
            "created_at_s": now,
            "files": listed,
        }
        text = archive.with_name(MANIFEST)
        text.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        tar.add(text, MANIFEST, recursive=False)
    return len(listed)


def _add(tar: tarfile.TarFile, name: str, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        info = tar.gettarinfo(arcname=name, fileobj=file)
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        digest = _Digest(file)
        tar.addfile(info, digest)
    return {"bytes": info.size, "sha256": digest.hexdigest()}


class _Digest:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        piece = self._file.read(size)
        self._hash.update(piece)
        return piece

    def hexdigest(self) -> str:
        """The SHA-256 of what was read."""
        return self._hash.hexdigest()


# --- restore ---------------------------------------------------------------------------------------------------------


def restore(file: Path, state_dir: Path, clock: Clock, *, force: bool = False) -> tuple[Backup, Path | None]:
    """The backup that is the state now, and where what was there before has been put; None where nothing was.

    Nothing is changed before all of the backup has been read and found whole. Raises ConfigError where there is state
    already and `force` is not given, or where the file is no backup; BusyError while a run or a server works on the
    state; StateError.
    """
    if (state_dir / FILE_NAME).exists() and not force:
        raise ConfigError(
            f"there is state already in {state_dir}",
            slug="state-exists",
            hint="--force puts it aside and the backup in its place",
        )
    if state_dir.is_mount():
        raise ConfigError(
            f"{state_dir} is where a volume is mounted, and a restore renames the state directory",
            slug="state-is-a-mount",
            hint="restore into a folder below it (--state-dir), and run from there",
        )
    try:
        state_dir.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".connector-restore-", dir=state_dir.parent) as folder:
            new = Path(folder) / "state"
            new.mkdir()
            manifest = _unpack(file, new)
            _check_database(new / FILE_NAME)
            ready = restoring(state_dir)
            shutil.rmtree(ready, ignore_errors=True)  # of a restore that died before it changed anything
            new.replace(ready)
            try:
                before = _put_aside(state_dir, clock)
            except BaseException:
                ready.replace(new)
                raise
            with suppress(FileNotFoundError):  # somebody who found no state has put it there
                ready.replace(state_dir)
    except OSError as error:
        raise state_error(error, state_dir) from error
    names = tuple(_syncs(state_dir))
    made = Backup(file, float(manifest["created_at_s"]), names, len(manifest["files"]), file.stat().st_size)
    return made, before


def _unpack(file: Path, new: Path) -> Mapping[str, Any]:
    """The manifest, after unpacking every file and comparing it with what the manifest says."""
    found: dict[str, str] = {}
    manifest: Any = None
    try:
        with tarfile.open(file, "r:gz") as tar:
            for member in tar:
                if member.name == MANIFEST:
                    manifest = json.load(tar.extractfile(member) or _no_backup(file, "its manifest is no file"))
                    continue
                tar.extract(member, new, filter="data")
                found[member.name] = _sha256(new / member.name)
    except FileNotFoundError:
        raise ConfigError(f"there is no file {file}", slug="no-backup", hint="give the file of a backup") from None
    except (tarfile.TarError, EOFError, ValueError) as error:
        _no_backup(file, str(error))
    except OSError as error:
        if error.errno is not None:
            raise
        _no_backup(file, str(error))  # gzip says so of what it cannot read
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        _no_backup(file, "it has no manifest that this connector can read")
    check_version(int(manifest["state_version"]), file)
    wrong = [name for name, said in manifest["files"].items() if found.get(name) != said["sha256"]]
    if wrong or found.keys() != manifest["files"].keys():
        _no_backup(file, f"{min(wrong) if wrong else 'a file'} is not what it was when the backup was made")
    known: Mapping[str, Any] = manifest
    return known


def _no_backup(file: Path, why: str) -> Any:
    raise ConfigError(
        f"{file} is not a whole backup: {why}", slug="bad-backup", hint="nothing was changed; take another backup"
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _check_database(file: Path) -> None:
    try:
        with closing(sqlite3.connect(file)) as connection:
            said = connection.execute("PRAGMA quick_check").fetchone()
            connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error as error:
        raise state_error(error, file) from error
    if said != ("ok",):
        raise StateError(f"the history of the backup is damaged: {said[0]}", slug="state-corrupt")


def _put_aside(state_dir: Path, clock: Clock) -> Path | None:
    """Where the present state has been put; None where there is none. Raises BusyError while somebody works on it."""
    if not state_dir.exists():
        return None
    if not any(state_dir.iterdir()):
        state_dir.rmdir()
        return None
    with ExitStack() as stack:
        for name in _syncs(state_dir):
            stack.enter_context(hold_snapshot(state_dir, name))
        if (state_dir / FILE_NAME).exists():
            _refuse_open(state_dir / FILE_NAME)
        stamp = utc(clock.now()).replace(":", "").replace("-", "")
        aside = state_dir.with_name(f"{state_dir.name}.before-{stamp}")
        number = 1
        while aside.exists():
            number += 1
            aside = state_dir.with_name(f"{state_dir.name}.before-{stamp}-{number}")
        # While no run can begin: it would write to what was put aside, and beside that into what takes its place.
        os.rename(state_dir, aside)  # noqa: PTH104 - a rename, and an error where it would be a copy
    return aside


def _refuse_open(file: Path) -> None:
    """Nothing, unless another process has the history open: SQLite leaves WAL only where nobody else is."""
    try:
        with closing(sqlite3.connect(file, timeout=1)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError:
        raise BusyError(
            f"another process works on {file}",
            slug="state-in-use",
            hint="stop `connector serve` and whatever else runs here; nothing was changed",
        ) from None
    except sqlite3.Error:
        return  # damaged: a reason to restore
