"""The benchmark: the connector beside other ways to do the same, all against one sink on this machine.

`nox -s bench` makes the environments of the peers and runs everything; `python bench/run.py --quick` runs what this
environment can. Contenders take turns, round after round, each in a process of its own, so that whatever else the
machine does meets all of them; what counts is the ratio of their medians within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import data
import sink

HERE = Path(__file__).parent
CONTENDERS = HERE / "contenders"
OURS = "connector"
FAST, SLOW_MS = 8, 50.0
IN_FLIGHT = {0.0: 8, SLOW_MS: 32}
Result = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """A program, the environment it needs, and the workloads it can do. `slow`: it sits out what would take long."""

    name: str
    script: str
    needs: str = ""
    form: str = ""
    workloads: tuple[str, ...] = ("events", "objects", "single")
    slow: bool = False


@dataclass
class Workload:
    """What is to be sent. `before`: the rows that were sent already; `rows`: what the model returns now."""

    name: str
    kind: str
    rows: str
    limit: int = 0
    before: str = ""
    latencies: tuple[float, ...] = (0.0, SLOW_MS)
    with_contenders: tuple[str, ...] = ()
    results: dict[tuple[float, str], list[Result]] = field(default_factory=dict)


ALL = (
    Contender(OURS, "ours.py"),
    Contender("bare prototype", "prototype.py"),
    Contender("floor: read and fingerprint", "floor.py"),
    Contender("asyncio script", "careful.py", needs="orjson"),
    Contender("plain script", "plain.py", needs="orjson", workloads=("events", "objects", "single"), slow=True),
    Contender("dlt, Arrow", "dlt_peer.py", needs="dlt", form="arrow", workloads=("events", "objects")),
    Contender("dlt, rows", "dlt_peer.py", needs="dlt", form="rows", workloads=("events", "objects"), slow=True),
)
BY_NAME = {contender.name: contender for contender in ALL}
EVERYBODY = tuple(name for name in BY_NAME if not name.startswith("floor"))


def workloads(single: int) -> list[Workload]:
    """What is measured, in the order of the table."""
    few = (OURS, "bare prototype", "floor: read and fingerprint")
    return [
        Workload("first run, events in arrays of 1,000", "events", "base", with_contenders=EVERYBODY),
        Workload("first run, objects in calls of 500", "objects", "base", with_contenders=EVERYBODY),
        Workload("second run, 1 % changed", "objects", "changed", before="base", with_contenders=few),
        Workload("unchanged run", "objects", "base", before="base", with_contenders=few),
        Workload(
            f"{single:,} single events",
            "single",
            "base",
            limit=single,
            with_contenders=(OURS, "bare prototype", "asyncio script"),
        ),
    ]


class Bench:
    """One run of the benchmark."""

    def __init__(self, ask: argparse.Namespace, work: Path) -> None:
        self.ask = ask
        self.work = work
        self.pythons = dict(pair.split("=", 1) for pair in ask.python)
        self.away: dict[str, str] = {}
        self.data = {"base": data.base(work, ask.rows), "changed": data.changed(work, ask.rows)}

    def run(self, loads: list[Workload]) -> None:
        """Nothing, after every round of every workload."""
        for load in loads:
            kept = self._before(load)
            for latency in load.latencies:
                if self.ask.latency is not None and latency != self.ask.latency:
                    continue
                for _ in range(self.ask.rounds):
                    for name in load.with_contenders:
                        self._one(load, latency, BY_NAME[name], kept)
                self._say(load, latency)

    def _before(self, load: Workload) -> dict[str, Path]:
        """The state that a second run starts from, by contender."""
        if not load.before:
            return {}
        stem = f"{load.before}-{self.ask.rows}"
        kept = {OURS: self.work / "kept" / stem, "bare prototype": self.work / f"{stem}.parquet"}
        with sink.running(0, self.work) as server:
            if not kept[OURS].exists():
                self._start(BY_NAME[OURS], load, self.data[load.before], server.url, 8, kept[OURS], "")
            if not kept["bare prototype"].exists():
                prototype = BY_NAME["bare prototype"]
                self._start(prototype, load, self.data[load.before], server.url, 8, kept["bare prototype"], "remember")
        return kept

    def _one(self, load: Workload, latency: float, contender: Contender, kept: dict[str, Path]) -> None:
        if contender.name in self.away or load.kind not in contender.workloads:
            return
        rounds = load.results.setdefault((latency, contender.name), [])
        if contender.slow and (rounds or self.ask.quick):
            return  # once is enough to see that it is slow
        state = self.work / "state"
        shutil.rmtree(state, ignore_errors=True)
        given: Path | str = state
        if contender.name == OURS and kept:
            shutil.copytree(kept[OURS], state)
        elif contender.name == "bare prototype":
            given = kept.get(contender.name, "")
        with sink.running(latency, self.work) as server:
            found = self._start(contender, load, self.data[load.rows], server.url, IN_FLIGHT[latency], given)
            if found is not None:
                found["taken"] = server.taken()
                rounds.append(found)
        if contender.name == OURS and state.exists():
            rounds[-1]["state_mb"] = sum(path.stat().st_size for path in state.rglob("*.duckdb")) / 1e6

    def _start(
        self,
        contender: Contender,
        load: Workload,
        warehouse: Path,
        url: str,
        concurrency: int,
        state: Path | str,
        form: str | None = None,
    ) -> Result | None:
        """What the contender says of itself, or None when it is not there; why is kept for the report."""
        line = [self.pythons.get(contender.needs or "connector", sys.executable), str(CONTENDERS / contender.script)]
        line += [
            "--workload",
            load.kind,
            "--warehouse",
            str(warehouse),
            "--url",
            url,
            "--concurrency",
            str(concurrency),
        ]
        line += ["--limit", str(load.limit), "--state", str(state), "--form", contender.form if form is None else form]
        began = time.perf_counter()
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment["PYTHONPATH"] = str(HERE.parent) if contender.name == OURS else ""
        done = subprocess.run(line, check=False, capture_output=True, text=True, env=environment)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
            if contender.name == OURS:
                sys.exit(f"the connector failed: {last}\n{done.stderr}")
            self.away[contender.name] = f"skipped: {last}"
            sys.stderr.write(f"{contender.name}: {self.away[contender.name]}\n")
            return None
        found: Result = json.loads(done.stdout.strip().splitlines()[-1])
        found["process_seconds"] = time.perf_counter() - began
        return found

    def _say(self, load: Workload, latency: float) -> None:
        sys.stderr.write("\n".join(table([load], latency)) + "\n\n")


def median(results: list[Result], name: str) -> float | None:
    """The median of a number over the rounds, or None where there is none."""
    values = [result[name] for result in results if result.get(name) is not None]
    return statistics.median(values) if values else None


def table(loads: list[Workload], latency: float | None = None) -> list[str]:
    """The results as a Markdown table. "times ours" is the time over the connector's: more than 1 is slower."""
    names = ("workload", "latency", "contender", "seconds", "times ours", "CPU seconds", "calls", "p99", "peak memory")
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for load in loads:
        for (of, name), results in load.results.items():
            seconds = median(results, "seconds")
            if (latency is not None and of != latency) or seconds is None:
                continue
            ours = median(load.results.get((of, OURS), []), "seconds") or seconds
            p99, calls = median(results, "p99_ms"), median(results, "calls") or 0
            cpu_s, peak = median(results, "cpu_s") or 0, median(results, "peak_mb") or 0
            cells = [load.name, f"{of:.0f} ms", name, f"{seconds:.2f}", f"{seconds / ours:.2f}", f"{cpu_s:.2f}"]
            cells += [f"{calls:,.0f}", "" if p99 is None else f"{p99:.1f} ms", f"{peak:,.0f} MB"]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


# (what, workload, latency, the other contender, the least its time must be in units of ours)
GOALS = (
    ("8 x dlt with Arrow", 0, 0.0, "dlt, Arrow", 8.0),
    ("20 x dlt with rows", 0, 0.0, "dlt, rows", 20.0),
    ("5 x the plain script", 0, 0.0, "plain script", 5.0),
    ("at most 1.6 x the bare prototype's time", 0, 0.0, "bare prototype", 1 / 1.6),
    ("15 x the plain script", 0, SLOW_MS, "plain script", 15.0),
    ("at most 1.2 x the floor's time", 2, 0.0, "floor: read and fingerprint", 1 / 1.2),
    ("at most 1.2 x the floor's time", 3, 0.0, "floor: read and fingerprint", 1 / 1.2),
    ("8 x one httpx.AsyncClient", 4, 0.0, "asyncio script", 8.0),
)


def goals(loads: list[Workload]) -> list[str]:
    """What was aimed at, and what was reached."""
    lines = ["| goal | workload | reached |", "|---|---|---|"]
    for what, at, latency, other, least in GOALS:
        load = loads[at]
        ours = median(load.results.get((latency, OURS), []), "seconds")
        theirs = median(load.results.get((latency, other), []), "seconds")
        if ours is None or theirs is None:
            continue
        reached = f"{theirs / ours:.1f} x" if least > 1 else f"{ours / theirs:.2f} x its time"
        lines.append(
            f"| {what} | {load.name}, {latency:.0f} ms | {reached}{'' if theirs / ours >= least else ', no'} |"
        )
    slow = median(loads[0].results.get((SLOW_MS, OURS), []), "p99_ms")
    if slow is not None:
        lines.append(f"| p99 of a call under 120 ms | {loads[0].name}, 50 ms, 32 in flight | {slow:.0f} ms |")
    return lines


def stored(bench: Bench, loads: list[Workload], kind: str) -> Result:
    """Everything that was measured, and on what."""
    return {
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "rows": bench.ask.rows,
        "rounds": bench.ask.rounds,
        "sink": kind,
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "load_at_end": os.getloadavg() if hasattr(os, "getloadavg") else None,
        },
        "versions": {name: version(name) for name in ("duckdb", "pyarrow", "httpx", "sqlalchemy")},
        "skipped": bench.away,
        "results": [
            {"workload": load.name, "latency_ms": latency, "contender": name, "rounds": results}
            for load in loads
            for (latency, name), results in load.results.items()
        ],
    }


def main() -> None:
    """Nothing, after writing results.json and results.md to the folder of --output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--single", type=int, default=100_000, help="single events")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, one round, without the slow ones")
    parser.add_argument("--only", type=int, action="append", help="workload by number, from 0; may be repeated")
    parser.add_argument("--without", action="append", default=[], help="a contender to leave out; may be repeated")
    parser.add_argument("--latency", type=float, help="0 or 50 only")
    parser.add_argument("--python", action="append", default=[], metavar="NEED=PATH", help="the Python that has NEED")
    parser.add_argument("--work", type=Path, help="where warehouses and state lie; a temporary folder by default")
    parser.add_argument("--output", type=Path, default=HERE / "results")
    ask = parser.parse_args()
    if ask.quick:
        ask.rows, ask.single, ask.rounds = ask.rows // 10, ask.single // 10, 1
    made = ask.work is None
    work = Path(tempfile.mkdtemp(prefix="connector-bench-")) if made else ask.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    try:
        bench = Bench(ask, work)
        bench.away = dict.fromkeys(ask.without, "left out")
        loads = workloads(ask.single)
        with sink.running(0, work) as server:
            kind = server.kind
        bench.run([load for at, load in enumerate(loads) if ask.only is None or at in ask.only])
        ask.output.mkdir(parents=True, exist_ok=True)
        (ask.output / "results.json").write_text(json.dumps(stored(bench, loads, kind), indent=1) + "\n")
        report = "\n".join([*table(loads), "", *goals(loads), ""])
        (ask.output / "results.md").write_text(report)
        sys.stdout.write(report)
    finally:
        if made:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
