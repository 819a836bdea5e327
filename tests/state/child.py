"""What the tests let another process do: `python -m tests.state.child COMMAND STATE_DIR ...`."""

from __future__ import annotations

import json
import os
import pwd
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from connector.errors import StateError
from connector.ports import Outcome, Settled
from connector.state.clock import SystemClock
from connector.state.history import History, open_history

from .fake_clock import OK, request

ROOT = Path(__file__).parents[2]


def start_child(command: str, state_dir: Path, *arguments: str) -> subprocess.Popen[str]:
    """The child, which has said that it is ready."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.state.child", command, str(state_dir), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def run_child(command: str, state_dir: Path, *arguments: str) -> list[str]:
    """The lines that the child said, after it ended well."""
    child = start_child(command, state_dir, *arguments)
    said, _ = child.communicate("go\n")
    assert child.returncode == 0
    return said.splitlines()


def tell(child: subprocess.Popen[str], word: str) -> None:
    """Nothing, after giving the child a line to read."""
    assert child.stdin is not None
    child.stdin.write(f"{word}\n")
    child.stdin.flush()


def say(words: object) -> None:
    """Nothing, after one line on stdout, in one piece: several threads say something."""
    os.write(1, f"{words}\n".encode())


def opened(state_dir: str) -> History:
    """The history, with the real clock."""
    return open_history(Path(state_dir), clock=SystemClock(), busy_timeout_s=10)


def ready() -> None:
    """Nothing, after waiting for the test to go on."""
    say("ready")
    sys.stdin.readline()


def open_at_once(state_dir: str, name: str) -> None:
    """Make the history, at the same time as others do."""
    ready()
    with opened(state_dir) as history:
        history.learned.put("pendo", name, "1", "a test")


def write_without_rights(state_dir: str) -> None:
    """Write as a user who may not."""
    with tempfile.TemporaryDirectory() as place:
        # The interpreter may lie where only root can read: everything is imported before root's rights are given up.
        opened(place).close()
    ready()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setuid(pwd.getpwnam("nobody").pw_uid)
    try:
        opened(state_dir).learned.put("pendo", "name", "1", "a test")
    except StateError as error:
        say(error.problem.slug)


def run_calls(state_dir: str, run_id: str, threads: str, calls: str, body_size: str = "10") -> None:
    """Begin, answer and settle calls in several threads; say each id that `begin` returned, before anything else."""
    ready()
    body = random.Random(1).randbytes(int(body_size))  # noqa: S311  it only has to be hard to pack
    with opened(state_dir) as history:
        journal = history.journal(run_id)

        def work(thread: int) -> None:
            try:
                for number in range(int(calls)):
                    row = thread * int(calls) + number
                    call_id = journal.begin(request(row, row + 1, body), attempt=1)
                    say(call_id)
                    journal.answer(call_id, OK)
                    done = Settled("custom", row, row + 1, Outcome.SUCCEEDED, call_id=call_id, attempts=1)
                    journal.settle(call_id, "judged", None, (done,))
            except StateError as error:
                say(error.problem.slug)

        workers = [threading.Thread(target=work, args=(thread,)) for thread in range(int(threads))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        try:
            journal.flush()
        except StateError as error:
            say(error.problem.slug)


def run_calls_on_a_full_disk(state_dir: str, run_id: str, threads: str, limit: str) -> None:
    """The same, until no file may grow any more."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    run_calls(state_dir, run_id, threads, "10000", "20000")


def open_on_a_full_disk(state_dir: str) -> None:
    """Make the history where there is no room for it."""
    ready()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        opened(state_dir)
    except StateError as error:
        say(error.problem.slug)


def take_turns(state_dir: str, rate: str, seconds: str) -> None:
    """Take turns for some seconds, in several threads; say when each one came (the machine's own clock)."""
    with opened(state_dir) as history:
        stop = threading.Event()
        limiter = history.rate("pendo", max_requests_per_second=float(rate), stop=stop)
        came: list[float] = []

        def work() -> None:
            while limiter.acquire():
                came.append(time.monotonic())

        ready()
        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        time.sleep(float(seconds))
        stop.set()
        for worker in workers:
            worker.join()
        say(json.dumps(came))


COMMANDS = {
    command.__name__: command
    for command in (
        open_at_once,
        write_without_rights,
        run_calls,
        run_calls_on_a_full_disk,
        open_on_a_full_disk,
        take_turns,
    )
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
