"""How much a run at full speed is slowed by browsers that watch it: rounds with and without them, in turns.

    python bench/browsers.py                        250,000 events, one a request: as many calls as there can be
    python bench/browsers.py --rounds 7 --browsers 3

Long enough that to open the pages, a second or two of CPU, is not most of what is measured.

`connector serve` runs all the time. Without: three Chromiums show an empty page. With: two of them show the run, live,
and one the table of its calls. Everything is on this machine, so the browsers' own work takes from the run's cores,
too: what the server and the browsers used of them stands beside each round.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

import data
import sink
from connector import load_project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

HERE = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
LOOK_S = 0.05


def main() -> None:
    """Nothing, after printing what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=250_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--browsers", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        work = Path(folder)
        root = work / "project"
        warehouse = data.base(work, asked.rows)
        target = stack.enter_context(sink.running(0, work))
        line = [sys.executable, str(HERE / "contenders" / "ours.py"), "--workload", "single"]
        line += ["--warehouse", str(warehouse), "--url", target.url, "--state", str(root)]
        _run(line, root)  # makes the project, and warms what can be warmed
        url = stack.enter_context(_served(root))
        pages = stack.enter_context(_browsers(asked.browsers))
        found: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
        for number in range(2 * asked.rounds):
            # Which of both comes first changes from round to round.
            watched = (number % 2 == 1) != (number // 2 % 2 == 1)
            found[watched].append(_round(line, root, url, pages if watched else []))
            for page in pages:
                page.wait_for_timeout(1000)  # a page loads itself anew when its run has ended
                page.goto("about:blank")
            print(f"{'with' if watched else 'without':8}", _told(found[watched][-1]), flush=True)
    _sum_up(found, asked.browsers)


def _round(line: list[str], root: Path, url: str, pages: list[Page]) -> dict[str, Any]:
    """What one run said of itself; `pages` watch it from its beginning on."""
    result: list[dict[str, Any]] = []
    with load_project(root) as project:
        before = {run.run_id for run in project.history.runs.list()}
        thread = threading.Thread(target=lambda: result.append(_run(line, root)))
        thread.start()
        run_id = None
        while pages and run_id is None and thread.is_alive():
            time.sleep(LOOK_S)
            run_id = next((run.run_id for run in project.history.runs.list(limit=3) if run.run_id not in before), None)
        for at, page in enumerate(pages if run_id else []):
            page.goto(f"{url}/runs/{run_id}" + ("/calls" if at == 1 else ""))
        # The pages work by themselves; to ask anything of them meanwhile would take from the cores, too.
        thread.join()
    return result[0]


def _run(line: list[str], root: Path) -> dict[str, Any]:
    """What the connector says of a run that sends every row."""
    if (root / "connector.yml").exists():
        with load_project(root) as project:
            project.reset("rows")
    before = _cpu_s()
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    after = _cpu_s()
    return found | {f"{name}_cpu_s": after[name] - before[name] for name in after}


def _cpu_s() -> dict[str, float]:
    """Seconds of CPU that the server and the browsers have used so far."""
    used = {"connector": 0.0, "chrom": 0.0}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            words = stat.with_name("cmdline").read_text()
        except OSError:
            continue  # it has ended
        ticks = sum(int(field) for field in rest.split()[11:13])
        if name.startswith("chrom"):
            used["chrom"] += ticks / os.sysconf("SC_CLK_TCK")
        elif "connector.cli\0serve\0" in words and "--no-schedule" in words:
            used["connector"] += ticks / os.sysconf("SC_CLK_TCK")
    return used


@contextmanager
def _served(root: Path) -> Iterator[str]:
    line = [sys.executable, "-m", "connector.cli", "serve", "--project", str(root), "--port", "0", "--no-schedule"]
    with subprocess.Popen(line, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - PIPE
            url = next(found[0] for text in process.stdout if (found := re.search(r"http://[\d.]+:\d+", text)))
            # What else it says is nobody's here, and must not fill the pipe.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield url
        finally:
            process.terminate()


@contextmanager
def _browsers(count: int) -> Iterator[list[Page]]:
    with sync_playwright() as playwright, ExitStack() as stack:
        opened = []
        for _ in range(count):
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            stack.callback(browser.close)
            opened.append(browser.new_page())
        yield opened


def _told(result: dict[str, Any]) -> str:
    cpu = f"server {result['connector_cpu_s']:.2f} s, browsers {result['chrom_cpu_s']:.2f} s"
    return f"{result['seconds']:7.2f} s, {result['requests']['sent'] / result['seconds']:5.0f} calls/s, CPU: {cpu}"


def _sum_up(found: dict[bool, list[dict[str, Any]]], browsers: int) -> None:
    without, watched = (statistics.median(each["seconds"] for each in found[which]) for which in (False, True))
    pairs = [one["seconds"] / other["seconds"] for one, other in zip(found[True], found[False], strict=True)]
    print(
        f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {browsers} browsers, medians of {len(pairs)} rounds"
    )
    print(f"without {without:.2f} s, with {watched:.2f} s: {watched / without - 1:+.1%}")
    print(f"round by round: {', '.join(f'{pair - 1:+.1%}' for pair in pairs)}")


if __name__ == "__main__":
    main()
